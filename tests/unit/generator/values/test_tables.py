"""Of a table the cell that a question means."""

import pytest

from generator.values.tables import cells

STAFF = """| Department | Head | Since | Phone | Floor |
|---|---|---|---|---|
| Bicycles | Gwen Adebayo | 2016 | -431 | ground floor |
| Kitchen | Rosa Lindqvist | 2021 | -433 | basement |
| Toys and games | Amir Haddad | 2018 | -434 | second floor |

The others are on the third floor."""
LAMPS = """| | Sola 6 | Sola 9 |
|---|---|---|
| Power | 6 W | 9 W |
| Life | 15,000 h | 25,000 h |
| Price | £3.20 | £4.80 |"""
CAMERA = """| Feature | Lumo 200 |
|---|---|
| Battery | LB-12, about 420 shots |
| Weight | 385 g with battery and card |"""
# As a page of Markdown is read: empty cells are not there.
CHAMPIONS = """The club's champions.
Year: 2020; Champion: not held
Year: 2021; Champion: Nadia Benali; Second: Ivan Petrov
Year: 2024; Champion: Lewis Cobb; Second: Oskar Wynn (aged 13)"""
COURSES = """| Course | Age | Day | Time | Price |
|---|---|---|---|---|
| Frogs | 5-6 | Tue | 15.30-16.15 | £56 |
| Pikes | 7-9 | Thu | 16.00-16.45 | £58 |"""


def said(question: str, text: str, words: str) -> list[str]:
    start = text.index(words)
    return [text[a:b] for a, b in cells(question, text, (start, start + len(words)))]


@pytest.mark.parametrize(
    ("question", "text", "words", "cell"),
    [
        ("on which floor are the toys?", STAFF, "basement", ["second floor"]),
        ("Who is head of the kitchen?", STAFF, "Amir Haddad", ["Rosa Lindqvist"]),
        ("Since when has Amir Haddad been there?", STAFF, "2016", ["2018"]),
        ("What does the Sola 9 cost?", LAMPS, "£3.20", ["£4.80"]),
        ("How long does the Sola 9 last?", LAMPS, "6 W", ["25,000 h"]),
        ("which battery does it use", CAMERA, "Battery", ["LB-12, about 420 shots"]),
        ("who came second in 2024", CHAMPIONS, "Ivan Petrov", ["Oskar Wynn (aged 13)"]),
        ("who was champion in 2020", CHAMPIONS, "Nadia Benali", ["not held"]),
        ("when do the Pikes swim", COURSES, "7-9", ["Thu", "16.00-16.45"]),
        ("What do the Pikes cost?", COURSES, "£56", ["£58"]),
        # What the question says of a thing is no answer to it.
        ("Which course costs £58?", COURSES, "£58", ["Pikes"]),
        ("In what year was Lewis Cobb the champion?", CHAMPIONS, "Oskar", ["2024"]),
        ("What costs £58?", COURSES, "£58", ["Pikes"]),
        ("Which course price have the Frogs?", COURSES, "5-6", ["£56"]),
        ("Who is on the second floor?", STAFF, "Amir Haddad", ["Amir Haddad"]),
    ],
)
def test_the_cell_in_the_row_and_the_column_that_a_question_names(
    question: str, text: str, words: str, cell: list[str]
) -> None:
    assert said(question, text, words) == cell


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        # It is in the cell already, or nothing names another.
        ("how many pictures with one battery", CAMERA, "420"),
        ("Who came second in 2021?", CHAMPIONS, "Ivan Petrov"),
        ("Who is younger?", STAFF, "Gwen Adebayo"),
        ("Is the kitchen upstairs or in the basement?", STAFF, "basement"),
        # What is in no table stays.
        ("on which floor are the others?", STAFF, "third floor"),
        ("Who won in 2020?", CHAMPIONS, "The club"),
        ("What is it?", "Red: a colour; blue: a mood", "a mood"),
        ("What is it?", "", ""),
    ],
)
def test_else_it_stays(question: str, text: str, words: str) -> None:
    assert said(question, text, words) == [words]
