"""The page without a browser: what it shows, which errors become which message, what is served."""

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from app import cli, markup
from app.answering import Outcome
from app.errors import InvalidQuestion, InvalidSettings, PortInUse
from app.pipeline import Retrieval
from app.settings import Settings
from app.views import SOMETHING_WENT_WRONG, View, views
from app.web import _read_picture, ask, build_page, check_port
from corpus.errors import InvalidImage
from corpus.types import Answer, Citation, Hit, Passage
from generator.confidence import Confidence
from generator.errors import GeneratorUnavailable
from generator.interface import Usage
from generator.strategies import Asked, Evidence, Reply

EVIL = Passage(
    id="x",
    title="<script>alert(1)</script>",
    text='An <img src=x onerror="alert(1)"> & "Paris" ${alert(1)} {{value}}',
    url="javascript:alert(1)",
    source="<b>source</b>",
    section="'quoted'",
)


def retrieval(*passages: Passage, seen: str = "", unsure: bool = False) -> Retrieval:
    hits = tuple(Hit(passage, 20.0 - n) for n, passage in enumerate(passages))
    return Retrieval(hits, unsure, 21.5, seen, {})


def outcome(
    answer: Answer, *, strategy="ra-vqa", saw_picture: bool = True, confidence=None
) -> Outcome:
    reply = Reply(answer, strategy, (), Evidence(), Usage(), saw_picture)
    return Outcome(answer, confidence or Confidence(0.9, "given"), reply)


# What is shown


def test_text_from_outside_never_becomes_markup() -> None:
    found = retrieval(EVIL, seen=" It shows <u>paris</u>.")
    answer = Answer("<i>Paris</i>", (Citation("x", 1, "match"),))
    html = markup.passages(found, answer) + markup.answered(outcome(answer))
    for tag in ("<script", "<img", "<b>", "<u>", "<i>", "javascript:"):
        assert tag not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<mark>Paris</mark>" in html


def test_text_from_outside_never_becomes_a_template_of_gradio() -> None:
    html = markup.passages(retrieval(EVIL))
    assert "${" not in html
    assert "{{" not in html


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "data:text/html,x",
        "//host/x",
        "http:",
        "",
        "http://[::1",
    ],
)
def test_only_http_links_can_be_followed(url: str) -> None:
    assert markup.web_link(url) is None
    assert "<a " not in markup.passages(retrieval(replace(EVIL, url=url)))


def test_a_link_opens_in_a_new_tab_that_knows_nothing_of_this_one() -> None:
    html = markup.passages(retrieval(replace(EVIL, url='https://host/a?b="c"&d')))
    assert 'href="https://host/a?b=&quot;c&quot;&amp;d" target="_blank" rel="noopener' in html


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("Capital: Paris.", "paris", "Capital: <mark>Paris</mark>."),
        ("São Tomé, Sao Tome", "sao tome", "<mark>São Tomé</mark>, <mark>Sao Tome</mark>"),
        ("Sa\u0303o", "são", "<mark>São</mark>"),
        ("a < b", "b", "a &lt; <mark>b</mark>"),
        # Not in sequence: the telling words, not the small ones.
        ("bamboo of 1707", "bamboo in 1707", "<mark>bamboo</mark> of <mark>1707</mark>"),
        ("Parisian", "Paris", "Parisian"),
        ("nothing", "", "nothing"),
    ],
)  # fmt: skip
def test_the_answers_words_are_marked(text: str, phrase: str, expected: str) -> None:
    assert markup.highlight(text, phrase) == expected


def test_a_citation_leads_to_its_card() -> None:
    first, second = replace(EVIL, title="One"), replace(EVIL, title="Two")
    answer = Answer("Paris", (Citation("x", 2, "generator"),))
    found = retrieval(first, second)
    assert 'href="#passage-2"' in markup.answered(outcome(answer))
    cards = markup.passages(found, answer)
    assert 'class="kb-card kb-cited" id="passage-2"' in cards
    assert 'class="kb-card" id="passage-1"' in cards


def test_an_unsure_answer_says_why() -> None:
    doubt = Confidence(0.31, "unsure", ("the passages <b>do not</b> agree on it", "more"))
    html = markup.answered(outcome(Answer("Paris"), confidence=doubt))
    assert (
        "<strong>Not sure</strong> The passages &lt;b&gt;do not&lt;/b&gt; agree on it; more."
        in html
    )
    assert "confidence 31 %" in html
    assert "Not sure" not in markup.answered(outcome(Answer("Paris")))


