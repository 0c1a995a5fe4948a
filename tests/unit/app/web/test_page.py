"""The page without a browser: what it shows, which errors become which message, what is served."""

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app
from gradio.utils import get_upload_folder
from PIL import Image

from app import cli
from app.asking.ask import SOMETHING_WENT_WRONG
from app.errors import InvalidQuestion
from app.settings import Settings
from app.web.endpoint import ask
from app.web.page import build_page
from app.web.serving.uploads import own_uploads, read_picture
from app.web.views import View, views
from corpus.demo.data import example_gallery
from corpus.errors import InvalidImage
from corpus.types import Passage
from generator.errors import GeneratorUnavailable

EVIL = Passage(
    id="x",
    title="<script>alert(1)</script>",
    text='An <img src=x onerror="alert(1)"> & "Paris" ${alert(1)} {{value}}',
    url="javascript:alert(1)",
    source="<b>source</b>",
    section="'quoted'",
)


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


def test_the_framed_part_is_looked_at(pipeline) -> None:
    def colours() -> Image.Image:
        both = Image.new("RGB", (64, 24), "red")
        both.paste("blue", (32, 0, 64, 24))
        return both

    asked = {"question": "Which city?", "top_k": 2}
    framed = last_view(views(pipeline, colours, **asked, box="0,0,32,24"))
    part = last_view(views(pipeline, lambda: colours().crop((0, 0, 32, 24)), **asked))
    whole = last_view(views(pipeline, colours, **asked))
    assert scores(framed) == scores(part) != scores(whole)
    for box, said in (("0,0,99,24", "not inside the picture"), ("a,b", "not left,upper,right")):
        assert said in last_view(views(pipeline, colours, **asked, box=box)).answer


def scores(view: View) -> list[str]:
    return re.findall(r"score ([\d.]+)", view.passages)


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


def test_the_question_stands_above_its_answer_as_it_was_asked(pipeline) -> None:
    shown = list(views(pipeline, picture, " Which <city>? ", 2))
    assert all("<span>Asked</span>Which &lt;city&gt;?</p>" in view.answer for view in shown)


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
    image = read_picture({"path": str(path), "orig_name": "flag.jpg"})
    assert image.mode == "RGB"
    assert image.size == (20, 40)


def test_a_broken_upload_is_named_as_the_user_names_it(uploads: Path) -> None:
    path = uploads / "broken.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(InvalidImage, match=r"^my photo\.png is not a picture") as caught:
        read_picture({"path": str(path), "orig_name": "my photo.png"})
    assert str(uploads) not in str(caught.value)


@pytest.mark.parametrize("record", [None, {}, {"path": None}])
def test_no_upload_asks_for_a_picture(record: dict[str, None] | None) -> None:
    with pytest.raises(InvalidQuestion, match="no picture yet"):
        read_picture(record)


