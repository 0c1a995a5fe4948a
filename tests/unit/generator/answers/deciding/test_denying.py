"""Yes or no, where a sentence says so in as many words."""

import pytest

from generator.answers.deciding.denying import said_plainly
from generator.answers.deciding.rules import decide


@pytest.mark.parametrize(
    ("question", "sentence", "said"),
    [
        ("Does it have a snooze button?", "It has no snooze button, and on purpose.", False),
        ("has it got an answering machine", "A phone with big keys and no answering machine.",
         False),
        ("do they teach Spanish", "Languages: French, German; no Spanish.", False),
        ("Is there egg in it?", "Allergens: wheat, celery; no egg.", False),
        ("are there nuts in it?", "Vegan; contains no nuts.", False),
        ("are the batteries included?", "Takes 3 AA batteries (not included) or a cable.", False),
        ("Is the USB cable in the box?", "The USB cable is not in the box.", False),
        ("Does it come with a USB cable?", "It takes 3 batteries or a USB cable (included).", True),
        ("is it vegan", "Vegan.", True),
        ("Are they gluten-free?", "Vegan and gluten-free; contains no nuts.", True),
        # Something else, or more than that, or on a condition.
        ("Has it a button?", "It has no snooze button.", None),
        ("Has it a red snooze button?", "It has no snooze button.", None),
        ("Has it a roof?", "It has no roof of glass.", None),
        ("Is there a lift?", "There is no lift if the house is shut.", None),
        ("Is there a lift?", "There is no longer a lift.", None),
        ("Is there a lift?", "There is a lift.", None),
        ("Is there a bus?", "On Sundays there is no bus.", None),
        ("Is there a shower?", "Room 3 has no shower.", None),
        ("Does the hall have steps?", "The hall has no steps.", False),
        ("Is breakfast included?", "Breakfast is included in the suites.", None),
        ("Is breakfast included?", "Breakfast is included in the price.", True),
        ("Are towels included?", "Towels are included from 3 nights.", None),
        ("Is the bell included?", "It takes 3 AA batteries (not included).", None),
        ("Is it vegan?", "Vegan dishes are served.", None),
        ("Is it vegan?", "Not vegan.", None),
        ("Is it vegan?", "For a vegan, oat milk.", None),
    ],
)  # fmt: skip
def test_what_a_sentence_says_plainly(question: str, sentence: str, said: bool | None) -> None:
    assert said_plainly(question, sentence, []) is said


def test_a_question_is_decided_by_it() -> None:
    text = "The phone is red. It has no keys."
    assert decide("Does it have keys?", text, (25, 33), "Phone") == "no"
    assert decide("Doesn't it have keys?", text, (25, 33), "Phone") is None
    assert decide("Did it have keys?", text, (25, 33), "Phone") is None
