"""What a model is shown of a passage in which the extractive reader points at something."""

from dataclasses import replace

from benchmarks.readers import marked, sentences
from generator.extractive.reader import NOTHING

PASSAGE = "Kenya - Places. Capital: Nairobi. Area: 580,367 km2. Largest city: Nairobi."
READING = replace(NOTHING, text="Nairobi", spans=((67, 74), (25, 32)))


def test_spans_are_marked_where_they_stand() -> None:
    assert marked(PASSAGE, READING) == (
        "Kenya - Places. Capital: «Nairobi». Area: 580,367 km2. Largest city: «Nairobi»."
    )
    assert marked(PASSAGE, NOTHING) == PASSAGE


def test_sentences_are_those_of_the_spans_in_order() -> None:
    assert sentences(PASSAGE, READING) == "Capital: Nairobi. Largest city: Nairobi."
