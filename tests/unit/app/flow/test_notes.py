"""What is said beside an answer."""

from dataclasses import replace

import pytest

from app.flow.events import Retrieval
from app.flow.notes import alike, in_english, notes, twins
from corpus.demo.data import demo_questions
from corpus.types import Hit, Passage
from retriever.pictures.neighbours import SimilarPicture


@pytest.mark.parametrize(
    "question",
    [
        "Quel est le plus haut sommet de ce pays ?",
        "Que mange cet animal ?",
        "Was ist die Hauptstadt dieses Landes?",
        "¿Cuál es la capital de este país?",
        "Qual è la capitale di questo paese?",
        "O que come este animal?",
        "Wat is de hoofdstad van dit land?",
        "这个国家的首都是哪里？",
        "この国の首都はどこですか",
        "Какая столица этой страны?",
        "首都?",
        "a",
        '{"a": 1}',
        "1789",
        "",
    ],
)
def test_a_question_in_another_language_or_none_is_noticed(question: str) -> None:
    assert not in_english(question)


def test_english_questions_are_not_taken_for_others() -> None:
    asked = {question for entry in demo_questions() for question in entry.questions}
    asked |= {"Capital?", "Is this Los Angeles?", "Where is El Salvador?", "GDP?"}
    assert [question for question in asked if not in_english(question)] == []


def found(*passages: tuple[str, str, float], **more) -> Retrieval:
    hits = tuple(Hit(Passage(title, title, text), score) for title, text, score in passages)
    return Retrieval(hits, threshold=19.6, **more)


MEXICO = ("Mexico", "Capital: Mexico City.", 26.9)
GUATEMALA = ("Guatemala", "Capital: Guatemala City.", 27.1)


def test_two_things_that_fit_alike_are_asked_about() -> None:
    two = found(GUATEMALA, ("Guatemala", "Area: 108,889 sq km.", 27.0), MEXICO)
    assert alike(two) == ("Guatemala", "Mexico")
    [said] = notes("What is the capital?", two)
    assert said.startswith("Guatemala and Mexico fit almost alike: which one is meant?")


def look_alikes(*similar: tuple[str, float], named: str = "Monaco") -> Retrieval:
    hit = Hit(Passage("1", named, "Capital: X.", entity=named), 25.0)
    pictures = tuple(SimilarPicture("i", name, cosine, name) for name, cosine in similar)
    return Retrieval((hit,), threshold=19.6, similar=pictures)


def test_two_flags_that_look_the_same_are_named_both() -> None:
    """All passages found first may be about one of them."""
    flag = look_alikes(("Indonesia", 0.532), ("Monaco", 0.529), ("Kiribati", 0.25))
    assert twins("capital?", flag) == ("Indonesia", "Monaco")
    [said] = notes("capital?", flag)
    assert said == (
        "Indonesia and Monaco look the same here; the answer is about Monaco. "
        "If the other is meant, ask with its name."
    )
    assert twins("capital of Indonesia?", flag) is None
    assert twins("capital?", look_alikes(("Ireland", 0.589), ("Italy", 0.517))) is None
    assert twins("capital?", look_alikes(("Monaco", 0.5))) is None
    # What was found is about neither: what is alike says nothing of it.
    other = look_alikes(("Indonesia", 0.532), ("Monaco", 0.529), named="Poland")
    assert twins("capital?", other) is None


def test_colours_that_lie_a_little_elsewhere_tell_no_twins_apart() -> None:
    flag = look_alikes(("Chad", 0.48), ("Romania", 0.38), named="Chad")
    chad, romania = flag.similar
    assert twins("capital?", flag) is None
    nearer = replace(flag, similar=(chad, replace(romania, colours=-0.105)))
    assert twins("capital?", nearer) == ("Chad", "Romania")


def test_an_answer_about_another_than_is_most_alike_may_be_of_either() -> None:
    flags = look_alikes(
        ("France", 0.92), ("Guadeloupe", 0.9), ("Saint Martin", 0.89), named="France"
    )
    [best] = flags.hits
    assert twins("capital?", flags) is None, "it is about the first"
    shield = replace(best, passage=replace(best.passage, entity="Shield"))
    assert twins("capital?", replace(flags, hits=(shield,))) is None
    other = replace(
        flags, hits=(replace(best, passage=replace(best.passage, entity="Saint Martin")),)
    )
    assert twins("capital?", other) == ("France", "Saint Martin")


@pytest.mark.parametrize(
    "other",
    [
        found(GUATEMALA, ("Mexico", "Capital: Mexico City.", 26.0)),
        found(("Kenya", "Port: Mombasa.", 27.0), ("Mombasa", "A city.", 26.9)),
        found(("Mombasa", "A city in Kenya.", 27.0), ("Kenya", "Capital: Nairobi.", 26.9)),
        found(GUATEMALA, ("", "Somewhere.", 27.0)),
        found(GUATEMALA),
        found(),
        found(GUATEMALA, MEXICO, unsure=True),
        replace(found(GUATEMALA, MEXICO), threshold=None),
    ],
)
def test_what_is_one_thing_or_says_nothing_is_not_asked_about(other: Retrieval) -> None:
    assert alike(other) is None
