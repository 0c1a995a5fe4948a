"""What a question says that its answer leaves out."""

import pytest

from generator.answers.doubting import doubts_about, of_another_thing

TOWN = "Oymyakon had 462 inhabitants in 2010 and 520 in 2002. It lies at 745 m. Founded in 1935."
RIVERS = "The Danube is longer than the Dnieper, which is 2,201 km long; the Volga has 3,531 km."


def about(question: str, text: str, answer: str) -> tuple[str, ...]:
    start = text.index(answer)
    return doubts_about(question, text, (start, start + len(answer)))


@pytest.mark.parametrize(
    ("question", "answer", "doubt"),
    [
        ("How many lived there in 2002?", "462", "it is said of 2010, not of 2002"),
        ("inhabitants 2002", "462 inhabitants", "it is said of 2010, not of 2002"),
        ("how many in 1950", "462", "the passage says nothing of 1950"),
        ("How high was it in 1989?", "745 m", "the passage says nothing of 1989"),
    ],
)
def test_another_year_than_the_one_asked_for(question: str, answer: str, doubt: str) -> None:
    assert about(question, TOWN, answer) == (doubt,)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many lived there in 2010?", "462"),
        ("How many lived there in 2002?", "520"),
        ("How many lived there?", "462"),
        ("How many lived there before 1990?", "462"),  # a bound: nobody need say it
        ("Between 1914 and 1918, how high was it?", "745 m"),
        ("When was it founded?", "1935"),
        ("Of 2002 and 2010, when did more live there?", "2002"),
        ("Is it 1950 m high, or how high?", "745 m"),  # a length, not a year
        ("people in the 1950s", "462"),
        ("what is 25 times 1,950", "462"),
    ],
)
def test_the_year_that_is_asked_for_or_none(question: str, answer: str) -> None:
    assert about(question, TOWN, answer) == ()


@pytest.mark.parametrize(
    ("question", "answer", "doubted"),
    [
        ("Which is longer, the Danube or the Dnieper?", "2,201 km", True),
        ("which river is longer: volga or danube", "3,531 km", True),
        ("Which is longer, the Danube or the Dnieper?", "The Danube", False),
        ("which one has more water, the Volga or the Don?", "the Volga", False),
        ("How long is it, roughly or exactly?", "2,201 km", False),
        ("is it the danube or the dnieper they drink from", "2,201 km", True),
        ("Is this a river or a lake?", "2,201 km", True),
        ("do they drink from a river or a well in this country", "2,201 km", True),
        ("Do the Danube or the Volgas matter", "the Volga", False),
        ("Is it long or what?", "2,201 km", False),
        ("Which river is longer?", "2,201 km", False),
    ],
)
def test_a_comparison_of_two_is_answered_with_one_of_them(
    question: str, answer: str, doubted: bool
) -> None:
    doubts = about(question, RIVERS, answer)
    assert bool(doubts) == doubted
    assert not doubts or doubts[0].startswith("it is neither “")


@pytest.mark.parametrize(
    ("question", "text", "answer", "doubt"),
    [
        (
            "How much heavier is the ox in May than in June?",
            "The ox weighs 900 kg in May and 880 kg in June.",
            "900 kg",
            "it asks for a difference, and this is one of the two",
        ),
        (
            "compare the population with Oz",
            "Border countries: Oz 168 km.",
            "168 km",
            "it asks to compare, and this is one of the two",
        ),
        ("Who opened the mill?", "Ann saw him open it.", "him", "“him” is no name"),
        (
            "who were the last two kings",
            "The king is Joe Doe, and before him Ann Roe.",
            "Joe Doe",
            "it asks for two, and this is one",
        ),
        (
            "How tall must one be to ride?",
            "A child of less than 120 cm cannot ride.",
            "less than 120 cm",
            "its sentence says “not”",
        ),
    ],
)
def test_a_part_of_what_is_asked_for(question: str, text: str, answer: str, doubt: str) -> None:
    assert about(question, text, answer) == (doubt,)


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("How much older is it?", "It is 60 years older than the inn.", "60 years"),
        ("Compare it with Oz.", "It is larger than Oz.", "larger than Oz"),
        ("How many smaller islands has it?", "It has 32 islands.", "32"),
        ("What are the last two words?", "They are an adjective phrase.", "adjective phrase"),
        ("How much water is there?", "The tank holds 40 l of water.", "40 l"),
        ("who were the last two kings", "They were Joe Doe and Ann Roe.", "Joe Doe and Ann Roe"),
        ("What weighs it?", "It has less than 3 kg.", "less than 3 kg"),
        ("Who may not ride?", "A child of less than 120 cm cannot.", "less than 120 cm"),
    ],
)
def test_all_of_what_is_asked_for(question: str, text: str, answer: str) -> None:
    assert about(question, text, answer) == ()


