"""What the page writes of why passages were found; how it is drawn is for the browser's tests."""

import base64
import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from PIL import Image

from app.asking.why import Matched, PassageWhy, Why, WordShare
from app.flow.events import Retrieval
from app.web.shown import cards, reasons, scores
from app.web.shown.marked import Shade, mark
from app.web.views import views
from corpus.types import Citation, Hit, Passage
from generator.answers.answer import Answer, Evidence, Given

TEXT = "Nile - Course. It flows <north>."
WORDS = {word: TEXT.index(word) for word in ("Nile", "Course", "It", "flows", "north")}
SPANS = tuple((at, at + len(word)) for word, at in WORDS.items())
NILE = Passage("n", "Nile", TEXT, section="Course")


def why(heat: tuple[float, ...] = (0.1, 0.3), no_map: str = "") -> Why:
    word_heat = np.linspace(0.0, 0.9, len(SPANS) * len(heat), dtype=np.float32)
    passage = PassageWhy(
        "n",
        TEXT,
        10.0,
        -1.5,
        {"words of the question": 4.0, "places in the picture": 6.0},
        SPANS,
        (WordShare(0, *SPANS[0], 0.6, 0.6), WordShare(4, *SPANS[4], 0.15, 0.0)),
        (Matched("where", 4, 0.5), Matched("to", None, 0.2)),
        np.array(heat, dtype=np.float32),
        word_heat.reshape(len(SPANS), -1),
    )
    return Why((passage,), None if no_map else (0.0, 0.0, 1.0, 1.0), (1, 2), no_map)


def card(reason: Why | None, answer: Answer | None = None) -> str:
    return cards.passages(Retrieval((Hit(NILE, 8.5),)), answer, reason)


def test_words_are_shaded_where_they_stand_in_head_and_text() -> None:
    html = card(why())
    assert '<h3><i data-word="0" style="--s:1">Nile</i></h3>' in html
    assert '<i data-word="1">Course</i></span>' in html
    assert (
        '&lt;<i data-word="4" style="--s:0.5">north</i>&gt;.</p>' in html
    )  # the root of a quarter
    assert "data-word" not in card(None)
    assert "60%" in html  # the legend says what the strongest shade is


def test_a_marked_word_keeps_its_shade() -> None:
    html = mark("north bank", [(3, 7)], [Shade(0, 5, 4, 0.5), Shade(6, 10, 5, 0.0)])
    plain = re.sub(r"<[^>]+>", "", html)
    assert plain == "north bank"
    assert html.count('data-word="4"') == 2  # at both sides of the mark's edge
    assert re.sub(r"</?i[^>]*>", "", html) == "nor<mark>th b</mark>ank"


def test_a_text_with_decomposed_accents_is_shown_without_shades() -> None:
    text = "Cafe\u0301 north"
    passage = replace(why().passages[0], text=text, spans=((0, 5),), words=(), matches=())
    found = Retrieval((Hit(Passage("n", "", text), 1.0),))
    html = cards.passages(found, None, replace(why(), passages=(passage,)))
    assert "<p>Café north</p>" in html


def test_the_panel_says_in_words_what_the_shades_and_the_map_show() -> None:
    panel = reasons.panel(1, why().passages[0], "")
    for said in (
        "words of the question <b>4.0</b>",
        "about by itself <b>-1.5</b>",
        "60%",
        "picture",
    ):
        assert said in panel
    assert (
        'where → <button type="button" data-word="4" aria-pressed="false">north</button> 0.50'
        in panel
    )
    assert "to →" not in panel
    told = json.loads(unescape(re.search(r'data-heat="([^"]*)"', panel)[1]))
    levels = np.frombuffer(base64.b64decode(told["levels"]), dtype=np.uint8)
    heat = told["low"] + (told["high"] - told["low"]) * levels / 255
    np.testing.assert_allclose(heat[:2], [0.1, 0.3], atol=0.003)
    np.testing.assert_allclose(heat[2:], why().passages[0].word_heat.ravel(), atol=0.003)


