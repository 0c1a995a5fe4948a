"""A question that names what it is about is not answered from its picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.asking.report import result_as_json
from app.asking.why import explain
from app.components import open_index
from app.flow.events import Retrieval
from app.flow.subject import named_instead
from app.pipeline import Pipeline
from corpus.files.passages import write_passages
from corpus.types import Hit, Passage, Query
from retriever.building.build import build_index
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.index.filters import PassageFilter
from tests.golden_cases import golden_image

IMAGE = golden_image("img0")
TITLES = {
    *("Uganda", "Trinidad and Tobago", "United Kingdom", "New Zealand", "France", "Japan"),
    *("Fire bell", "fire bell", "Fire", "Bread dumplings", "Bread", "country", "uganda", "fire"),
}
LOOKED = "so the picture was not looked at"


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What is the population of Uganda?", "Uganda"),
        ("what about Trinidad and Tobago", "Trinidad and Tobago"),
        ("How many live in the United Kingdom?", "United Kingdom"),
        ("What are New Zealand's borders?", "New Zealand"),
        ("Uganda?", "Uganda"),
        ("and Trinidad and Tobago", "Trinidad and Tobago"),
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
        # One small word, and nothing behind it but the verb of "does".
        ("how big is uganda", "uganda"),
        ("How old does the fire get", "fire"),
        ("how long is the fire ladder", ""),
        ("Where is the fire from?", ""),
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


def test_one_small_word_names_what_the_passages_about_the_picture_do_not_have(
    pipeline: Pipeline,
) -> None:
    [best] = pipeline.retrieve(Query("How tall is it?", IMAGE), 1).hits
    own = Retrieval((Hit(replace(best.passage, title="Church", text="A church by towers."), 1.0),))
    bird, tower = (pipeline.elsewhere([name], own) for name in ("bird", "tower"))
    assert bird == ("bird", PassageFilter(titles=("bird", "Bird")))
    assert tower is None, "the church has towers"
    assert pipeline.elsewhere(["Tower"], own), "a name is a name"
    assert pipeline.elsewhere(["church hall", "Church", "bird"], own) is None, "it is the church"


def test_what_is_in_brackets_behind_a_name_tells_it_from_others(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    crane = "The crane was built in 1912 and lifts ten tons."
    titles = ("Crane (machine)", "Crane (bird)", "Crate", "Cranes of the docks")
    passages = [Passage(title, title, crane) for title in titles]
    write_passages(tmp_path / "passages.jsonl", passages)
    location = tmp_path / "index"
    build_index(tmp_path / "passages.jsonl", location, checkpoint, lambda done, total: None)
    with open_index(location, checkpoint) as index:
        asked = Pipeline(Encoder(checkpoint), index)
        assert asked.about("crane") and not asked.about("cranes") and not asked.about("Cran")
        other = Retrieval((Hit(Passage("x", "Crate", "It is of wood."), 1.0),))
        named = asked.elsewhere(["crane built", "crane"], other)
        assert named == ("crane", PassageFilter(title_prefix="Crane ("))
        hits = asked.retrieve(Query("When was the crane built?"), 4, about=named[1]).hits
        assert {hit.passage.title for hit in hits} == {"Crane (machine)", "Crane (bird)"}
