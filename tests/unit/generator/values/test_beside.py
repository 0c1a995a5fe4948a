"""What belongs to a value and stands beside it."""

import pytest

from generator.values.beside import with_beside


def said(question: str, text: str, words: str) -> str:
    at = text.index(words)
    return text[slice(*with_beside(question, text, (at, at + len(words))))]


@pytest.mark.parametrize(
    ("text", "words", "whole"),
    [
        ("It is on the second Saturday in January.", "January", "the second Saturday in January"),
        ("Tours start on Saturdays at 2 pm.", "Saturdays", "Saturdays at 2 pm"),
        ("They fly from May to August.", "August", "May to August"),
        (
            "It closes half an hour before the garden.",
            "half an hour",
            "half an hour before the garden",
        ),
        ("It is open in January.", "January", "January"),
        ("Closed on Saturdays.", "Saturdays", "Closed on Saturdays"),
    ],
)
def test_a_time_is_whole(text: str, words: str, whole: str) -> None:
    assert said("When is it?", text, words) == whole


def test_what_happened_once_was_not_all_the_time() -> None:
    text = "He jumped from 1979 to 1996."
    assert said("When did he jump for the last time?", text, "1996") == "1996"


@pytest.mark.parametrize(
    ("question", "text", "words", "counted"),
    [
        ("How many tulips are there?", "Sixty tulips of 140 sorts.", "140", "Sixty"),
        ("How many sorts are there?", "Sixty tulips of 140 sorts.", "140", "140"),
        ("How many species are inside?", "It has 92 species, 31 of them inside.", "31", "31"),
        ("How many airports are paved?", "It had 43 airports; 31 had paved ones.", "31", "31"),
        ("How many islands are there?", "Of 7,107 islands now 7,641, though.", "7,641", "7,641"),
        ("How many live there?", "12 monks live there with 3 dogs.", "3", "3"),
    ],
)  # fmt: skip
def test_it_is_the_number_of_what_is_counted(
    question: str, text: str, words: str, counted: str
) -> None:
    assert said(question, text, words) == counted


@pytest.mark.parametrize(
    ("question", "text", "words", "whole"),
    [
        ("What does it cost?", "It costs £3.20 a piece.", "£3", "£3.20"),
        ("What does it cost?", "It costs 4 pounds 50.", "4 pounds", "4 pounds 50"),
        ("What does it cost?", "It is 4 pounds 50 pence.", "50 pence", "50 pence"),
        ("Which is it?", "It is version 3.2.1.", "3", "3"),
        ("What does it cost?", "The mincer (£45) is an extra.", "£45) is", "£45"),
        (
            "What law?",
            "Common (old courts) and free law.",
            "courts) and free law",
            "courts) and free law",
        ),
        ("How wide is it?", "Height 16 cm, 11.5 cm, 390 g.", "11.5 cm, 390 g", "11.5 cm"),
        ("How heavy is it?", "It holds 11 litres, 1.2 kg.", "11 litres, 1.2 kg", "1.2 kg"),
        ("What does it cost?", "Colour 301 (£19, 250 pages).", "£19, 250", "£19"),
        ("What is it like?", "It is 11.5 cm, 390 g.", "11.5 cm, 390 g", "11.5 cm, 390 g"),
        ("What do children pay?", "Tickets 9, children under 12 free.", "12 free", "free"),
        ("How long?", "It takes two and a half hours.", "a half hours", "two and a half hours"),
        (
            "How long is the flight?",
            "It took 2 hours and 40 minutes.",
            "2 hours",
            "2 hours and 40 minutes",
        ),
        ("How tall was he?", "He was 6 feet 2 inches tall.", "6 feet", "6 feet 2 inches"),
        (
            "How much gas did it hold?",
            "It held 900 cubic metres of gas.",
            "900",
            "900 cubic metres",
        ),
        ("How much is parking?", "Parking is 3 pounds a day.", "3 pounds", "3 pounds a day"),
        # What the question says itself is left out, and so is what is no smaller unit.
        ("How much is a day of parking?", "Parking is 3 pounds a day.", "3 pounds", "3 pounds"),
        ("How long did it take?", "2 hours and 40 people were there.", "2 hours", "2 hours"),
        ("Where is it?", "It is in hall 3 a day from here.", "hall 3", "hall 3"),
    ],
)
def test_an_amount_is_whole(question: str, text: str, words: str, whole: str) -> None:
    assert said(question, text, words) == whole


@pytest.mark.parametrize(
    ("question", "text", "words", "whole"),
    [
        ("When is it closed?", "Closed on Saturdays.", "Saturdays", "Saturdays"),
        ("What is their telephone?", "Call 030 12 34 56.", "12 34 56", "030 12 34 56"),
        ("How many are there?", "Pens: 12 34 sorts.", "34", "34"),
        ("What is it called?", 'The tug "Ann" is old.', 'tug "Ann', 'tug "Ann"'),
        ("At what time?", "Tea at 3 p.m.; cake.", "3 p.m", "3 p.m."),
        ("What does a jar cost?", "Jar of 500 g 3.20 euros.", "500 g 3.20 euros", "3.20 euros"),
        ("What are they called?", "The cows Ann, Bo and Cy, red.", "Ann", "Ann, Bo and Cy"),
        ("Who is the cow?", "The cows Ann, Bo and Cy, red.", "Ann", "Ann"),
        ("Which number, of 1298?", "It is 1298 (1919).", "1298", "1298"),
        ("Who won in 1903?", "In 1904 it was Ann, in 1903 Bo.", "Ann", "Bo"),
    ],
)
def test_a_span_that_was_cut_is_mended(question: str, text: str, words: str, whole: str) -> None:
    assert said(question, text, words) == whole