def test_a_withheld_answer_is_not_shown() -> None:
    kept = Outcome(
        Answer("I do not know"),
        Confidence(0.05, "withheld", ("the passages do not agree on it",)),
        Reply(Answer("Paris"), "ra-vqa", (), Evidence(), Usage(), True),
    )
    html = markup.answered(kept)
    assert "I do not know" in html
    assert "Withheld" in html
    assert "Paris" not in html


def test_the_page_says_what_was_read_and_whether_the_picture_was_seen() -> None:
    blind = markup.answered(outcome(Answer("Paris"), saw_picture=False))
    assert "passages read one by one" in blind
    assert "the generator saw no picture, only the passages found with it" in blind
    assert "saw no picture" not in markup.answered(outcome(Answer("Paris")))
    alone = markup.answered(outcome(Answer("Paris"), strategy="no-retrieval", saw_picture=False))
    assert "No passage was read for this answer" in alone
    assert "only the question" in alone
    unknown = markup.answered(outcome(Answer("Paris"), confidence=Confidence(None, "given")))
    assert "confidence not calibrated for these models" in unknown


def test_the_page_says_what_did_not_fit() -> None:
    whole = outcome(Answer("Paris"))
    cut = replace(whole.reply, asked=(Asked("p", "0", ("x",), 700), Asked("p", "0", ("y",), 500)))
    assert "about 1,200 tokens of passages and question did not fit" in markup.answered(
        replace(whole, reply=cut)
    )
    assert "did not fit" not in markup.answered(whole)


@pytest.mark.parametrize("completion", [" Paris", " Paris [", " Paris [1", " Paris [1]"])
def test_a_growing_answer_shows_no_half_citation(completion: str) -> None:
    assert ">Paris</p>" in markup.streaming(retrieval(EVIL), completion)


# One question, step by step


def picture() -> Image.Image:
    return Image.new("RGB", (32, 24), "red")


def test_the_views_run_from_waiting_to_the_cited_answer(pipeline) -> None:
    shown = list(views(pipeline, picture, "What is the capital of France?", 3))
    assert "Looking at the picture" in shown[0].answer
    assert shown[0].passages == ""
    assert shown[1].passages.count("kb-card") == 3
    assert '<p class="kb-text">Paris <a class="kb-chip' in shown[-1].answer
    assert "kb-cited" in shown[-1].passages
    assert "total" in shown[-1].passages


def last_view(steps: Iterator[View]) -> View:
    *_, view = steps
    return view


def test_the_passages_stay_when_the_generator_fails(pipeline) -> None:
    def broken(prompt) -> tuple[str, float]:
        raise GeneratorUnavailable("The server at <here> is down.")

    pipeline.generator.write = broken
    view = last_view(views(pipeline, picture, "Which city?", 2))
    assert "The server at &lt;here&gt; is down." in view.answer
    assert view.passages.count("kb-card") == 2


def test_an_unexpected_error_is_logged_and_not_shown(pipeline, caplog) -> None:
    def broken_picture() -> Image.Image:
        raise ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR):
        view = last_view(views(pipeline, broken_picture, "Which city?", 2))
    assert SOMETHING_WENT_WRONG in view.answer
    assert "secret" not in view.answer
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("question", "top_k", "message"),
    [
        (" ", 3, "question is empty"),
        ("x" * 501, 3, "501 characters"),
        ("Which city?", 0, "1 to 20"),
        ("Which city?", 10**9, "1 to 20"),
    ],
)
def test_a_question_that_cannot_be_asked_says_why(pipeline, question, top_k, message) -> None:
    assert message in last_view(views(pipeline, picture, question, top_k)).answer


def test_closing_the_views_closes_the_generator(pipeline) -> None:
    pipeline.generator.write = lambda prompt: ("word " * 50, -0.1)
    steps = views(pipeline, picture, "Which city?", 2)
    for view in steps:
        if "word word" in view.answer:
            break
    assert pipeline.generator.closed == 0
    steps.close()
    assert pipeline.generator.closed == 1


# The upload


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_an_upload_is_read_as_it_was_sent(uploads: Path) -> None:
    path = uploads / "flag.jpg"
    # Right way up only where the orientation in the metadata is applied.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("CMYK", (40, 20)).save(path, exif=exif)
    image = _read_picture({"path": str(path), "orig_name": "flag.jpg"})
    assert image.mode == "RGB"
    assert image.size == (20, 40)


