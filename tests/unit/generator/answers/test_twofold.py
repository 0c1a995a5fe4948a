"""Which questions ask two things, and what they ask first."""

import pytest

from generator.answers.twofold import first_of_two


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("who is the president and how old is he", "who is the president?"),
        (
            "Whats the tallest mountain there, and how high is it?",
            "Whats the tallest mountain there?",
        ),
        ("Tell me what this is and where it lives", "Tell me what this is?"),
        ("When and where was the tower built?", "When was the tower built?"),
        ("What is the capital? How many people live there?", "What is the capital?"),
        ("In which town is it and in what year was it built?", "In which town is it?"),
    ],
)
def test_the_first_of_two_is_told_apart(question: str, first: str) -> None:
    assert first_of_two(question) == first


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital?",
        "what are its imports and exports",
        "Why red? What does it stand for?",
        "annual or what? I mean, how is its life cycle classed",
        "two princes?? which president is one of them",
        "What is the animal that swims and which lays eggs?",
        "What's the term for a place with no sea, and whose neighbours have none either?",
        "What is the law mixed from, English common law and what else?",
        "who",
        "",
    ],
)
def test_one_question_is_one(question: str) -> None:
    assert first_of_two(question) is None
