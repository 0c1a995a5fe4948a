"""The Encyclopedic-VQA score: the official cases, and the habits of the official code."""

import doctest
from typing import Any

import pytest

from corpus.benchmarks import evqa
from corpus.benchmarks.evqa import exact_match, normalise, score
from tests.golden_cases import golden_json

CASES = golden_json("scorers/evqa_exact_match.json")


def contained(question: str, reference: str, candidate: str) -> float:
    """The fixture's stand-in for BEM."""
    return float(reference.lower() in candidate.lower())


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(evqa).failed == 0


@pytest.mark.parametrize("case", CASES["preprocess"], ids=str)
def test_official_normalisation(case: dict[str, str]) -> None:
    assert normalise(case["text"]) == case["out"]


@pytest.mark.parametrize("case", CASES["exact_match"], ids=str)
def test_official_exact_match(case: dict[str, Any]) -> None:
    arguments = case["reference"], case["candidate"], case["question_type"]
    if isinstance(case["exact_match"], bool):
        assert exact_match(*arguments) is case["exact_match"]
    else:
        with pytest.raises(ValueError, match="empty after preprocessing"):
            exact_match(*arguments)


@pytest.mark.parametrize("case", CASES["combined_with_stub_bem"], ids=str)
def test_official_combination(case: dict[str, Any]) -> None:
    got = score("?", case["reference_list"], case["candidate"], case["question_type"], contained)
    assert got == case["score"]


def test_the_span_prefix_goes_everywhere_but_only_from_the_start() -> None:
    assert normalise("<extra_id_0> one <extra_id_0> two") == "1 2"
    assert normalise("x <extra_id_0> y") == "x extraid0 y"
    assert normalise("<extra_id_0>x") == "extraid0x"


def test_punctuation_is_deleted_before_the_fillers_go() -> None:
    assert normalise("the answer, is: a-b") == "ab"
    assert normalise("don't") == "don't"
    assert normalise("can´t") == "can't"


def test_lists_split_on_and_in_lower_case_only() -> None:
    assert exact_match("cat&&dog", "cat and dog", "multi_answer")
    assert not exact_match("cat&&dog", "cat AND dog", "multi_answer")
    assert not exact_match("cat and dog", "cat and dog", "multi_answer")
    assert exact_match("cat and dog", "cat and dog", "templated")


def test_half_an_overlap_is_enough() -> None:
    assert exact_match("a1&&b1", "a1", "multi_answer")
    assert not exact_match("a1&&b1&&c1", "a1", "multi_answer")
    assert exact_match("a1&&a1&&the", "a1,b1", "multi_answer")
    assert not exact_match("a1", "", "multi_answer")


def test_without_bem_only_exact_matches_count() -> None:
    assert score("?", ["Paris", "City of Light"], "city of light", "automatic") == 1.0
    assert score("?", ["Paris"], "It is Paris, France", "automatic") == 0.0


def test_bem_reads_lists_with_commas_and_counts_from_a_half() -> None:
    asked: list[tuple[str, str, str]] = []

    def half(question: str, reference: str, candidate: str) -> float:
        asked.append((question, reference, candidate))
        return 0.5

    assert score("q?", ["cat&&dog&&eel"], "cat", "multi_answer", half) == 1.0
    assert score("q?", ["x&&y"], "z", "2_hop", half) == 1.0
    assert asked == [("q?", "cat,dog,eel", "cat"), ("q?", "x&&y", "z")]
    assert score("q?", ["x"], "z", "2_hop", lambda *_: 0.4999) == 0.0


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="no references"):
        score("?", [], "x", "automatic")
    with pytest.raises(ValueError, match="'multi'"):
        score("?", ["x"], "x", "multi")
    with pytest.raises(ValueError, match="empty after preprocessing"):
        exact_match("...", "x", "automatic")
    with pytest.raises(ValueError, match="reference is empty"):
        score("?", ["x", ""], "y", "automatic")