def test_a_broken_upload_is_named_as_the_user_names_it(uploads: Path) -> None:
    path = uploads / "broken.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(InvalidImage, match=r"^my photo\.png is not a picture") as caught:
        _read_picture({"path": str(path), "orig_name": "my photo.png"})
    assert str(uploads) not in str(caught.value)


@pytest.mark.parametrize("record", [None, {}, {"path": None}])
def test_no_upload_asks_for_a_picture(record: dict[str, None] | None) -> None:
    with pytest.raises(InvalidQuestion, match="no picture yet"):
        _read_picture(record)


def test_a_forged_record_reads_no_other_file(uploads: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "private.png"
    picture().save(elsewhere)
    for path in (elsewhere, uploads / ".." / "private.png"):
        with pytest.raises(InvalidQuestion, match="not uploaded here"):
            _read_picture({"path": str(path)})


def test_an_upload_that_is_gone_is_asked_for_again(uploads: Path) -> None:
    with pytest.raises(InvalidQuestion, match="no longer on the server; add it again"):
        _read_picture({"path": str(uploads / "x" / "kenya.png"), "orig_name": "kenya.png"})


# The server


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strategy": "guess"}, "'guess' is no strategy; choose from extract"),
        ({"strategy": None}, "None is no strategy"),
        ({"top_k": float("nan")}, "1 to 20 passages, not nan"),
        ({"top_k": 0}, "1 to 20 passages, not 0"),
        ({"top_k": "3"}, "1 to 20 passages, not '3'"),
        ({"question": None}, "must be a text, not None"),
        ({"picture": "kenya.png"}, "must be a file"),
        ({"picture": None}, "no picture yet"),
    ],
)
def test_the_endpoint_refuses_what_the_page_would_not_send(pipeline, change, said) -> None:
    asked = {"picture": None, "question": "Which city?", "top_k": 3, "strategy": "concat"}
    with pytest.raises(gr.Error, match=said):
        ask(pipeline, **{**asked, **change})


def test_the_start_says_that_the_generator_does_not_answer(pipeline, monkeypatch) -> None:
    assert cli._generator_lack(pipeline) is None

    def down() -> str:
        raise GeneratorUnavailable("http://127.0.0.1:9/v1 is not reached.")

    monkeypatch.setattr(pipeline.generator, "health", down)
    assert "does not answer now: http://127.0.0.1:9/v1" in str(cli._generator_lack(pipeline))


def test_page_and_endpoint_share_one_limit(pipeline) -> None:
    page = build_page(pipeline, Settings())
    answering = [fn for fn in page.fns.values() if fn.concurrency_id == "answering"]
    assert len(answering) == 2
    assert {fn.concurrency_limit for fn in answering} == {2}


def test_the_page_offers_one_endpoint_and_tells_nobody(pipeline) -> None:
    page = build_page(pipeline, Settings())
    public = [fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"]
    assert public == ["ask"]
    assert not page.analytics_enabled
    assert not any(fn.cancels for fn in page.fns.values())


def test_a_port_in_use_is_reported_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"{port}.*--port or KBVQA_PORT"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_reported() -> None:
    # 203.0.113.0/24 is reserved for documentation.
    with pytest.raises(InvalidSettings, match=r"203\.0\.113\.1.*KBVQA_HOST"):
        check_port("203.0.113.1", 7860)


def test_exactly_the_words_that_were_taken_are_marked() -> None:
    """Not those that look alike: here "Paris" in the same passage and in another one."""
    text = "France - Capital. Paris is large. Capital: Paris. Rivers: Seine."
    at = text.rindex("Paris")
    first = Passage("a", "France", text, section="Capital")
    other = Passage("b", "Texas", "Texas. Paris is in Lamar County.")
    answer = Answer("Paris", (Citation("a", 1, "span", ((at, at + 5),)),))
    html = markup.passages(retrieval(first, other), answer)
    assert html.count("<mark>") == 1
    assert "Paris is large. Capital: <mark>Paris</mark>. Rivers" in html
    assert "the marked words" in markup.answered(outcome(answer, strategy="extract"))


def test_a_picture_is_not_missed_where_nothing_is_written() -> None:
    shown = markup.answered(outcome(Answer("Paris"), strategy="extract", saw_picture=False))
    assert "words taken out of a passage" in shown and "saw no picture" not in shown
