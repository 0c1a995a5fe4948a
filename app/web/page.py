"""The page: a picture and a question in, the answer and its passages out.

build_page(pipeline, settings)        # to be served by app.web.serving.serve

What is shown comes from `views` and `shown`; Gradio is imported here, in `serving` and `keeping`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from app.asking.ask import MAX_WAITING, checked
from app.errors import InvalidQuestion
from app.feedback.store import FeedbackStore
from app.pipeline import Pipeline
from app.settings import Settings
from app.web import texts
from app.web.endpoint import ANSWERING, connect_api
from app.web.inputs import Inputs, place_examples, place_inputs
from app.web.keeping.area import (
    Keeping,
    connect_opinion,
    connect_past,
    connect_saving,
    conversation,
    kept_text,
    picture_of,
    place_keeping,
    place_past,
)
from app.web.look import SCRIPTS
from app.web.runs import PageQuestion, Runs
from app.web.serving.uploads import (
    UPLOADS_KEPT_SECONDS,
    only_own_files,
    read_picture,
)
from app.web.shown import markup
from app.web.texts import Shelf
from app.web.views import views
from corpus.demo.data import example_image_path
from corpus.errors import KbvqaError
from corpus.types import Example
from generator.answers.answer import Strategy

# The last input is the part of the picture, which the browser knows.
_WITH_BOX = "(...inputs) => [...inputs.slice(0, -1), window.kbvqaBox()]"
# Where the page is narrow, the answer is below the question: bring it into view. A question that
# cannot be asked is to be written anew.
_SHOW_ANSWER = """(hint) => {
  const narrow = window.matchMedia("(max-width: 860px)").matches;
  if (hint) document.querySelector("#question textarea").focus();
  else document.getElementById("answer").scrollIntoView({block: narrow ? "start" : "nearest"});
}"""
_TO_THE_QUESTION = "() => { document.querySelector('#question textarea').focus(); }"
_PRESS_ASK = "() => { document.getElementById('ask').click(); }"
# The page's own events: not part of the API, and the page itself says how far they are.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# Gradio would open an upload with Pillow itself, and fail on a broken one before there is
# a chance to say what is wrong with it.
_RAW: dict[str, Any] = {"preprocess": False}

# Gradio keeps 90 kB for each page that was ever opened, of the last so many; by itself of 10,000.
# Nothing of a user's is in it, and a page that was forgotten gets it anew.
MOST_SESSIONS = 500

# How often the line is looked at, in seconds. Gradio does so a thousand times a second, which takes
# a twelfth of a core of a page that nobody uses.
LOOKS_EVERY = 0.02

_ONLY_FILES = "Only files are taken: save the picture on this computer, then add the file."

log = logging.getLogger(__name__)


def build_page(pipeline: Pipeline, settings: Settings) -> gr.Blocks:
    """Return the page on a pipeline with a generator. Nothing is served yet."""
    answering = pipeline.answering
    if answering is None:
        raise ValueError("the page needs a pipeline with a generator")
    if pipeline.index is None:
        raise ValueError("the page needs a pipeline with an index")
    shelf = Shelf.of(pipeline.index)
    start, at_once = texts.start(settings, shelf), settings.concurrent_questions
    with gr.Blocks(
        title="kbvqa", analytics_enabled=False, delete_cache=(3600, UPLOADS_KEPT_SECONDS)
    ) as page:
        gr.HTML(texts.HEADER)
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="question-area"):
                inputs = place_inputs(pipeline, settings, shelf, answering.plan.strategy)
                again = place_past()
            with gr.Column(elem_id="result-area"):
                answer = gr.HTML(start, elem_id="answer")
                keeping = place_keeping()
                passages = gr.HTML("", elem_id="passages")
            with gr.Column(elem_id="example-area"):
                gr.HTML(texts.contents(shelf))
                examples = place_examples(shelf)
        with gr.Accordion("What it knows, and how to use other models", open=False):
            gr.HTML(texts.about(settings, shelf))
        gr.HTML(texts.footer(pipeline.encoder.checkpoint.id, answering.generator.name))
        shown = _Shown(answer, passages, keeping)
        runs = Runs()
        _connect_question(pipeline, runs, inputs, shown, at_once)
        _connect_picture(start, runs, inputs, shown)
        _connect_new(start, runs, inputs, shown)
        connect_past(keeping, again, [answer, passages, inputs.picture, inputs.question])
        connect_opinion(keeping, inputs.picture, pipeline, FeedbackStore(settings.feedback_path))
        connect_saving(keeping, answer, passages)
        _connect_examples(runs, inputs, examples)
        connect_api(pipeline, inputs, at_once)
        page.unload(_leaving(runs))
        for script in SCRIPTS:
            page.load(None, js=script.read_text(encoding="utf-8"))
    only_own_files(page)
    # The line is refused by this page in words of its own, before Gradio does.
    page.state_session_capacity = MOST_SESSIONS
    page.queue(default_concurrency_limit=at_once, max_size=2 * MAX_WAITING)
    page._queue.sleep_when_free = LOOKS_EVERY
    page._queue.progress_update_sleep_when_free = LOOKS_EVERY
    return page


@dataclass(frozen=True, slots=True)
class _Shown:
    answer: gr.HTML
    passages: gr.HTML
    keeping: Keeping


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _leaving(runs: Runs) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        runs.stop(_session(request))

    return leave


def _connect_question(
    pipeline: Pipeline, runs: Runs, inputs: Inputs, area: _Shown, at_once: int
) -> None:
    answer, passages, keeping = area.answer, area.passages, area.keeping

    def wait(
        picture: Any,
        question: str,
        top_k: int,
        strategy: Strategy,
        sources: list[str] | None,
        beside: bool,
        kept: str,
        box: str,
        request: gr.Request,
    ) -> dict[Any, Any]:
        session = _session(request)
        how = tuple(sources or ()), bool(beside)
        asked = PageQuestion(picture, question, top_k, strategy, box, *how)
        try:
            asked = replace(asked, after=conversation(kept, asked.path, box, question))
        except KbvqaError as exc:
            return {answer: markup.problem(str(exc)), inputs.hint: ""}
        try:
            checked(pipeline, question, asked.after)
        except InvalidQuestion as exc:
            return {inputs.hint: markup.hint(str(exc))}
        if not runs.ask(session, asked):
            return {inputs.hint: ""}
        shown = {inputs.hint: "", inputs.stop: gr.Button(interactive=True), **keeping.fresh()}
        others = runs.others(session)
        if others >= MAX_WAITING:
            runs.stop(session)
            still = {inputs.hint: "", inputs.stop: gr.Button(interactive=False)}
            return {answer: markup.crowded(others), **still}
        if others >= at_once:
            shown[answer] = markup.in_line(others)
        return shown

    def run(request: gr.Request) -> Iterator[dict[Any, Any]]:
        session = _session(request)
        while now := runs.take(session):
            yield {inputs.stop: gr.Button(interactive=True)}
            asked = now.asked
            read = partial(read_picture, asked.picture)
            steps = views(
                pipeline,
                read,
                asked.question,
                asked.top_k,
                asked.strategy,
                box=asked.box,
                sources=asked.sources,
                after=asked.after,
                beside=asked.beside,
            )
            try:
                before = None
                with closing(steps):
                    for view in steps:
                        if now.stop.is_set():
                            break
                        # While the answer grows its passages stay as they are, and what is open.
                        again = {} if view.passages == before else {passages: view.passages}
                        before = view.passages
                        kept = kept_text(view, asked.path, asked.box)
                        last = {} if kept is None else {keeping.kept: kept}
                        yield {answer: view.answer, **again, **last}
            finally:
                runs.end(now, session)
            if now.stop.is_set() and now.by_hand:
                yield {answer: markup.stopped()}
        yield {inputs.stop: gr.Button(interactive=False)}

    def stop(request: gr.Request) -> tuple[str, gr.Button]:
        runs.stop(_session(request), by_hand=True)
        return markup.stopped(), gr.Button(interactive=False)

    waits = gr.on(
        [inputs.ask.click, inputs.question.submit],
        wait,
        [
            *(inputs.picture, inputs.question, inputs.top_k, inputs.strategy, inputs.sources),
            *(inputs.beside, keeping.kept, inputs.box),  # the part of the picture is the last
        ],
        [answer, inputs.hint, inputs.stop, *keeping.fresh()],
        # Whether it is asked already is known on the server alone.
        trigger_mode="multiple",
        queue=False,
        js=_WITH_BOX,
        **_RAW,
        **_QUIET,
    )
    waits.then(None, inputs.hint, None, js=_SHOW_ANSWER)
    runs_on = waits.then(
        run,
        None,
        [answer, passages, keeping.kept, inputs.stop],
        trigger_mode="always_last",
        concurrency_id=ANSWERING,
        concurrency_limit=at_once,
        **_QUIET,
    )
    kept = [keeping.kept, answer, passages, inputs.picture]
    runs_on.then(None, kept, None, js="(...shown) => window.kbvqaKeep(...shown)")
    # Not Gradio's `cancels`: its page hangs now and then (gradio issue 11586).
    inputs.stop.click(stop, None, [answer, inputs.stop], queue=False, **_QUIET)


def _connect_picture(start: str, runs: Runs, inputs: Inputs, area: _Shown) -> None:
    def forget(picture: Any, request: gr.Request) -> None:
        runs.keep(_session(request), (picture or {}).get("path") or "")

    def inspect(picture: Any, kept: str, request: gr.Request) -> Any:
        # An example is asked about at once; an earlier answer is shown with its picture.
        again = bool(kept) and picture_of(kept) == (picture or {}).get("path")
        return gr.skip() if again or runs.busy(_session(request)) else _inspect(start, picture)

    # However it comes: a file, the clipboard, the camera, an example, or none any more.
    inputs.picture.change(forget, inputs.picture, queue=False, **_RAW, **_QUIET).then(
        inspect,
        [inputs.picture, area.keeping.kept],
        [area.answer, area.passages, area.keeping.kept],
        **_RAW,
        **_QUIET,
    )
    gr.Button(visible="hidden", elem_id="not-a-file").click(
        lambda: markup.problem(_ONLY_FILES, title="That is not a file"),
        None,
        area.answer,
        **_QUIET,
    )


def _connect_new(start: str, runs: Runs, inputs: Inputs, area: _Shown) -> None:
    def begin(request: gr.Request) -> dict[Any, Any]:
        runs.stop(_session(request))
        empty = {
            inputs.question: "",
            inputs.hint: "",
            area.answer: start,
            area.passages: "",
            area.keeping.kept: "",
        }
        return {**empty, inputs.stop: gr.Button(interactive=False), **area.keeping.fresh()}

    shown = [
        inputs.question,
        inputs.hint,
        inputs.stop,
        area.answer,
        area.passages,
        area.keeping.kept,
    ]
    inputs.new.click(begin, None, [*shown, *area.keeping.fresh()], queue=False, **_QUIET).then(
        None, js=_TO_THE_QUESTION
    )


def _connect_examples(
    runs: Runs, inputs: Inputs, examples: list[tuple[Example, gr.Button]]
) -> None:
    # A function each, not a partial: Gradio finds no type hints in those.
    def filler(example: Example) -> Callable[[gr.Request], tuple[str, str]]:
        def fill(request: gr.Request) -> tuple[str, str]:
            runs.stop(_session(request))
            return str(example_image_path(example)), example.question

        return fill

    for example, button in examples:
        filled = button.click(
            filler(example), outputs=[inputs.picture, inputs.question], queue=False, **_QUIET
        )
        filled.then(None, js=_PRESS_ASK)


def _inspect(start: str, picture: Any) -> tuple[str, str, str]:
    """Return the areas for another picture: empty, or what is wrong with it."""
    try:
        if picture:
            read_picture(picture)
    except KbvqaError as exc:
        return markup.problem(str(exc), title="This picture cannot be used"), "", ""
    return start, "", ""
