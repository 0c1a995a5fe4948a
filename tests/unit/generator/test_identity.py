"""Questions that ask what, or which country, is shown and nothing else."""

import pytest

from generator.identity import asks_country, asks_identity, asks_person, of_a_country

COUNTRY = """\
What country is this?
which country
Which country is this flag from?
whose flag is this
what flag is that
which nation does this belong to
name of the country?
where is this flag from
What country does this flag belong to?
which country's flag is this?
what's the name of this country
Tell me which country this is
name this country
what is the name of this country?
identify this flag
what place is this
what country flag is this
Which state is this flag of?
and which country is this?
please, what country is this
what country is shown
what is this country called
whats this country called
what's the country
Which country does it represent?
""".splitlines()
NOT = """\
Which country is next to it?
which country ruled this before
which country makes the most of this?
what flag did it have before
What country borders this?
which country is this dish from?
what country did they gain independence from
which nation colonised it
what state is the capital in
what place is this used in
where is it from
what is this?
what is the flag made of
what do the colours of this flag mean
which country was it part of
name of the capital
name the president
where is this flag made
which country invented this
what country does it import from
which state is bigger
what country is this bird from
where does it come from
which country is this country's neighbour
""".splitlines()


@pytest.mark.parametrize("question", COUNTRY)
def test_which_country_is_asked_in_many_ways(question: str) -> None:
    assert asks_country(question) and not asks_identity(question)


@pytest.mark.parametrize("question", NOT)
def test_another_question_about_a_country_is_no_such_one(question: str) -> None:
    assert not asks_country(question)


def test_a_passage_about_a_country_has_its_fields() -> None:
    assert of_a_country("Oz - Government. Capital: Emerald City.")
    assert not of_a_country("Eiffel Tower. A tower in the capital: Paris.")


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Which plant is this?", True),
        ("what bird is that", True),
        ("tell me what building this is", False),  # as it was: a rule has to know the order
        ("Which tower am I looking at?", True),
        ("what animal is shown in the picture", True),
        ("What is this called?", True),
        ("Which plant is this made from?", False),
        ("What colour is this?", False),
        ("Which year is this?", False),
        ("What kind of plant is this?", False),
        ("Which bird is this one bigger than?", False),
    ],
)
def test_a_name_may_be_asked_of_a_kind(question: str, asks: bool) -> None:
    assert asks_identity(question) == asks


def test_who_is_asked_of_somebody() -> None:
    assert asks_person("Who is this?") and asks_person("Do you know who this is?")
    assert not asks_person("What is this?")
