"""VQA accuracy: the official cases, and the habits of the official code worked by hand."""

import doctest
from typing import Any

import pytest

from corpus.benchmarks import okvqa
from corpus.benchmarks.answer_text import CONTRACTIONS, DIGITS
from corpus.benchmarks.okvqa import normalise, vqa_accuracy
from tests.golden_cases import golden_json

SCORES = golden_json("scorers/vqa_score.json")
TEXTS = golden_json("scorers/vqa_normalise.json")


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(okvqa).failed == 0


@pytest.mark.parametrize("case", SCORES, ids=lambda case: case["prediction"])
def test_official_scores(case: dict[str, Any]) -> None:
    official = vqa_accuracy(case["prediction"], case["answers"])
    lavis = vqa_accuracy(case["prediction"], case["answers"], variant="lavis")

    assert round(100 * official, 2) == case["accuracy_percent"]
    assert round(100 * lavis, 2) == case["accuracy_percent_lavis"]


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["text"])
def test_official_normalisation(case: dict[str, str]) -> None:
    assert normalise(case["text"]) == case["normalised"]


def test_at_most_32_periods_go() -> None:
    assert normalise("a." * 33 + "b") == "a" * 33 + ".b"
    assert normalise("a." * 32 + "b") == "a" * 32 + "b"


def test_a_period_before_a_digit_stays_and_one_after_a_digit_goes() -> None:
    assert normalise("3.5 or 3. or .5") == "3.5 or 3 or .5"


def test_a_mark_is_deleted_everywhere_when_it_stands_beside_a_space_anywhere() -> None:
    assert normalise("x-y") == "x y"
    assert normalise("x-y z- w") == "xy z w"
    assert normalise("x-y z/w 1,000") == "xy zw 1000"


def test_colon_and_apostrophe_are_no_punctuation() -> None:
    assert normalise("12:30 o'clock") == "12:30 o'clock"


def test_numbers_come_before_articles_and_contractions() -> None:
    assert normalise("None of the ten") == "0 of 10"
    assert normalise("An a the") == ""
    assert normalise("eleven") == "eleven"


def test_contractions_with_one_apostrophe_missing() -> None:
    pairs = {
        "arent": "aren't",
        "couldn'tve": "couldn't've",
        "couldnt've": "couldn't've",
        "itd've": "it'd've",
        "maam": "ma'am",
        "notve": "not've",
        "oclock": "o'clock",
        "ow's'at": "'ow's'at",
        "'ow'sat": "'ow's'at",
        "somebody'd": "somebodyd",
        "somebodyd've": "somebody'd've",
        "twas": "'twas",
        "whove": "who've",
        "y'allll": "y'all'll",
        "y'all'dve": "y'all'd've",
    }
    assert {wrong: CONTRACTIONS[wrong] for wrong in pairs} == pairs
    # The official table has 120 keys: four have capitals, and two map to themselves.
    assert len(CONTRACTIONS) == 114
    assert not {"im", "ive", "shes", "id've", "ill", "lets", "somebodyd"} & CONTRACTIONS.keys()


def test_number_words() -> None:
    assert DIGITS["none"] == DIGITS["zero"] == "0"
    assert DIGITS["ten"] == "10"
    assert len(DIGITS) == 12


def test_white_space_of_answers_counts_only_for_lavis() -> None:
    answers = [" cat"] * 5 + ["dog"] * 5

    assert vqa_accuracy("cat", answers) == 1.0
    assert vqa_accuracy("cat", answers, variant="lavis") == 0.0


def test_answers_that_differ_in_white_space_alone_are_one_answer_officially() -> None:
    answers = ["Yes"] * 5 + ["Yes\n"] * 5

    assert vqa_accuracy("yes", answers) == 0.0
    assert vqa_accuracy("Yes ", answers) == 1.0


def test_capitals_of_answers_matter_only_for_lavis() -> None:
    answers = ["USA"] * 5 + ["america"] * 5

    assert vqa_accuracy("USA", answers) == 1.0
    assert vqa_accuracy("USA", answers, variant="lavis") == 0.0


def test_an_annotator_does_not_vote_on_the_own_answer() -> None:
    # Three of ten: each of the three sees two others, each of the seven sees three.
    assert vqa_accuracy("a1", ["a1"] * 3 + ["b1"] * 7) == pytest.approx((3 * 2 / 3 + 7) / 10)
    assert vqa_accuracy("a1", ["a1"]) == 0.0


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="no answers"):
        vqa_accuracy("x", [])
    with pytest.raises(ValueError, match="'blip'"):
        vqa_accuracy("x", ["x"], variant="blip")  # type: ignore[arg-type]