@pytest.mark.parametrize(
    ("question", "best", "doubted"),
    [
        ("How many seats does it have?", "Taxi Halberd", True),
        ("How many seats does it have?", "Bus 114: fact sheet", False),
        ("How many seats does it have?", "Depots", False),  # the passage names it
        ("How many seats does it have, the bus?", "Taxi Halberd", False),
        ("How many seats were ordered?", "Taxi Halberd", False),  # perhaps not of the picture
        ("How many seats does it have?", "", False),
    ],
)
def test_what_is_said_of_another_thing_than_it(question: str, best: str, doubted: bool) -> None:
    text = "The bus of 1950 has 61 seats and stood in the depot of Ribe."
    doubt = ("it is said of “Bus 114”",) if doubted else ()
    assert of_another_thing(question, best, "Bus 114", text) == doubt


BICYCLES = (
    "The Tarn 5 costs 20 more than the Tarn 3. Warranty: 5 years on the frame, 2 on the rest, "
    "except tyres and the chain. Open in May, closed on Sundays, except the last Sundays of May 3."
)


@pytest.mark.parametrize(
    ("question", "answer", "doubt"),
    [
        ("What more does the Tarn 7 cost?", "20", ("the passage says nothing of “Tarn 7”",)),
        ("what more does the tarn 7 cost?", "20", ("the passage says nothing of “tarn 7”",)),
        ("What more does the Tarn 5 cost?", "20", ()),
        ("What more does it cost on May 7?", "20", ()),
        ("What do 7 pieces of the Tarn cost?", "20", ()),
        ("warranty on the tyres?", "5 years", ("its sentence excepts “tyres and the chain”",)),
        ("warranty on the frame?", "5 years", ()),
        ("on what is there none, except the chain?", "5 years", ()),
        ("What has none?", "tyres", ()),
        ("When is it closed on Sundays?", "May", ()),
    ],
)
def test_another_model_and_what_is_excepted(
    question: str, answer: str, doubt: tuple[str, ...]
) -> None:
    assert about(question, BICYCLES, answer) == doubt


@pytest.mark.parametrize(
    ("question", "answer", "doubted"),
    [
        ("Are they active by day or by night?", "nocturnal", False),
        ("Do they live in water or on land?", "rivers", False),
        ("Do they eat meat or plants?", "bark", False),
        ("Was it built by a man or a woman?", "Queen Anne", False),
        ("Is it for adults or kids?", "children", False),
        ("Do they eat meat or plants?", "rivers", True),
    ],
)
def test_what_is_offered_may_be_said_in_another_word(
    question: str, answer: str, doubted: bool
) -> None:
    text = "Nocturnal: nocturnal, in rivers, of bark, for children, of Queen Anne."
    assert bool(about(question, text, answer)) is doubted


def test_a_model_in_the_title() -> None:
    assert doubts_about("What does the Tarn 7 weigh?", "14 kg", (0, 5), "Tarn 5") != ()


def test_what_is_said_of_another_model_than_the_passages_own() -> None:
    text = "It weighs 2 kg. The Fjell 3 is for three and weighs 3 kg."
    own, other = (text.index("2 kg"), text.index("2 kg") + 4), (len(text) - 5, len(text) - 1)
    asked = "How heavy is this tent?"
    assert doubts_about(asked, text, own, "Fjell 2 tent") == ()
    assert doubts_about(asked, text, other, "Fjell 2 tent") == ("it is said of “Fjell 3”",)
    assert doubts_about("How heavy is the Fjell 3?", text, other, "Fjell 2 tent") == ()
    compared = "The Fjell 2 is unlike the Fjell 3 and weighs 2 kg."
    span = (len(compared) - 5, len(compared) - 1)
    assert doubts_about("How heavy is the Fjell 2?", compared, span, "Fjell 2 tent") == ()
    beside = "Like the Fjell 3, it weighs 2 kg."
    span = (len(beside) - 5, len(beside) - 1)
    assert doubts_about("How heavy is it?", beside, span, "Fjell 2 tent") == ()


def test_a_number_that_the_passage_has_in_other_letters_or_of_a_day() -> None:
    text = "Lot 22 went for 300 pounds, lot 23 for 40. Open: Sunday 9 to 17."
    assert about("What did lot 23 go for?", text, "40") == ()
    assert about("What is open on Sunday 10 am?", text, "Lot 22") == ()
