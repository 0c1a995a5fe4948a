"""Of a question longer than a checkpoint reads the part that asks is looked for."""

import pytest

from app.flow.brevity import asking_part

TOLD = "We walked past this one on Sunday with my parents. "


def fits(text: str) -> bool:
    return len(text.split()) <= 12


@pytest.mark.parametrize(
    ("asked", "part"),
    (
        (f"{TOLD}It was raining hard all day. Who built it?", None),
        (f"{TOLD}Who built it? Thank you so much for your help with this.", "Who built it?"),
        # As much before it as has room.
        (f"{TOLD}It is a tower. Who built it?", "It is a tower. Who built it?"),
        # A full stop behind "St." ends nothing.
        (
            f"{TOLD}It stands by St. Anne's. When was it built?",
            "It stands by St. Anne's. When was it built?",
        ),
        # Without a mark, and without an end.
        (
            "my parents and I saw this in the park near our hotel and i wonder how old it is",
            "how old it is",
        ),
        (
            "as my daughter keeps asking me and I have no idea at all, is it dangerous to people",
            "is it dangerous to people",
        ),
        # What asks first and tells then.
        (f"What is it called? {TOLD}My father thinks that he knows it", "What is it called?"),
        # What asks nothing is no question, with a mark or without.
        (f"What is the capital? {TOLD}We liked it, did we not?", "What is the capital?"),
        (f"{TOLD}What is the capital? {TOLD}Isn't that nice?", "What is the capital?"),
        (f"{TOLD}Can you help? What does it eat? {TOLD}", "Can you help? What does it eat?"),
        (f"{TOLD}\nWhat is the capital of it\n{TOLD}", "What is the capital of it"),
        (f"{TOLD}Tell me its capital. Many thanks! {TOLD}", "Tell me its capital."),
        (
            "I do not know where it was taken and my teacher has us find out the capital of it",
            "the capital of it",
        ),
        (
            "Who knows what all of this is and why it hangs on a wall, so what is its capital?",
            "what is its capital?",
        ),
    ),
)
def test_what_is_asked_is_kept(asked: str, part: str | None) -> None:
    expected = "It was raining hard all day. Who built it?" if part is None else part
    assert asking_part(asked, fits) == expected


@pytest.mark.parametrize("asked", ("Who built it?", "word " * 20, "what " + "word " * 20))
def test_what_fits_or_has_no_part_that_does_stays(asked: str) -> None:
    kept = asking_part(asked, fits)
    assert kept == asked
