"""Who did something else than was asked is no answer."""

import pytest

from generator.values.roles import other_role

TEXT = (
    "It was built about 1912 by the brothers Bonaldi, designed by Rupert Lane and given in 1970. "
    "For years it was ridden by the postman Josiah Bream. Piet Hollander played it."
)


@pytest.mark.parametrize(
    ("question", "name", "other"),
    [
        ("Who played this?", "Bonaldi", True),
        ("Who played this?", "Piet", False),
        ("who made it", "Josiah", True),
        ("And who owned it?", "Rupert", True),
        ("By whom was it built?", "Josiah", True),
        ("Who made this?", "Bonaldi", False),
        # Who designed it may be said to have made it.
        ("Who made this?", "Rupert", False),
        ("Who rode it?", "Josiah", False),
        # It is not plain what was done, or not who is asked for.
        ("Who was Josiah Bream?", "Josiah", False),
        ("Who built it and who played it?", "Josiah", False),
        ("When was it built?", "Josiah", False),
        ("Under whose direction was it built?", "Josiah", False),
    ],
)
def test_a_name_is_of_who_did_it(question: str, name: str, other: bool) -> None:
    assert other_role(question, TEXT, TEXT.index(name)) is other


def test_one_may_hold_two_offices() -> None:
    text = "Secretary: Ina Voss, also treasurer. Coach: Bo Katz."
    places = [text.index(name) for name in ("Ina", "Bo")]
    assert [other_role("Who is the treasurer?", text, at) for at in places] == [False, True]


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("which country gave it away as a present", True),
        ("From whom was it a present?", True),
        ("To whom was it given?", False),
        ("Who was it given to?", False),
        ("Where is it?", False),
    ],
)
def test_who_got_a_present_did_not_give_it(question: str, other: bool) -> None:
    text = "A gift to the United States from the people of France."
    assert other_role(question, text, text.index("United")) is other
    assert not other_role(question, text, text.index("people"))


@pytest.mark.parametrize(
    ("question", "title", "other"),
    [
        ("who is the king", "President", True),
        ("Who is the queen?", "King", True),
        ("Who's the president here?", "King", True),
        ("who is the monarch", "Queen", False),
        ("who is the king", "King", False),
        ("Who is the boss?", "President", False),
        ("Who is the chancellor?", "Chancellor", False),
    ],
)
def test_a_president_is_no_king(question: str, title: str, other: bool) -> None:
    text = f"Chief of state: {title} Ann Roe (since 2017)."
    assert other_role(question, text, text.index("Ann")) is other
    assert other_role(question, text, text.index(title)) is other
