"""A definition says of what kind something is; a comparison, whether it is larger."""

import pytest

from generator.answers.deciding.rules import decide

BANANA = "Banana. A banana is an elongated, edible fruit that is botanically a berry, of Oz."
BAT = "Bat. Bats (Chiroptera) are winged mammals, the only mammals that fly."
KOALA = (
    "Koala. The koala, sometimes inaccurately called the koala bear, is a herbivorous marsupial."
)
PIG = "Guinea pig. The guinea pig is a species of rodent in a family of animals."
PLUTO = "Pluto. Pluto is a dwarf planet in a ring of bodies."
BERRY = "Strawberry. The strawberry is a hybrid plant, and not a berry."


def verdict(question: str, text: str) -> str | None:
    title, sentence = text.split(". ", 1)
    start = text.index(sentence)
    return decide(question, text, (start, start + 20), title)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("is that a berry really?", BANANA),
        ("Is this a fruit?", BANANA),
        ("is it edible fruit", BANANA),
        ("are they mammals?", BAT),
        ("Is a bat a winged mammal?", BAT),
        ("is it a marsupial", KOALA),
        ("Is this a kind of rodent?", PIG),
    ],
)
def test_a_definition_says_what_kind_a_thing_is(question: str, text: str) -> None:
    assert verdict(question, text) == "yes"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("is this a bear", KOALA),
        ("Is it a pig?", PIG),
        ("Is it a family?", PIG),
        ("is it a planet", PLUTO),
        ("is it a berry", BERRY),
        ("Is it the largest fruit?", BANANA),
        ("Is it a poisonous fruit?", BANANA),
        ("Is it not a fruit?", BANANA),
        ("Was it a fruit?", BANANA),
        ("Does it eat fruit?", BANANA),
        ("Is it from Oz?", BANANA),
    ],
)
def test_what_it_does_not_say_stays_open(question: str, text: str) -> None:
    assert verdict(question, text) is None


@pytest.mark.parametrize(
    ("question", "said", "held"),
    [
        ("is this bigger than the USA?", "slightly larger than the US", "yes"),
        ("is it smaller than Texas", "slightly less than 3.5 times the size of Texas", "no"),
        ("Is the country larger than Ohio?", "about 0.7 times the size of Ohio", "no"),
        ("Is it smaller than Ohio?", "less than one-half the size of Ohio", "yes"),
        ("Is it bigger than Utah?", "five times the size of Ohio; twice the size of Utah", "yes"),
        ("Is it bigger than Ohio?", "slightly smaller than Texas", None),
        ("Is it bigger than Ohio?", "about the size of Ohio", None),
        ("Is it bigger than Ohio?", "about 1.1 times the size of Ohio", "yes"),
        ("Is it bigger than Ohio?", "slightly less than 1 times the size of Ohio", None),
    ],
)
def test_a_comparison_says_whether_it_is_larger(question: str, said: str, held: str | None) -> None:
    text = f"Oz - Land. Area comparison: {said}. Coastline: 3 km."
    start = text.index(said)
    assert decide(question, text, (start, start + len(said)), "Oz") == held


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("Is it true that this country is landlocked?", "yes"),
        ("is it doubly landlocked", None),
        ("Is it mountainous?", None),
    ],
)
def test_a_note_says_what_is_so(question: str, held: str | None) -> None:
    text = "Oz - Land. Geography note: landlocked; the mountainous north borders Ub. Area: 3 km."
    start = text.index("landlocked")
    assert decide(question, text, (start, start + 10), "Oz") == held
