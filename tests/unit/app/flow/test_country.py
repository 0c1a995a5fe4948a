"""A short question about the country that a picture shows says so before it is searched for."""

import pytest

from app.flow.country import of_this_country, shows_country
from app.flow.events import Retrieval
from app.flow.notes import OTHER_LANGUAGE
from app.pipeline import Pipeline
from corpus.types import Hit, Passage, Query
from retriever.pictures.neighbours import SimilarPicture
from tests.golden_cases import golden_image

OZ = Hit(Passage("oz", "Oz", "Oz - Government. Capital: Ub.", entity="flag:OZ"), 9.0)
OWL = Hit(Passage("owl", "Owl", "Owl. Owls are birds.", entity="wiki:Owl"), 8.0)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("who is the king", "who is the king in this country"),
        ("population", "population in this country"),
        ("how large is it?", "how large is this country?"),
        ("which ocean is around it", "which ocean is around this country"),
        ("what's its highest mountain?", "what's this country's highest mountain?"),
        ("what do they eat over there?", "what do they eat in this country?"),
        ("how is the weather here", "how is the weather in this country"),
        ("can tourists go there", "can tourists go to this country"),
        ("who's the best singer from there", "who's the best singer from this country"),
        ("is there a king", "is there a king in this country"),
        ("is it french they speak", "is it french they speak in this country"),
    ],
)
def test_a_short_question_is_about_this_country(typed: str, said: str) -> None:
    assert of_this_country(typed) == said


@pytest.mark.parametrize(
    "typed",
    [
        "how big is this country",
        "what does the star mean",
        "which flag is it",
        "what are the two heads",
        "how far is it from florida",
        "What is this?",
        "which country is it",
        "how many people live in Uganda",
        "How large is Uganda?",
        "how often do they have floods and where do these come from",
        "is there a national animal? which one",
        "?",
        "how old is he",
        "hello",
        "thank you",
        "why?",
    ],
)
def test_one_that_says_what_it_is_about_stays(typed: str) -> None:
    assert of_this_country(typed) is None


def test_the_most_similar_picture_tells_whether_it_is_a_country() -> None:
    def found(*entities: str) -> Retrieval:
        similar = tuple(SimilarPicture("a.png", entity, 0.6) for entity in entities)
        return Retrieval((OZ, OWL), similar=similar)

    assert shows_country(found("flag:OZ", "wiki:Owl"), "population", countries=True)
    assert not shows_country(found("flag:OZ"), "population", countries=False)
    assert not shows_country(found("wiki:Owl", "flag:OZ"), "who is the president", countries=True)
    # Where none is alike, what nothing but a country has.
    assert shows_country(found(), "who is the president", countries=True)
    assert not shows_country(found(), "how large is it", countries=True)


def test_it_is_searched_for_and_read_so(pipeline: Pipeline, monkeypatch) -> None:
    monkeypatch.setattr("app.pipeline.shows_country", lambda found, question, countries: True)
    shown = Query("How large is it?", golden_image("img0"))
    assert pipeline.ask(shown).retrieval.asked_as == "How large is this country?"
    told = Query("How large is Oz?", golden_image("img0"))
    assert pipeline.ask(told).retrieval.asked_as == ""
    assert pipeline.ask(Query("How large is it?")).retrieval.asked_as == ""
    for no_english in ("首都是哪里？", "a", "Quelle est la capitale?"):
        result = pipeline.ask(Query(no_english, shown.image))
        assert result.retrieval.asked_as == "" and "not look like English" in result.notes[-1]
        assert result.answer is not None and OTHER_LANGUAGE in result.answer.confidence.reasons
