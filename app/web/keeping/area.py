"""Below an answer: whether it is right, and files of it; and the questions of this tab.

    keeping, again = place_keeping(), place_past()      # below the answer, below the question
    connect_opinion(keeping, picture, pipeline, store)
    connect_past(keeping, again, [answer, passages, picture, question])
    connect_saving(keeping, answer, passages)

What was asked stays in the browser, in this tab alone: see keeping.js. What a user says of an
answer is sent to the server, and kept there.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.asking.ask import SOMETHING_WENT_WRONG
from app.asking.questions import boxes_of
from app.errors import FeedbackUnusable, InvalidFeedback
from app.feedback.opinion import LONGEST, Opinion, Verdict, kept_picture
from app.feedback.store import FeedbackStore
from app.flow.talk import turns_before, turns_of
from app.machine.request import keep_private, new_number, of_request
from app.pipeline import Pipeline
from app.web import texts
from app.web.keeping import saved
from app.web.serving.uploads import read_picture
from app.web.shown.marked import as_html
from app.web.views import View
from corpus.errors import KbvqaError
from corpus.types import Query
from generator.rewriting import Turn

# The page's own events: not part of the API.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_MOST_KEPT = 1_000_000  # characters of an answer that a browser sends back

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """The components below an answer.

    Attributes:
        kept: what is kept of the answer, as `kept_text` has it; "" while there is none.
        picture_too: whether the picture may be kept with the opinion.
    """

    kept: gr.Textbox
    right: gr.Button
    wrong: gr.Button
    page: gr.Button
    data: gr.Button
    form: gr.Column
    verdict: gr.Textbox
    reason: gr.Textbox
    right_answer: gr.Textbox
    picture_too: gr.Checkbox
    send: gr.Button
    said: gr.HTML

    def fresh(self) -> dict[Any, Any]:
        """Return the components as they are before an answer."""
        return {
            self.form: gr.Column(visible=False),
            self.said: "",
            self.reason: "",
            self.right_answer: "",
            self.picture_too: False,
        }


def kept_text(view: View, path: str, box: str) -> str | None:
    """Return what the browser keeps of an answer; None while there is none.

    Args:
        view: what is shown of it.
        path: where the picture lies.
        box: the part of it that was looked at.
    """
    if view.record is None:
        return None
    footer = saved.footer(view.record)
    return json.dumps({"record": view.record, "path": path, "box": box, "footer": footer})


def picture_of(kept: str) -> str:
    """Return where the picture of a kept answer lies; "" where nothing is kept."""
    return str(_kept(kept).get("path", "")) if kept else ""


def conversation(kept: str, path: str, box: str, question: str) -> tuple[Turn, ...]:
    """Return what a question follows on: the turns about the same picture, and the same part of it.

    The question of the last answer, asked again, follows on what that did.

    Args:
        kept: of the last answer; "" where there is none.
        path: where the picture lies that is asked about.
        box: the part of it that is looked at.
        question: as typed.

    Raises:
        InvalidFeedback, InvalidQuestion: what was kept is nothing of the kind.
    """
    known = _kept(kept) if kept else {}
    if not known or (known.get("path"), known.get("box")) != (path, box):
        return ()
    record = known["record"]
    again = str(record.get("question")).strip() == question.strip()
    return turns_before(record) if again else turns_of(record)


def place_keeping() -> Keeping:
    """Place what is below an answer."""
    hidden: dict[str, Any] = {"visible": "hidden", "show_label": False}
    with gr.Column(elem_id="keeping"):
        gr.HTML(f'<p class="kb-hint">{texts.SAID}</p>')
        kept = gr.Textbox("", elem_id="kept", **hidden)
        with gr.Row(elem_id="keep-buttons"):
            right = gr.Button("✓ Right", size="sm", elem_id="right")
            wrong = gr.Button("✗ Wrong", size="sm", elem_id="wrong")
            page = gr.Button("Save as a page", size="sm", elem_id="save-page")
            data = gr.Button("Save as JSON", size="sm", elem_id="save-data")
        said = gr.HTML("", elem_id="said")
        with gr.Column(visible=False, elem_id="opinion") as form:
            verdict = gr.Textbox("", **hidden)
            reason = gr.Textbox(
                label="Why?", max_length=LONGEST["reason"], max_lines=4, elem_id="reason"
            )
            right_answer = gr.Textbox(
                label="The right answer, where you know it",
                max_length=LONGEST["right_answer"],
                elem_id="right-answer",
            )
            picture_too = gr.Checkbox(False, label=texts.PICTURE_TOO, elem_id="picture-too")
            send = gr.Button("Send", size="sm", elem_id="send")
    return Keeping(
        kept,
        right,
        wrong,
        page,
        data,
        form,
        verdict,
        reason,
        right_answer,
        picture_too,
        send,
        said,
    )


def place_past() -> gr.Button:
    """Place the questions of this tab, and return what is clicked to show one of them again."""
    gr.HTML(texts.PAST, elem_id="past")
    return gr.Button(visible="hidden", elem_id="again")


def connect_opinion(
    keeping: Keeping, picture: gr.Image, pipeline: Pipeline, store: FeedbackStore
) -> None:
    """Have what users say of answers kept."""

    def thumb(verdict: Verdict) -> Callable[[str], dict[Any, Any]]:
        def keep(kept: str) -> dict[Any, Any]:
            def add() -> None:
                store.add_verdict(_opinion(_kept(kept)["record"], verdict=verdict))

            said = _said(add, texts.THANKS[verdict])
            return {
                **keeping.fresh(),
                keeping.said: said,
                keeping.form: gr.Column(visible=True),
                keeping.verdict: verdict,
            }

        return keep

    def tell(
        kept: str, picture: Any, verdict: Any, reason: str, right_answer: str, picture_too: bool
    ) -> dict[Any, Any]:
        def add() -> None:
            known = _kept(kept)
            shown = _picture(pipeline, picture, known) if picture_too else None
            given = {"verdict": verdict, "reason": reason, "right_answer": right_answer}
            store.add(_opinion(known["record"], picture=shown, **given))

        said = _said(add, texts.THANKS_FOR_REASON)
        if "kb-problem" in said:
            return {keeping.said: said}
        return {**keeping.fresh(), keeping.said: said}

    fresh = list(keeping.fresh())
    quick: dict[str, Any] = {"queue": False, **_QUIET}
    thumbs: list[tuple[gr.Button, Verdict]] = [(keeping.right, "up"), (keeping.wrong, "down")]
    for button, verdict in thumbs:
        button.click(thumb(verdict), keeping.kept, [*fresh, keeping.verdict], **quick)
    told = [keeping.verdict, keeping.reason, keeping.right_answer, keeping.picture_too]
    keeping.send.click(
        tell, [keeping.kept, picture, *told], fresh, preprocess=False, trigger_mode="once", **quick
    )


def connect_past(keeping: Keeping, again: gr.Button, shown: list[Any]) -> None:
    """Have an earlier question shown again, out of what the browser keeps.

    Args:
        keeping: what is below the answer.
        again: by `place_past`.
        shown: the components of answer, passages, picture and question.
    """
    fresh = list(keeping.fresh())
    again.click(None, None, [keeping.kept, *shown], js="() => window.kbvqaAgain()").then(
        keeping.fresh, None, fresh, queue=False, **_QUIET
    )


def connect_saving(keeping: Keeping, answer: gr.HTML, passages: gr.HTML) -> None:
    """Have an answer saved as a file, by the browser itself; the template comes when needed."""
    template = gr.Textbox("", visible="hidden", show_label=False)
    shown = [keeping.kept, answer, passages, template]
    keeping.page.click(saved.template, None, template, queue=False, **_QUIET).then(
        None, shown, None, js="(...shown) => window.kbvqaSavePage(...shown)"
    )
    keeping.data.click(None, keeping.kept, None, js="(kept) => window.kbvqaSaveData(kept)")


def _kept(text: str) -> dict[str, Any]:
    """Return what a browser kept of an answer, and sends back.

    Raises:
        InvalidFeedback: it is nothing of the kind.
    """
    unknown = "It is not known which answer is meant. Ask again, then say it."
    if not isinstance(text, str) or not text or len(text) > _MOST_KEPT:
        raise InvalidFeedback(unknown)
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidFeedback(unknown) from exc
    if not isinstance(kept, dict) or not isinstance(kept.get("record"), dict):
        raise InvalidFeedback(unknown)
    return kept


def _picture(pipeline: Pipeline, picture: Any, kept: dict[str, Any]) -> bytes:
    """Return what was looked at, as it is kept: the part of the picture where there was one."""
    if not isinstance(picture, dict) or picture.get("path") != kept.get("path"):
        raise InvalidFeedback("The picture is another one by now. Leave it out, or ask again.")
    query = Query("", read_picture(picture), boxes=boxes_of(str(kept.get("box") or "")))
    image = pipeline.looked_at(query).image
    assert image is not None
    return kept_picture(image)


def _opinion(record: dict[str, Any], **said: Any) -> Opinion:
    """Return what a user says of an answer."""
    opinion = Opinion.of(record, **said)
    keep_private(opinion.question, opinion.answer, opinion.reason, opinion.right_answer)
    return opinion


def _said(keep: Callable[[], None], thanks: str) -> str:
    """Return what to tell the user after something was to be kept: the edge of this area."""
    with of_request(new_number()):
        return _told(keep, thanks)


def _told(keep: Callable[[], None], thanks: str) -> str:
    try:
        keep()
    except FeedbackUnusable as exc:
        # What is wrong with the file is for the log: it names a place on the server.
        log.warning("what a user said is not kept: %s", exc)
        message = texts.NOT_KEPT
    except KbvqaError as exc:
        message = str(exc)
    except Exception:
        log.exception("what a user said is not kept")
        message = SOMETHING_WENT_WRONG
    else:
        return f'<p class="kb-hint" role="status">{as_html(thanks)}</p>'
    return f'<div class="kb-problem" role="alert">{as_html(message)}</div>'
