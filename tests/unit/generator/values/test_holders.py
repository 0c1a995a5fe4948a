"""Who held an office when it is asked."""

import pytest

from generator.answers.doubting import doubts_about
from generator.values.beside import with_beside
from generator.values.holders import at_the_time

HEADS = (
    "Heads of the school: Theo Black (1896-1921), Agnes Muir (1921-1940), vacant (1940-1943), "
    "Reg Stone (1943-1966), Dr Dora Keane (since 1966). Agnes Muir was the first woman."
)


def said(question: str, text: str, words: str) -> str:
    start = text.index(words)
    return text[slice(*at_the_time(question, text, (start, start + len(words))))]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("who was head in 1930", "Agnes Muir"),
        ("Who was the head of the school in 1942?", "vacant"),
        ("Who was head in 1999?", "Dr Dora Keane"),
        ("Who was head before Reg Stone?", "vacant"),
        ("who came after Black", "Agnes Muir"),
        ("Who succeeded Agnes Muir?", "vacant"),
        ("Who was succeeded by Agnes Muir?", "Theo Black"),
        # Two were, nobody is named, and no list goes on.
        ("Who was head in 1921?", "Theo Black"),
        ("Who was head before Ann Roe?", "Theo Black"),
        ("Who was head before Theo Black?", "Theo Black"),
        ("When was the school founded, before 1900?", "Theo Black"),
    ],
)
def test_who_held_the_office(question: str, name: str) -> None:
    assert said(question, HEADS, "Theo Black") == name


def test_outside_of_a_list_it_stays() -> None:
    assert said("Who was head in 1930?", HEADS, "the first woman") == "the first woman"
    two = "Ann Roe (1821-1840) married Joe Doe (1820-1870) in 1839."
    assert said("Who was king in 1850?", two, "Ann Roe") == "Ann Roe"


def test_a_year_within_the_time_of_an_office_is_no_doubt() -> None:
    start = HEADS.index("Agnes Muir")
    span = (start, start + len("Agnes Muir"))
    assert with_beside("Who was head in 1930?", HEADS, span) == span
    assert doubts_about("Who was head in 1930?", HEADS, span) == ()
    assert doubts_about("Who was head in 1950?", HEADS, span) != ()
