"""The InfoSeek score: the official cases, and the habits of the official script."""

import doctest
from typing import Any

import pytest

from corpus.benchmarks import infoseek
from corpus.benchmarks.infoseek import _in_range, _spaced_hyphens, parse_number, score, summary
from tests.golden_cases import golden_json

FULL = golden_json("scorers/infoseek_full.json")


def full_examples() -> list[dict[str, Any]]:
    types = {row["data_id"]: row["question_type"] for row in FULL["input"]["qtype"]}
    return [row | {"question_type": types[row["data_id"]]} for row in FULL["input"]["reference"]]


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(infoseek).failed == 0


@pytest.mark.parametrize("case", golden_json("scorers/infoseek.json"), ids=str)
def test_official_scores(case: dict[str, Any]) -> None:
    got = score(case["prediction"], case["answer_eval"], case["question_type"])
    assert got == case["score"]


@pytest.mark.parametrize("case", golden_json("scorers/infoseek_parse_number.json"), ids=str)
def test_official_numbers(case: dict[str, Any]) -> None:
    parsed = parse_number(case["text"])
    assert (list(parsed) if isinstance(parsed, tuple) else parsed) == case["parsed"]
    assert _spaced_hyphens(case["text"]) == case["cleaned"]


@pytest.mark.parametrize("case", golden_json("scorers/infoseek_range.json"), ids=str)
def test_official_ranges(case: dict[str, Any]) -> None:
    pred, answer = case["pred"], case["answer"]
    if not isinstance(answer, list):
        answer = [answer * 0.9, answer * 1.1]
    given = tuple(pred) if isinstance(pred, list) else pred
    assert _in_range(given, tuple(answer)) == bool(case["score"])


def test_official_summary() -> None:
    result = summary(FULL["input"]["predictions"], full_examples())

    assert {name: result[name] for name in FULL["result"]} == FULL["result"]
    assert result["questions"] == 40
    assert result["unanswered"] == 2
    assert result["unknown"] == 1


def test_the_unanswered_as_wrong() -> None:
    result = summary(FULL["input"]["predictions"], full_examples())

    # Right are 11 of 25 answered and 26 asked, and 8 of 13 answered and 14 asked.
    both = [round(100 * 11 / 26, 2), round(100 * 8 / 14, 2)]
    harmonic = 2 / (1 / both[0] + 1 / both[1])
    assert result["final_score_unanswered_wrong"] == round(harmonic, 2)


def test_predictions_by_id_are_the_same_as_rows() -> None:
    rows = FULL["input"]["predictions"]
    by_id = {row["data_id"]: row["prediction"] for row in rows}
    assert summary(by_id, full_examples()) == summary(rows, full_examples())


def test_nothing_right_is_a_harmonic_mean_of_zero() -> None:
    result = summary({}, full_examples())
    assert result["final_score"] == 0.0
    assert result["unanswered"] == 40


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", (0.0, 0.0)),
        ("1.2.3", (1.2, 3.0)),
        ("1,234.5 and 7,000", (1234.5, 7000.0)),
        ("12,34", (12.0, 34.0)),
        (".5", 5.0),  # its point is stripped like one that ends a sentence
        ("-.5", -0.5),
        ("5e2 m", 500.0),
        ("10 20 30", (10.0, 20.0)),
        ("3-1", 3.0),
        ("-3 -1", (-3.0, -1.0)),
        ("٣", 3.0),
        ("-.5.3", 0.0),
    ],
)
def test_numbers_in_texts(text: str, number: Any) -> None:
    assert parse_number(text) == number


def test_a_range_counts_from_half_an_overlap() -> None:
    answer = [{"wikidata": 10, "range": [0.0, 10.0]}]

    assert score("5-15", answer, "numerical") == 0.0
    assert score("0-20", answer, "numerical") == 1.0
    assert score("0-20.1", answer, "numerical") == 0.0
    assert score("no idea", answer, "NUMERICAL") == 1.0  # (0, 0) lies within


def test_articles_go_after_punctuation() -> None:
    assert score("a-ha", ["aha"], "string") == 1.0
    assert score("the.", ["..."], "string") == 1.0
    assert score("theatre", ["atre"], "string") == 0.0
    assert score("Café", ["Cafe"], "string") == 0.0
    assert score("rock ’n’ roll", ["rock n roll"], "string") == 0.0


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="answer_eval is empty"):
        score("x", [], "String")
    with pytest.raises(ValueError, match="range"):
        score("1", ["1"], "Numerical")
    with pytest.raises(ValueError, match="range"):
        score("1", [{"wikidata": 1.0}], "Numerical")
    twice = [{"data_id": "q0", "prediction": "x"}] * 2
    with pytest.raises(ValueError, match="'q0'"):
        summary(twice, full_examples())
    with pytest.raises(ValueError, match="'q0'"):
        summary({}, full_examples()[:1] * 2)
