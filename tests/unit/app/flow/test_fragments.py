"""A piece of a question takes the place of its like in the one before."""

import pytest

from app.flow.fragments import put_in_place
from app.flow.talk import by_rule


@pytest.mark.parametrize(
    ("before", "typed", "asked"),
    [
        ("with how much force do I tighten the pedals", "and the crank?",
         "With how much force do I tighten the crank"),
        ("what does it cost without the lens?", "and with the lens",
         "What does it cost with the lens?"),
        # Of several the one that has no capitals either.
        ("what does the mincer for the Kneada cost", "and the pasta roller?",
         "What does the pasta roller for the Kneada cost"),
        ("what does a red light mean", "and yellow?", "What does a yellow light mean"),
        ("what does a boat cost for a week?", "and for a day?", "What does a boat cost for a day?"),
        ("who is the head of the music room?", "and of the kitchen?",
         "Who is the head of the kitchen?"),
        ("who won the first prize in 2024?", "and the second?",
         "Who won the second prize in 2024?"),
        ("who won in 2024?", "and in 2023?", "Who won in 2023?"),
        ("how many pages does the black cartridge last?", "and the colour one?",
         "How many pages does the colour cartridge last?"),
        # The verb stays.
        ("what does a lion eat?", "and a rat?", "What does a rat eat?"),
        ("when did the old king die", "and the queen?", "When did the queen die"),
        ("where does the cat sleep at night", "and the dog", "Where does the dog sleep at night"),
        ("when was the bell cast?", "and the gravestone?", "When was the gravestone cast?"),
        ("how much butter do I need", "and sugar?", "How much sugar do I need"),
        ("what does it cost for adults?", "what about children?",
         "What does it cost for children?"),
        ("who designed it", "and the frame inside?", "Who designed the frame inside"),
        ("who is the head of state", "and the chancellor?", "Who is the chancellor?"),
        ("since when is the king in office?", "and the chancellor?", "Who is the chancellor?"),
        ("who is the president", "and the capital?", "What is the capital?"),
        # A further thing to know of the same.
        ("when did it become independent?", "from whom", "From whom did it become independent?"),
        ("When was it built?", "and by whom?", "By whom was it built?"),
        ("what does it eat", "and how much?", "How much does it eat?"),
        ("Who's the president?", "since when?", "Since when is the president in office?"),
        ("What is the capital?", "since when?", "since when?"),
        ("what does it eat", "how much does it weigh?", "how much does it weigh?"),
        # Something else to know, and no other thing to know it of.
        ("What is the capital?", "and the population?", "What is the population?"),
        ("How long is the coast?", "and the population?", "What is the population?"),
        ("How many people live in the country?", "and the currency?", "What is the currency?"),
        ("How much water does the kettle hold?", "and the other one?", "What is the other one?"),
        # A whole question, and one without "and".
        ("when was the tower built?", "and who built the bridge?", "Who built the bridge?"),
        ("when was the tower built?", "The bridge?", "What is the bridge?"),
    ],
)  # fmt: skip
def test_a_piece_of_a_question_is_put_in_the_place_of_its_like(
    before: str, typed: str, asked: str
) -> None:
    assert by_rule(typed, "", before) == asked


def test_what_the_picture_shows_is_no_like() -> None:
    assert put_in_place("the neck", "When did the animal lose the tail?") == (
        "When did the animal lose the neck?"
    )
    assert put_in_place("the neck", "How fast can the animal run?") == ""
