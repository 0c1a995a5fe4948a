"""A question that names what it is about is not answered from its picture."""

import pytest

from app.asking.report import result_as_json
from app.asking.why import explain
from app.flow.subject import named_instead
from app.pipeline import Pipeline
from corpus.types import Query
from tests.golden_cases import golden_image

IMAGE = golden_image("img0")
TITLES = {
    *("Uganda", "Trinidad and Tobago", "United Kingdom", "New Zealand", "France", "Japan"),
    *("Fire bell", "fire bell", "Fire", "Bread dumplings", "Bread", "country"),
}
LOOKED = "so the picture was not looked at"


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What is the population of Uganda?", "Uganda"),
        ("what about Trinidad and Tobago", "Trinidad and Tobago"),
        ("How many live in the United Kingdom?", "United Kingdom"),
        ("What are New Zealand's borders?", "New Zealand"),
        # These mean the picture, or something that it is held against.
        ("Which of its neighbours is south of Uganda?", ""),
        ("Does this country trade with people in Uganda?", ""),
        ("What is the capital of the country?", ""),
        ("When did independence come from France?", ""),
        ("What is this called in Japan?", ""),
        ("How long is the fire bell's rope?", ""),
        ("", ""),
        # Behind its verb; the longest that a passage is called.
        ("How heavy is the Fire bell?", "Fire bell"),
        ("how heavy is the fire bell", "fire bell"),
        ("what do Bread dumplings cost?", "Bread dumplings"),
        ("Who founded Uganda?", "Uganda"),
        ("how big is uganda", ""),
        ("Is France a neighbour?", ""),
        ("Is the United Kingdom a neighbour?", ""),
        ("Is the fire bell heavy?", "fire bell"),
        ("Are the Bread dumplings sweet?", "Bread dumplings"),
        ("Who built this fire bell?", ""),
    ],
)
def test_the_name_of_what_is_asked_about(question: str, name: str) -> None:
    assert next((n for n in named_instead(question) if n in TITLES), "") == name


def test_what_is_named_is_looked_for_and_the_picture_is_not(pipeline: Pipeline) -> None:
    shown = pipeline.ask(Query("What is the capital of this country?", IMAGE), 4).retrieval
    *_, other = dict.fromkeys(hit.passage.title for hit in shown.hits)
    named = pipeline.ask(Query(f"What is the capital of {other}?", IMAGE), 4)
    assert {hit.passage.title for hit in named.retrieval.hits} == {other}
    assert named.retrieval.seen == "" and named.retrieval.boxes == ()
    assert f"names {other}, {LOOKED}" in " ".join(named.notes)
    assert result_as_json(named)["notes"] == list(named.notes)
    # Why they were found is told by the question alone.
    why = explain(pipeline, Query(f"What is the capital of {other}?", IMAGE), named.retrieval)
    assert why is not None and why.frame is None
    assert len(why.passages) == len(named.retrieval.hits)
    # Of what no passage is called nothing else is known than what the picture shows.
    foreign = pipeline.ask(Query("What is the capital of Atlantis?", IMAGE), 4)
    assert len({hit.passage.title for hit in foreign.retrieval.hits}) > 1
    assert LOOKED not in " ".join(foreign.notes)
    # Passages about it were found first: then the picture shows it, perhaps.
    first = shown.hits[0].passage.title
    same = pipeline.ask(Query(f"What is the capital of {first}?", IMAGE), 4)
    assert len(same.retrieval.hits) == 4 and LOOKED not in " ".join(same.notes)
