"""Whether words are of the kind of thing that a question names."""

import pytest

from generator.values.kinds import other_kind


@pytest.mark.parametrize(
    ("question", "is_answer", "is_none"),
    [
        ("what is the least temperature in winter", "-40 °C", "Hoh Nuur"),
        ("How cold does it get?", "very cold", "Hoh Nuur"),
        ("what time is it there now", "UTC+3", "February to April"),
        ("What time does it open?", "10 am", "May to July"),
        ("life span?", "two to three years", "19 species"),
        ("how long does one match take", "an hour", "a shootout"),
        ("how much does somebody earn in a year", "900 crowns", "75.6 years"),
        ("what do I dial to call there", "+254", "Land of Zanj"),
        ("which atolls is it made of", "Atafu and Fakaofo", "three"),
        ("Which country governs it?", "Denmark", "parliamentary democracy"),
        ("Which country governs it?", "UK", "parliamentary democracy (House of Oz)"),
        ("which oil company works there", "Ubil", "oil exporter"),
        ("which country makes the most of it", "Italy", "world"),
        ("In which city does it stand?", "Mecca", "stone building"),
        ("what do I dial to call there", "254", ".ke"),
        ("which plug do I need there", "type G", ".th"),
    ],
)
def test_words_of_another_kind_are_no_answer(question: str, is_answer: str, is_none: str) -> None:
    assert [other_kind(question, words) for words in (is_answer, is_none)] == [False, True]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("At what temperature does it melt, and what is left?", "a grey powder"),
        ("What time of year is best?", "May to July"),
        ("Which country does it border?", "none"),
        ("How long does it last?", "forever"),
        ("How long does it live?", "up to five"),
        ("What time of the year do they nest?", "March"),
        ("How long does it take to soak?", "overnight"),
        ("How long does the course take?", "a semester"),
        ("How long does the paint last?", "generations"),
        ("How long does a term last?", "until Easter"),
        ("Which rooms have a bath?", "12"),
        ("Which island is inhabited?", "the larger island"),
        ("Which lake is deep?", "the upper"),
        ("How warm is the bath?", "lukewarm"),
        ("How hot is the curry?", "moderately so"),
        ("Which classes are there?", "3"),
        ("Which islands is it made of, and how many?", "all of them"),
        ("which country town has it", "a small one"),
        ("Which river is it on?", "Île-de-France"),
        ("what's the internet ending for websites from there", ".fr"),
        ("what do their web adresses end in", ".fr"),
    ],
)
def test_where_the_kind_is_not_plain_any_words_may_answer(question: str, words: str) -> None:
    assert not other_kind(question, words)