def test_a_forged_record_reads_no_other_file(uploads: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "private.png"
    picture().save(elsewhere)
    for path in (elsewhere, uploads / ".." / "private.png"):
        with pytest.raises(InvalidQuestion, match="not uploaded here"):
            read_picture({"path": str(path)})


def test_an_upload_that_is_gone_is_asked_for_again(uploads: Path) -> None:
    with pytest.raises(InvalidQuestion, match="no longer on the server; add it again"):
        read_picture({"path": str(uploads / "x" / "kenya.png"), "orig_name": "kenya.png"})


def test_each_process_has_uploads_of_its_own_and_takes_them_with_it(uploads: Path) -> None:
    with own_uploads() as first, own_uploads() as second:
        assert first != second and Path(get_upload_folder()) == second
        picture().save(first / "kenya.png")
        assert first.parent == uploads.resolve()
    assert not first.exists() and not second.exists()
    assert get_upload_folder() == str(uploads)


@pytest.mark.parametrize("age", [0, None])
def test_no_clean_up_touches_what_the_page_shows(pipeline, uploads: Path, age, monkeypatch) -> None:
    """The age is exceeded, or (None) the page stops: every thumbnail is still there."""
    # As of an index that the gallery is about.
    monkeypatch.setattr(pipeline.index, "content_hashes", lambda ids: dict.fromkeys(ids, ""))
    page = build_page(pipeline, Settings())
    icons = [block.icon["path"] for block in page.blocks.values() if getattr(block, "icon", None)]
    assert len(icons) == len(example_gallery())
    delete_files_created_by_app(page, age)
    assert all(Path(icon).is_file() for icon in icons)
    assert read_picture({"path": icons[0]}).mode == "RGB", "an example is a picture to ask about"


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


def test_the_endpoint_says_why_where_it_is_asked(pipeline, tmp_path) -> None:
    with own_uploads() as folder:
        picture().save(folder / "red.png")
        asked = {"path": str(folder / "red.png")}, "Which city?", 2, "concat"
        assert "why" not in ask(pipeline, *asked)
        told = ask(pipeline, *asked, why=True)
    assert len(told["why"]["passages"]) == 2
    assert [given["number"] for given in told["given"]] == [1, 2]


def test_the_start_logs_what_answers_lack(pipeline, monkeypatch, caplog, capsys) -> None:
    cli._log_lacks(pipeline)
    assert [record.getMessage()[:22] for record in caplog.records] == ["Nothing was calibrated"]

    def down() -> str:
        raise GeneratorUnavailable("http://127.0.0.1:9/v1 is not reached.")

    monkeypatch.setattr(pipeline.generator, "health", down)
    cli._log_lacks(pipeline)
    assert "does not answer now: http://127.0.0.1:9/v1" in caplog.records[-1].getMessage()
    assert not capsys.readouterr().err, "a line of the log is as KBVQA_LOG_FORMAT says"


def test_page_and_endpoint_share_one_limit(pipeline) -> None:
    page = build_page(pipeline, Settings())
    answering = [fn for fn in page.fns.values() if fn.concurrency_id == "answering"]
    assert len(answering) == 2
    assert {fn.concurrency_limit for fn in answering} == {2}


def test_a_page_that_nobody_asks_is_hardly_ever_awake(pipeline, monkeypatch) -> None:
    line = build_page(pipeline, Settings())._queue
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        line.stopped = True

    monkeypatch.setattr("gradio.queueing.asyncio.sleep", sleep)
    for work in (line.start_processing, line.start_progress_updates):
        line.stopped, line.active_jobs = False, [None]
        asyncio.run(work())
    assert len(waits) == 2
    assert min(waits) >= 0.02


def test_the_page_offers_one_endpoint_and_tells_nobody(pipeline) -> None:
    page = build_page(pipeline, Settings())
    public = [fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"]
    assert public == ["ask"]
    assert not page.analytics_enabled
    assert not any(fn.cancels for fn in page.fns.values())


def test_the_model_alone_stands_beside_the_answer(pipeline, generator) -> None:
    def write(prompt):
        alone = prompt.name.startswith(("no-retrieval", "few-shot-closed"))
        return ("<Rome>", -0.1) if alone else ("Paris [1]", -0.1)

    generator.write = write
    shown = list(views(pipeline, picture, "Which city?", 2, beside=True))
    assert [view.record is not None for view in shown[:-1]] == [False] * (len(shown) - 1)
    last = shown[-1]
    assert "Paris" in last.answer and "&lt;Rome&gt;" in last.answer
    assert last.answer.index("Paris") < last.answer.index("the model alone")
    assert last.record["answer"] == "Paris" and last.record["without_passages"] == "<Rome>"

    # What it fails to say costs nobody the answer.
    def fails(prompt):
        if prompt.name.startswith(("no-retrieval", "few-shot-closed")):
            raise GeneratorUnavailable("it is gone")
        return "Paris [1]", -0.1

    generator.write = fails
    *_, last = views(pipeline, picture, "Which city?", 2, beside=True)
    assert "Paris" in last.answer and "it is gone" in last.answer
    assert last.record["answer"] == "Paris"