def test_without_places_there_is_no_map_and_nothing_to_pick() -> None:
    html = card(why(heat=(), no_map="This <checkpoint> keeps no places."))
    assert "This &lt;checkpoint&gt; keeps no places." in html
    assert "kb-map" not in html and "<button" not in html and "data-frame" not in html


def test_texts_of_reasons_never_become_markup() -> None:
    evil = '"><img src=x>${x}'
    passage = replace(why().passages[0], matches=(Matched(evil, 4, 0.5),))
    html = reasons.panel(1, passage, "") + card(replace(why(), passages=(passage,)))
    assert "<img" not in html and "${" not in html and "{{" not in html


# What was given


def test_a_card_opens_exactly_what_was_given_and_says_where_it_was_cut() -> None:
    cut = Answer("north", (), "concat", given=(Given(1, "Nile. It <flows>", 1200),))
    html = card(None, cut)
    assert "<blockquote>Nile. It &lt;flows&gt;</blockquote>" in html
    assert "Cut here: about 1,200 tokens" in html
    whole = replace(cut, given=(Given(1, "Nile.", 0),))
    assert "nothing was cut" in card(None, whole)
    assert "kb-given" not in card(None, replace(cut, given=()))


# Why not the others


def test_the_plot_holds_the_scores_against_what_they_must_reach() -> None:
    hits = tuple(Hit(replace(NILE, id=str(n), title=f"<T{n}>"), 20.0 - 2 * n) for n in range(3))
    found = Retrieval(hits, threshold=15.0)
    html = scores.plot(found)
    assert html.count("<li><span>") == 3 and "&lt;T0&gt;" in html
    assert "trusted from 15.0" in html and "above the mean" not in html
    answer = Answer("x", (Citation("1", 2, "span"),), "extract", evidence=Evidence(lead=3.0))
    html = scores.plot(found, answer, 2.5)
    assert html.count("data-cited") == 1
    assert "mean of the first 10 without passage 2: 15.0" in html
    assert "what passage 2 alone is held against: from 17.5 its answer is given" in html
    assert "Passage 2 scores 3.0 above the mean of the others among the first 10, of" in html
    assert "of which 3 are shown" in html
    assert "Another passage beyond that line is no proof" in html
    places = [float(at) for at in re.findall(r"--at:([\d.]+)%", html)]
    assert places[0] > places[1] > places[2] and min(places) >= 0 and max(places) <= 100
    few = scores.plot(replace(found, weighed=3), answer, 2.5)
    assert "above the mean of the others among the 3 that were found." in few
    assert "mean of the 3 that were found without passage 2" in few and "first 10" not in few
    assert "other things speak for it" in scores.plot(found, answer, -4.0)
    # An answer that is withheld may be from a passage that is not shown.
    beyond = replace(answer, citations=(Citation("9", 9, "span"),))
    html = scores.plot(found, beyond, 2.5)
    assert "mean of the first" not in html and "that line" not in html
    assert scores.plot(Retrieval()) == ""


# On the way to the page


def test_reasons_are_there_with_the_passages_and_their_lack_costs_no_answer(
    pipeline, monkeypatch
) -> None:
    def picture() -> Image.Image:
        return Image.effect_noise((32, 24), 80).convert("RGB")

    shown = list(views(pipeline, picture, "which tower", 2))
    first = next(view.passages for view in shown if view.passages)
    assert first.count("kb-why") == 2 and 'data-grid="4,4"' in first
    assert shown[-1].passages.count("kb-why") == 2
    assert shown[-1].passages.count("kb-given") == 2

    def broken(ids) -> list[np.ndarray]:
        return [np.ones((1, 16), dtype=np.float32) for _ in ids]

    monkeypatch.setattr(pipeline.index, "rows", broken)
    last = list(views(pipeline, picture, "which tower", 2))[-1]
    assert "kb-why" not in last.passages and "Paris" in last.answer


@pytest.mark.parametrize("index", [0, 4])
def test_what_a_word_got_from_where_is_said(index: int) -> None:
    panel = reasons.panel(1, why().passages[0], "")
    word = {0: ("Nile", "picture"), 4: ("north", "question")}[index]
    assert re.search(rf">{word[0]}</button> \d+% <span class=\"kb-from\">{word[1]}<", panel)
