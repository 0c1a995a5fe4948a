"""What a label, or the subject of a clause, says that a value is."""

import pytest

from generator.values.fields import of_another_field


def out(question: str, text: str, words: str) -> bool:
    start = text.index(words)
    return of_another_field(question, text, start, start + len(words))


NAMES = "Oz - Names. Conventional long form: Kingdom of Oz. Former names: Ys. Capital: Ub."
LAND = "Oz - Terrain. Highest point: Mount Ab 940 m. Lowest point: River Ob and River Ur 3 m."
SIZE = "Oz - Land. Area comparison: twice the size of Ub. Major urban areas: 4.8 million Ys."
COLORS = "Oz - Symbols. National symbols: eagle. National colors: red, gold."
HOTEL = "Hotel. A hotel is a house with rooms. In Oz, capsule hotels have tiny rooms for sleeping."
FORCES = "Oz - Military. Military forces: Oz Defense Forces (ODF): Oz Army, Oz Navy (2025)."
FLAG = (
    "Oz - Flag. Flag: description: three bands, with a blue chakra (wheel) in the middle meaning: "
    "saffron stands for courage, sacrifice, and denial; white for truth, the golden sun for light, "
    "and green for faith; the chakra symbolizes the wheel of life."
)


@pytest.mark.parametrize(
    ("question", "text", "is_answer", "is_none"),
    [
        ("what's the new name of this country", NAMES, "Kingdom of Oz", "Ys"),
        ("What is the country called today?", NAMES, "Kingdom of Oz", "Ys"),
        ("name the longest river of this country", LAND, "Oz", "River Ob"),
        ("which rivers are there", LAND, "Oz", "Mount Ab"),
        ("what does the wheel stand for", FLAG, "life", "sacrifice"),
        ("what does the wheel stand for", FLAG, "wheel of life", "courage"),
        ("what does the green colour mean", FLAG, "faith", "truth"),
        ("what is the sun on it for", FLAG, "light", "faith"),
        ("what does the black stripe mean", FLAG, "blue", "truth"),
        ("who is in charge there", FORCES, "Military", "Oz Defense"),
        ("and who's the boss", FORCES, "Military", "Oz Army"),
        ("who designed the flag", FLAG, "chakra", "description: three bands"),
        ("which mountain is the highest", LAND, "Mount Ab", "Oz"),
        ("what building is on that flag?", FLAG, "chakra", "description: three bands"),
        ("what's different on the back of it", SIZE, "Oz", "twice"),
        ("how many capitals has it got", SIZE, "twice", "4.8 million"),
        ("what is the gold color for", COLORS, "eagle", "red"),
        ("what is a capsule hotel", HOTEL, "tiny rooms", "house"),
        ("what building is that", FLAG, "chakra", "description: three bands"),
    ],
)
def test_a_value_of_another_field_is_no_answer(
    question: str, text: str, is_answer: str, is_none: str
) -> None:
    assert [out(question, text, words) for words in (is_answer, is_none)] == [False, True]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("what was it called before it got its new name", NAMES, "Ys"),
        ("Which country is it now, on old maps?", NAMES, "Ys"),
        ("What is the biggest mountain?", LAND, "Mount Ab"),
        ("Where is it lowest?", LAND, "River Ob"),
        ("what does the bird stand for", FLAG, "courage"),  # perhaps the saffron is the bird's
        ("What do the colours mean?", FLAG, "courage"),
        ("what does the gold stand for", FLAG, "light"),
        ("who defends it", FORCES, "Oz Army"),
        ("What branches are there?", FORCES, "Oz Navy"),
        ("how large is it", SIZE, "twice"),
        ("how many people live in its biggest city", SIZE, "4.8 million"),
        ("What are its colours?", COLORS, "red"),
        ("what is a hotel", HOTEL, "house"),
        ("what is a motel", HOTEL, "house"),
        ("which land is it", LAND, "Oz"),
        ("What's on the flag?", FLAG, "description: three bands"),
        ("What does the flag look like?", FLAG, "description: three bands"),
    ],
)
def test_where_no_field_is_plainly_meant_any_may_be(question: str, text: str, words: str) -> None:
    assert not out(question, text, words)
