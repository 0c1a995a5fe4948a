"""What the page says of the index behind it and of the ways to answer."""

import pytest

from app.settings import Settings
from app.web import texts
from app.web.page import build_page
from app.web.texts import Shelf, offered
from corpus.demo.data import example_gallery
from tests.unit.app.conftest import PASSAGES

DEMO = Shelf(8_500, (), tuple(example_gallery()))
WRITER = {"generator_url": "http://127.0.0.1:1/v1", "generator_model": "m"}


def shown(page) -> str:
    """Return all that a page says, as it is served."""
    return str(page.get_config_file())


def test_the_page_of_ones_own_index_has_its_words_and_no_example_of_the_demo(pipeline) -> None:
    page = shown(build_page(pipeline, Settings()))
    assert f"In the index: {len(PASSAGES)} passages" in page
    assert all(f"<li>{passage.title}</li>" in page for passage in PASSAGES)
    for demo in ("capital", "country", "panda", "Examples", "data/demo"):
        assert demo not in page, demo


def test_the_gallery_is_shown_where_its_answers_are(pipeline, monkeypatch) -> None:
    [panda] = [e for e in example_gallery() if e.id == "giant-panda"]
    monkeypatch.setattr(
        pipeline.index, "content_hashes", lambda ids: dict.fromkeys(panda.gold_passage_ids, "")
    )
    assert Shelf.of(pipeline.index).gallery == (panda,)
    page = shown(build_page(pipeline, Settings()))
    assert panda.question in page and "In the index" not in page


def test_titles_of_ones_own_are_short_and_escaped() -> None:
    html = texts.contents(Shelf(2, ("<b>Nile</b>", "Niger"), ()))
    assert "<li>&lt;b&gt;Nile&lt;/b&gt;</li><li>Niger</li>" in html
    assert "among them" not in texts.contents(Shelf(2, (), ()))
    assert "a capital" in texts.start(Settings(), DEMO)


def test_a_sample_is_of_the_index_and_the_same_each_time(pipeline) -> None:
    some = pipeline.index.sample(3)
    assert len(some) == 3 and set(some) <= set(PASSAGES)
    assert some == pipeline.index.sample(3) and len(pipeline.index.sample(99)) == len(PASSAGES)


@pytest.mark.parametrize(
    ("settings", "chosen", "names"),
    [
        ({}, "extract", ["extract"]),
        ({"reader": "runs/merged"}, "ra-vqa", ["ra-vqa"]),
        ({"reader": "runs/merged"}, "concat", ["ra-vqa", "concat"]),
        (WRITER, "ra-vqa", ["ra-vqa", "critic", "concat", "no-retrieval"]),
    ],
)
def test_ways_to_answer_that_were_not_measured_to_work_say_so(settings, chosen, names) -> None:
    ways = offered(Settings(**settings), chosen)
    assert [name for _, name in ways] == names
    assert {name: "not measured" in words for words, name in ways} == {
        name: name not in ("extract", "ra-vqa") for name in names
    }


def test_the_page_of_the_demo_says_how_far_its_passages_go() -> None:
    own = Shelf(4, (), ())
    assert "first paragraph" in texts.about(Settings(), DEMO)
    assert "first paragraph" not in texts.about(Settings(), own)
