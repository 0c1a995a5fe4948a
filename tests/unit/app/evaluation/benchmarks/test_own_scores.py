"""Scores of questions of one's own."""

from app.evaluation.benchmarks.benchmark import contains_match, exact_match, own_scores
from corpus.types import Example


def test_exact_match_ignores_case_accents_articles_and_punctuation() -> None:
    assert exact_match("the São Tomé.", ["Sao Tome"]) == 1.0
    assert exact_match("São Tomé and Príncipe", ["Sao Tome"]) == 0.0
    assert contains_match("It is Paris", ["Paris"]) == 1.0
    assert contains_match("euros", ["euros (EUR)"]) == 1.0
    assert contains_match("Parisian", ["Paris"]) == 0.0


def test_own_scores_keep_what_carries_meaning() -> None:
    for prediction, answer in (("It is a B", "A"), ("-5", "5"), ("the", "A"), ("3.5", "5")):
        given = own_scores(Example("1", "", "?", (answer,)), prediction)
        assert given == {"exact_match": 0.0, "contains": 0.0}
    assert exact_match("1500", ["1,500"]) == contains_match("1500 km", ["1,500"]) == 1.0
    assert exact_match("A", ["a"]) == 1.0
    assert own_scores(Example("1", "", "?"), "x") == {}
    assert exact_match("", ["..."]) == contains_match("", ["Paris"]) == 0.0
