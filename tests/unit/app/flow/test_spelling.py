"""A slip in a question is mended before it is looked up and read; names stay as they are."""

from pathlib import Path

import pytest

from app.asking.report import recorded, result_as_json
from app.components import open_index
from app.feedback.opinion import Opinion
from app.flow.spelling import known_words, mended
from app.pipeline import Pipeline
from corpus.files.passages import write_passages
from corpus.types import Passage, Query
from generator.rewriting import Turn
from retriever.building.build import build_index
from tests.golden_cases import golden_image


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("whats the captial", "whats the capital"),
        ("what's the captial?", "what's the capital?"),
        ("whats the contry's popultion", "whats the country's population"),
        ("Waht is the langauge here?", "What is the language here?"),
        ("how mnay people live in it", "how many people live in it"),
        ("what currrency do they use", "what currency do they use"),
        ("which relegion is the biggest", "which religion is the biggest"),
        ("whne was it biult", "when was it built"),
        ("what is the goverment (today)?", "what is the government (today)?"),
        ("Hwo old is it?", "How old is it?"),
        ("hwo built this", "who built this"),
        ("hwo small is it", "how small is it"),
        ("hwo is it made?", "how is it made?"),
        ("hwo is the bread baked in Lund", "how is the bread baked in Lund"),
        ("hwo is it made by", "who is it made by"),
        ("hwo did it", "who did it"),
        ("woh made it", "who made it"),
        ("Wich sea is near?", "Which sea is near?"),
        ("wat is the capital", "what is the capital"),
        ("whn was it built", "when was it built"),
        ("Wehre is it", "Where is it"),
        ("captial?", "capital?"),
        ("curency", "currency"),
        ("hihgest point?", "highest point?"),
        ("wich river", "which river"),
    ],
)
def test_a_slip_is_mended(typed: str, read_as: str) -> None:
    assert mended(typed) == read_as


@pytest.mark.parametrize(
    "question",
    [
        # Words, some of them rare, in either spelling, and without an apostrophe.
        "whats the capitol of it", "what colour is it", "what color is it", "dont they have a king",
        "how many metres is it", "how tall is the flagpole", "wheres the exclave",
        # Names, with and without a capital.
        "how high is nanga parbat", "how high is lhotse", "is basel a city",
        "what is the pop of Lage",
        "wat pho when built", "Wat Arun: who built it?", "who built the wat", "is it in Wen county",
        "What is Capitel known for?", "how old is lego", "who founded boeing", "what is niger",
        "Captial is what kind of city?", "WHATS THE CAPTIAL",
        # Quoted, spelled out, codes and addresses.
        "who wrote 'the captial'", "who wrote “Das captial”?", 'what is "captial" here',
        "what does captial mean", "how do they spell captial", "what is captial.com",
        "is it the captial-city", "what is captial2", "what is a_captial", "who is @captial",
        "what is at /home/captial", "what is d'captial like",
        # Other languages.
        "quelle est la captale", "cuál es la capitale de este país", "wie heißt die captial",
        "popolazione capitale", "hva er kapital", "что такое captial", "首都 captial",
        # Two slips, too short, one of two words, and nothing at all.
        "what is the kaptial", "what is the cty", "",
    ],
)  # fmt: skip
def test_what_may_be_meant_so_stays(question: str) -> None:
    assert mended(question) == question


def test_the_words_are_those_of_the_file_in_order() -> None:
    words = known_words()
    assert {"what", "capital", "country"} <= words.common < words.right
    assert "captial" not in words.right


def test_a_slip_is_mended_for_search_and_answer_alike(pipeline: Pipeline, generator) -> None:
    query = Query("whats the captial of this country", golden_image("img0"))
    result = pipeline.ask(query, 2)
    assert result.retrieval.asked_as == "whats the capital of this country"
    assert "whats the capital of this country" in generator.asked[-1].messages[-1].text
    right = pipeline.ask(Query("whats the capital of this country", query.image), 2)
    assert right.retrieval.hits == result.retrieval.hits and right.retrieval.asked_as == ""
    # What is kept has the question as it was typed, and as it was read.
    record = recorded(query.question, result_as_json(result))
    assert record["question"] == query.question
    assert record["asked_as"] == "whats the capital of this country"
    said = {"id": "0" * 32, "checkpoint": "", "generator": ""}
    assert Opinion.of(record | said, verdict="up").question == query.question


def test_a_slip_in_a_follow_up_is_mended_when_it_stands_alone(pipeline: Pipeline) -> None:
    before = (Turn("Which country is this?", "France", "France"),)
    result = pipeline.ask(Query("and its captial?", golden_image("img0")), 2, after=before)
    assert result.retrieval.asked_as == "What is France's capital?"


def test_a_word_that_a_passage_has_is_none(pipeline: Pipeline, tmp_path: Path) -> None:
    brand = Passage("p:brand", "Captial", "Captial is a brand of paint of the capital.")
    write_passages(tmp_path / "passages.jsonl", [brand])
    checkpoint = pipeline.encoder.checkpoint
    build_index(tmp_path / "passages.jsonl", tmp_path / "index", checkpoint, lambda *_: None)
    with open_index(tmp_path / "index", checkpoint) as index:
        other = Pipeline(pipeline.encoder, index, pipeline.answering)
        query = Query("what is the captial of this", golden_image("img0"))
        assert other.ask(query, 2).retrieval.asked_as == ""
        assert other.ask(Query("what is the langauge of this"), 2).retrieval.asked_as != ""
