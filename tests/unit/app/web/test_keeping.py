"""What a browser sends back of an answer, as the server takes it."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from app.errors import InvalidFeedback
from app.feedback.store import FeedbackStore
from app.pipeline import Pipeline
from app.settings import Settings
from app.web import texts
from app.web.keeping.area import conversation, kept_text
from app.web.page import build_page
from app.web.views import views
from generator.rewriting import Turn

RIGHT, WRONG, SEND = "✓ Right", "✗ Wrong", "Send"


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    path = tmp_path / "uploads" / "flag.png"
    image = Image.new("RGB", (64, 24), "red")
    image.paste("blue", (32, 0, 64, 24))
    image.save(path)
    return {"path": str(path)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def clicks(pipeline: Pipeline, home: Path) -> dict[str, Any]:
    """What each button below the answer runs on the server, by its words."""
    page = build_page(pipeline, Settings(home=home))
    found = {}
    for event in page.fns.values():
        for target, _ in event.targets:
            label = getattr(page.blocks.get(target), "value", None)
            if label in (RIGHT, WRONG, SEND):
                found[label] = event.fn
    return found


def kept(pipeline: Pipeline, picture: dict[str, str], box: str = "") -> str:
    *_, view = views(pipeline, lambda: Image.open(picture["path"]), "Which city?", 2, box=box)
    text = kept_text(view, picture["path"], box)
    assert text is not None
    return text


def said(shown: dict[Any, Any]) -> str:
    return " ".join(text for text in shown.values() if isinstance(text, str))


def test_a_thumb_is_kept_at_once_and_its_reason_with_it(
    clicks, pipeline, picture, home: Path
) -> None:
    text = kept(pipeline, picture, "0,0,32,24")
    assert texts.THANKS["down"] in said(clicks[WRONG](text))
    store = FeedbackStore(home / "feedback.sqlite3")
    [opinion] = store.read()
    assert (opinion.verdict, opinion.question, opinion.answer) == ("down", "Which city?", "Paris")
    assert opinion.cited and opinion.picture is None
    shown = clicks[SEND](text, picture, "down", "It is <Rome>", "Rome", True)
    assert texts.THANKS_FOR_REASON in said(shown)
    [opinion] = store.read()
    assert (opinion.reason, opinion.right_answer) == ("It is <Rome>", "Rome")
    assert opinion.picture is not None
    (home / "part.jpg").write_bytes(opinion.picture)
    with Image.open(home / "part.jpg") as part:
        assert part.size == (32, 24), "the part that was looked at, and no more"
    clicks[RIGHT](text)
    [opinion] = store.read()
    assert (opinion.verdict, opinion.reason, opinion.picture) == ("up", "", None)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"record": 7}', '{"record": {}}', "x" * 2_000_000]
)
def test_what_is_no_answer_is_refused_in_plain_words(clicks, text: str, home: Path) -> None:
    assert "Ask again" in said(clicks[RIGHT](text))
    assert FeedbackStore(home / "feedback.sqlite3").read() == []


def test_another_picture_is_not_kept_with_it(clicks, pipeline, picture, home: Path) -> None:
    text = kept(pipeline, picture)
    for other in (None, {"path": "/etc/passwd"}):
        assert "another one by now" in said(clicks[SEND](text, other, "up", "", "", True))
    forged = json.dumps(json.loads(text) | {"path": "/etc/passwd"})
    shown = clicks[SEND](forged, {"path": "/etc/passwd"}, "up", "", "", True)
    assert "not uploaded here" in said(shown) and "Thank" not in said(shown)
    assert FeedbackStore(home / "feedback.sqlite3").read() == []


def test_what_is_wrong_with_the_file_is_for_the_log(
    clicks, pipeline, picture, home: Path, caplog
) -> None:
    home.mkdir()
    (home / "feedback.sqlite3").write_text("Dear Sir or Madam, " * 100)
    with caplog.at_level(logging.WARNING):
        shown = said(clicks[RIGHT](kept(pipeline, picture)))
    assert texts.NOT_KEPT in shown and str(home) not in shown
    assert "feedback.sqlite3 is damaged" in caplog.text


def test_an_earlier_answer_stays_when_its_picture_comes_back(pipeline, picture, home) -> None:
    page = build_page(pipeline, Settings(home=home))
    named = {getattr(event.fn, "__name__", ""): event.fn for event in page.fns.values()}
    inspect = named["inspect"]
    request = SimpleNamespace(session_hash="a")
    text = kept(pipeline, picture)
    assert not isinstance(inspect(picture, text, request), tuple)
    for other in ({"path": picture["path"] + "x"}, None):
        assert inspect(other, text, request)[1:] == ("", "")
    assert inspect(picture, "", request)[1:] == ("", "")


def test_a_question_follows_on_what_was_asked_of_the_same_part(pipeline, picture) -> None:
    def image() -> Image.Image:
        return Image.open(picture["path"])

    *_, view = views(pipeline, image, "Which city?", 2)
    first = kept_text(view, picture["path"], "")
    [turn] = after = conversation(first, picture["path"], "", "and its river?")
    assert (turn.question, turn.answer) == ("Which city?", "Paris")
    *_, view = views(pipeline, image, "and its <river>?", 2, after=after)
    assert "Which city? <b>Paris</b>" in view.answer and "&lt;river&gt;" in view.answer
    second = kept_text(view, picture["path"], "")
    assert len(conversation(second, picture["path"], "", "Why?")) == 2
    # Asked again, it follows on what it did before.
    assert conversation(second, picture["path"], "", " and its <river>? ") == after
    # Another picture, or another part of it, is another thing.
    assert conversation(first, "/other.png", "", "Why?") == ()
    assert conversation(first, picture["path"], "0,0,9,9", "Why?") == ()
    assert conversation("", picture["path"], "", "Why?") == ()
    with pytest.raises(InvalidFeedback, match="Ask again"):
        conversation("[" * 500_000, picture["path"], "", "Why?")


def test_an_opinion_is_of_the_question_that_stands_alone(clicks, pipeline, picture, home) -> None:
    after = (Turn("Which city?", "Paris", "Paris"),)
    *_, view = views(pipeline, lambda: Image.open(picture["path"]), "its river?", 2, after=after)
    clicks[RIGHT](kept_text(view, picture["path"], ""))
    [opinion] = FeedbackStore(home / "feedback.sqlite3").read()
    assert opinion.question == "What is Paris' river?"
