"""Of several values in one sentence that of what a question names."""

import pytest

from generator.values.parallel import of_another, of_the_year

FARES = "A horse costs 3 crowns a day, a cart 7, a coach 20 and a sleigh with a bell 9."
HOURS = "Drop-off from 4 p.m., pick-up until noon at 12."
ROOMS = "Double room from 90 pounds, bread 2 pounds."
HEIGHT = "The river has 3 m in spring and 1 m in autumn."
CROWNED = (
    "The king is chosen in May; in 1904 it was Joe Doe, in 1903 Ann Roe, in 1902 nobody's dog Rex."
)


CHARGE = "Charging takes 110 minutes for the LB-12 and two and a half hours for the LB-14."
TURN = "It turns left in the Northern Hemisphere and right in the Southern Hemisphere."
WAGES = "They earn 840 crowns a month in the first year, 930 in the second and 990 in the third."
WARRANTY = "Warranty: 3 years; 10 years on the motor if you register within 30 days."
SCREWS = "Tighten the crank with 40 Nm, the pedals with 35 Nm, the stem with 5 Nm and no more."


def other(question: str, text: str, *words: str) -> list[bool]:
    places = [(text.index(w), text.index(w) + len(w)) for w in words]
    return [of_another(question, text, *place) for place in places]


@pytest.mark.parametrize(
    ("question", "text", "is_answer", "is_none"),
    [
        ("What does a cart cost?", FARES, "7", "3 crowns"),
        ("how much is the coach", FARES, "20", "7"),
        ("When can I pick up?", HOURS, "noon", "4 p.m"),
        ("when is drop off", HOURS, "4 p.m", "noon at 12"),
        ("How deep is the river in autumn?", HEIGHT, "1 m", "3 m"),
        ("What does a double room cost?", ROOMS, "90 pounds", "2 pounds"),
        # What an amount is for stands behind it, on a condition perhaps.
        ("How long does the LB-14 take?", CHARGE, "two and a half hours", "110 minutes"),
        ("how many pages in colour", "It has 12 a minute in black, 7 in colour.", "7", "12"),
        ("what do they earn in the second year", WAGES, "930", "840 crowns"),
        ("what do they earn in the third year", WAGES, "990", "930"),
        ("How long is the warranty on the motor?", WARRANTY, "10 years", "3 years"),
        ("What is it for a week?", "Hire: 35 crowns a day, 180 a week, deposit 100.", "180", "100"),
        (
            "What do students pay?",
            "It is 48 a year, under 18 it is 15, students half.",
            "half",
            "48",
        ),
        ("holiday at 52?", "Holiday: 28 days, from 52 years of age 30 days.", "30 days", "28 days"),
        ("which way does it turn in the south", TURN, "right", "left"),
        ("which way in the northern half", TURN, "left", "right"),
        (
            "What is it for silver?",
            "At 9 a silver card with 5 %, at 30 a gold card with 7 %.",
            "5 %",
            "7 %",
        ),
        ("How many stalls are there in winter?", "It has 35 stalls, in winter 20.", "20", "35"),
        (
            "what does a violin cost",
            "Hire: a violin for 5 crowns a month, a cello for 8.",
            "5",
            "8",
        ),
        ("How long does it keep without cream?", "With cream 2 days, without cream 4.", "4", "2"),
        ("What for the second child?", "It costs 3, for the second child of a family 2.", "2", "3"),
        # In a unit that no table has.
        ("With how much force do I tighten the pedals?", SCREWS, "35 Nm", "40 Nm"),
    ],
)
def test_the_item_that_the_question_names(
    question: str, text: str, is_answer: str, is_none: str
) -> None:
    assert other(question, text, is_answer, is_none) == [False, True]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("What does a horse cost?", FARES, "3 crowns"),
        ("What does a donkey cost?", FARES, "3 crowns"),
        ("What do all cost, but not the cart?", FARES, "3 crowns"),
        ("How deep is the river in spring?", HEIGHT, "3 m"),
        # A clause of its own says anything of the other.
        ("When was the mill of Ribe built?", "The mill is of 1850, and Ribe paid in 1860.", "1850"),
        ("How heavy is it?", "It weighs between 3 and 5 kg.", "5 kg"),
        ("How long does the LB-12 take?", CHARGE, "110 minutes"),
        ("How long does it take?", CHARGE, "110 minutes"),
        ("How many stalls are there?", "It has 35 stalls, in winter 20.", "35"),
        (
            "How many storms a year?",
            "Up to 90 of all ships that go there for a whole year lie on the "
            "storm belt, and 9 storms a year come on land, 5 of them bad.",
            "9",
        ),
        (
            "In what year did it open with a feast?",
            "It began in 1607 and, with a king, in 1620.",
            "1607",
        ),
        ("what do they earn in the first year", WAGES, "840 crowns"),
        ("How long is the warranty?", WARRANTY, "3 years"),
        ("Which way does it turn?", TURN, "left"),
        ("Which way does it turn in South Ub?", TURN, "left"),
        ("How large is the part of others?", "Red 3% (of 1990), others unknown (1991).", "3%"),
        ("When did the last one die?", "The last one, Bo, died on 1 May 1911.", "1 May 1911"),
    ],
)
def test_where_no_item_is_plainly_meant_all_may_be(question: str, text: str, words: str) -> None:
    assert other(question, text, words) == [False]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("How much is a single room?", ROOMS, "90 pounds"),
        ("How long is it by train?", "By bus: 2 hours, from the port.", "2 hours"),
        ("fare for adults?", "Children 3 pounds.", "3 pounds"),
        ("Who was his second wife?", "He married first Ann Roe.", "Ann Roe"),
    ],
)
def test_the_opposite_of_what_is_named_is_no_answer(question: str, text: str, words: str) -> None:
    assert other(question, text, words) == [True]
    climbed = "Swum at the second attempt in 1904."
    assert other("When was the lake first crossed?", climbed, "1904") == [False]
    assert other("How large is it?", "A small hut, 3 m wide.", "3 m") == [False]


def test_the_value_beside_the_year_that_is_asked_for() -> None:
    start = CROWNED.index("Joe Doe")
    said = {
        year: CROWNED[slice(*of_the_year(f"Who was it in {year}?", CROWNED, (start, start + 7)))]
        for year in (1904, 1903, 1902, 1901)
    }
    assert said == {1904: "Joe Doe", 1903: "Ann Roe", 1902: "Rex", 1901: "Joe Doe"}


def test_several_names_beside_a_year_are_all_said() -> None:
    text = "Winners: 2022 Ann Roe, 2024 Joe Doe and Bob Lee together, 2025 nobody."
    start = text.index("Ann Roe")
    span = of_the_year("Who won in 2024?", text, (start, start + 7))
    assert text[slice(*span)] == "Joe Doe and Bob Lee"
