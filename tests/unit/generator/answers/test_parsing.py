import doctest

import pytest

from corpus.types import Citation, Hit, Passage
from generator.answers import parsing as answers
from generator.answers.answer import Answer
from generator.answers.parsing import answer_text, contains, parse_answer, same_answer
from generator.errors import BadCompletion

HITS = [
    Hit(Passage("lyon", "Lyon", "Lyon. Lyon lies on the Rhône."), 3.0),
    Hit(Passage("paris", "Paris", "Paris. Paris is the capital of France."), 2.0),
    Hit(Passage("louvre", "Louvre", "Louvre. A museum in PARIS, on the Seine."), 1.0),
]


def numbers(completion: str) -> list[int]:
    return [citation.number for citation in parse_answer(completion, HITS).citations]


def test_the_citation_leaves_the_text_and_points_at_its_passage() -> None:
    assert parse_answer(" Paris [2]", HITS) == Answer(
        "Paris", (Citation("paris", 2, "generator"),), "concat"
    )


@pytest.mark.parametrize(
    ("completion", "cited"),
    [
        ("Paris [1, 2]", [1, 2]),
        ("Paris [1][3]", [1, 3]),
        ("Paris [3] [1]", [3, 1]),
        ("Paris [2][2, 2]", [2]),
        ("Paris [Passage 2]", [2]),
        ("Paris [passages 2; 3]", [2, 3]),
        ("Paris [2, 9]", [2]),
    ],
)
def test_citations_in_every_spelling(completion: str, cited: list[int]) -> None:
    assert numbers(completion) == cited
    assert parse_answer(completion, HITS).text == "Paris"


@pytest.mark.parametrize("completion", ["Paris", "Paris [7]", "Paris [0]", "Paris [999]", "paris."])
def test_without_a_citation_in_the_prompt_the_passages_with_the_answer_are_cited(
    completion: str,
) -> None:
    assert parse_answer(completion, HITS).citations == (
        Citation("paris", 2, "match"),
        Citation("louvre", 3, "match"),
    )


def test_an_answer_found_nowhere_has_no_citation() -> None:
    assert parse_answer("Marseille [8]", HITS) == Answer("Marseille", (), "concat")
    assert parse_answer("Paris [1]", []) == Answer("Paris", (), "concat")


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("The Louvre [3] in Paris [2].", "The Louvre in Paris"),
        ("Paris\nQuestion: What is [1]", "Paris"),
        ("\n\n Paris ", "Paris"),
        ("Paris [2", "Paris"),
        ("Paris [", "Paris"),
        ('"Paris."', "Paris"),
        ("“La Marseillaise” (The Song)", "“La Marseillaise” (The Song)"),
        ("'Paris'", "Paris"),
        ("Answer: Paris", "Paris"),
        ("U.S.", "U.S."),
        ("São Tomé [2]。", "São Tomé。"),
        ("東京 [1]", "東京"),
        (".fr", ".fr"),
        ("3.5 km.", "3.5 km"),
        ("in [the] box", "in [the] box"),
    ],
)
def test_the_text_is_tidied(completion: str, text: str) -> None:
    assert parse_answer(completion, HITS).text == text


@pytest.mark.parametrize("completion", ["", " \n", "[1]", " [1][2] .", '""', "[", "Answer:"])
def test_no_text_is_a_bad_completion(completion: str) -> None:
    with pytest.raises(BadCompletion, match="no answer"):
        parse_answer(completion, HITS)


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("Its capital is São Tomé.", "sao tome", True),
        ("Parisian cafés", "Paris", False),
        ("Population: 1,234 (2025)", "1,234", True),
        ("Population: 11,234", "1,234", False),
        ("the capital of France", "France capital", False),
        ("首都は東京です", "首都は東京です", True),
        ("首都は東京です", "東京", True),
        ("首都は東京です", "京東", False),
        ("東京Towerの高さ", "Tower", True),
        ("気温は21.5度です", "21.5", True),
        ("気温は21.5度です", "5", False),
        ("気温は-5度です", "5", False),
        ("気温は-5度です", "-5度", True),
        ("เมืองหลวงคือกรุงเทพ", "กรุงเทพ", True),
        ("수도는 서울입니다", "서울", False),
        ("anything", "...", False),
        ("", "Paris", False),
        ("It is a B", "A", False),
        ("A bird", "the", False),
        ("A", "A", True),
        ("It fell to -5 degrees.", "5", False),
        ("It fell to −5 degrees.", "-5", True),
        ("It fell to –5 degrees.", "-5", True),
        ("from 5-10 m", "10", True),
        ("Covid-19", "19", True),
        ("some 1,500 people", "1500", True),
        ("some 1\u202f500 people", "1,500", True),
        ("some 1'500'000 people", "1500000", True),
        ("in 1990, 500 people", "500", True),
        ("some 21.5 km", "5", False),
        ("some 21.5 km", "21.5", True),
        ("on 2020-01-05", "5", False),
        ("on 12.05.2020", "2020", True),
        ("It is written in C++.", "C", False),
        ("blood type AB-", "AB+", False),
    ],
)
def test_contains_compares_whole_words(text: str, phrase: str, found: bool) -> None:
    assert contains(text, phrase) is found


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("The Nile.", "nile", True),
        ("A", "the", False),
        ("a", "A", True),
        ("vitamin A", "Vitamin a", True),
        ("-5", "5", False),
        ("+5", "5", True),
        ("(5)", "5", True),
        ("1,500", "1500", True),
        ("68,512,806", "68512806", True),
        ("1,500.25", "1500.25", True),
        ("1,5", "15", False),
        ("3.5", "35", False),
        ("3.5", "3 5", False),
        (".5", "0.5", True),
        ("1990, 500", "1990500", False),
        ("C#", "C++", False),
        ("$", "€", False),
        ("...", "", False),
        ("São Tomé", "sao tome", True),
    ],
)
def test_answers_are_the_same_by_what_tells_them_apart(first: str, second: str, same: bool) -> None:
    assert same_answer(first, second) is same
    assert same_answer(second, first) is same


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(answers).failed == 0


@pytest.mark.parametrize(
    "text",
    ["0" * 40, "1" + "0" * 5000, "very tall " * 8, "0.0." * 20, "the river Nile, " * 6],
)
def test_what_goes_on_without_end_is_no_answer(text: str) -> None:
    with pytest.raises(BadCompletion, match="without end"):
        answer_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "1,000,000,000,000,000,000",
        "10000000000",
        "ha ha ha ha ha",
        "very very very tall",
        "Tiki Tiki Tembo No Sa Rembo",
    ],
)
def test_what_repeats_a_little_is_an_answer(text: str) -> None:
    assert answer_text(text) == text
