"""The page: a picture and a question in, the answer and its passages out.

check_port(host, port)                # before models are loaded
page = build_page(pipeline, settings)
serve(page, host, port)               # until Ctrl-C

Gradio is imported in this file only. `views` is the page's logic without it.
"""

import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import gradio as gr
from PIL.Image import Image

from app import markup
from app.errors import InvalidQuestion, InvalidSettings, PortInUse
from app.pipeline import Pipeline, Result, Retrieval
from app.settings import Settings
from corpus.demo import demo_dir, example_gallery, example_image_path
from corpus.errors import InvalidImage, KbvqaError
from corpus.images import MAX_IMAGE_BYTES, load_image
from corpus.types import Example, Query
from generator.errors import GeneratorError

MAX_TOP_K = 20
# Two at once keep a CPU busy; the others wait in line, and a longer line is refused.
CONCURRENT_QUESTIONS = 2
MAX_WAITING = 32
UPLOADS_KEPT_SECONDS = 24 * 60 * 60

_STYLE = Path(__file__).parent / "web.css"
_SOMETHING_WENT_WRONG = "Something went wrong; the log has the details."
# Where the page is narrow, the answer is below the question: bring it into view.
_SHOW_ANSWER = """(...inputs) => {
  const narrow = window.matchMedia("(max-width: 860px)").matches;
  document.getElementById("answer").scrollIntoView({block: narrow ? "start" : "nearest"});
  return inputs;
}"""
_PRESS_ASK = "() => { document.getElementById('ask').click(); }"
# The page's own events: not part of the API, and the page itself says how far they are.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """The two areas of the page that change, as HTML."""

    answer: str
    passages: str


def views(
    pipeline: Pipeline, picture: Any, question: str, top_k: int
) -> Generator[View, None, None]:
    """Yield what the page shows, step by step, for one question.

    Never raises: this is the edge where errors become messages. When the generator
    fails, the passages stay. Closing the iterator stops the generator.

    Args:
        pipeline: answers the question.
        picture: the upload as Gradio's file record, or None.
        question: as typed.
        top_k: passages to show.
    """
    view = View(markup.waiting("Looking at the picture"), "")
    found: Retrieval | None = None
    completion = ""
    try:
        yield view
        query = Query(question, _read_picture(picture))
        for step in _steps(pipeline, query, top_k):
            if isinstance(step, Retrieval):
                found = step
                view = View(markup.streaming(found, ""), markup.passages(found))
            elif isinstance(step, Result):
                view = _outcome(step)
            elif found:
                completion += step
                view = View(markup.streaming(found, completion), view.passages)
            yield view
    except GeneratorError as exc:
        log.warning("the generator failed: %s", exc)
        message = markup.no_answer(found, str(exc)) if found else markup.problem(str(exc))
        yield View(message, view.passages)
    except KbvqaError as exc:
        yield View(markup.problem(str(exc)), view.passages)
    except Exception:
        log.exception("a question failed")
        yield View(markup.problem(_SOMETHING_WENT_WRONG), view.passages)


def _steps(pipeline: Pipeline, query: Query, top_k: int) -> Iterator[Retrieval | str | Result]:
    """Yield the pipeline's steps, and close it with this iterator."""
    if not 1 <= top_k <= MAX_TOP_K:
        raise InvalidQuestion(f"{top_k} passages were asked for; ask for 1 to {MAX_TOP_K}.")
    stream = cast(
        Generator[Retrieval | str | Result, None, None], pipeline.stream(query, int(top_k))
    )
    with closing(stream):
        yield from stream


def _outcome(result: Result) -> View:
    assert result.answer is not None
    found = result.retrieval
    return View(
        markup.answered(found, result.answer),
        markup.passages(found, result.answer) + markup.figures(result),
    )


def _read_picture(picture: Any) -> Image:
    """Return the uploaded picture, upright and RGB.

    Raises:
        InvalidQuestion: nothing was uploaded.
        InvalidImage: it is not a whole picture; the message names it as the user does.
    """
    path = (picture or {}).get("path")
    if not path:
        raise InvalidQuestion("There is no picture yet. Add one, or click an example.")
    try:
        return load_image(Path(path))
    except InvalidImage as exc:
        name = picture.get("orig_name") or "the picture"
        raise InvalidImage(str(exc).replace(str(path), name)) from exc


def ask(pipeline: Pipeline, picture: Any, question: str, top_k: int) -> dict[str, Any]:
    """Return the outcome of one question as plain data: what the endpoint /ask answers.

    Raises:
        gr.Error: it failed; the message is for the caller.
    """
    try:
        *_, result = _steps(pipeline, Query(question, _read_picture(picture)), top_k)
        assert isinstance(result, Result)
        return asdict(result)
    except KbvqaError as exc:
        raise gr.Error(str(exc), print_exception=False) from exc
    except Exception as exc:
        log.exception("a question failed")
        raise gr.Error(_SOMETHING_WENT_WRONG, print_exception=False) from exc


def build_page(pipeline: Pipeline, settings: Settings) -> gr.Blocks:
    """Return the page on a pipeline with a generator. Nothing is served yet."""
    generator = pipeline.generator
    if generator is None:
        raise ValueError("the page needs a pipeline with a generator")
    with gr.Blocks(
        title="kbvqa", analytics_enabled=False, delete_cache=(3600, UPLOADS_KEPT_SECONDS)
    ) as page:
        gr.HTML(markup.HEADER)
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="question-area"):
                controls = _Controls.build(settings)
            with gr.Column(elem_id="result-area"):
                answer = gr.HTML(markup.START, elem_id="answer")
                passages = gr.HTML("", elem_id="passages")
            with gr.Column(elem_id="example-area"):
                gr.HTML("<h2>Examples</h2>")
                examples = [(example, _example_button(example)) for example in example_gallery()]
        with gr.Accordion("What it knows, and how to use other models", open=False):
            gr.HTML(markup.about(settings))
        gr.HTML(markup.footer(pipeline.encoder.checkpoint.id, generator.name))
        _connect(pipeline, controls, answer, passages, examples)
    page.queue(default_concurrency_limit=CONCURRENT_QUESTIONS, max_size=MAX_WAITING)
    return page


@dataclass(frozen=True, slots=True)
class _Controls:
    picture: gr.Image
    question: gr.Textbox
    top_k: gr.Slider
    ask: gr.Button
    stop: gr.Button

    @classmethod
    def build(cls, settings: Settings) -> "_Controls":
        """Return the inputs, placed where this is called."""
        picture = gr.Image(
            # The original bytes go to corpus.images: see preprocess=False in _connect.
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard", "webcam"],
            label="Picture",
            alt_text="The picture the question is about",
            placeholder="Drop a picture here\nor click to choose one",
            buttons=["fullscreen"],
            height=280,
            elem_id="picture",
        )
        question = gr.Textbox(
            label="Question",
            placeholder="For example: What is the capital of this country?",
            max_lines=4,
            elem_id="question",
        )
        with gr.Row(elem_id="buttons"):
            ask_button = gr.Button("Ask", variant="primary", elem_id="ask", scale=3)
            stop = gr.Button("Stop", interactive=False, elem_id="stop", scale=1, min_width=80)
        with gr.Accordion("Options", open=False, elem_id="options"):
            top_k = gr.Slider(
                1, MAX_TOP_K, value=min(settings.top_k, MAX_TOP_K), step=1, label="Passages shown"
            )
        return cls(picture, question, top_k, ask_button, stop)


def _example_button(example: Example) -> gr.Button:
    return gr.Button(
        example.question, icon=example_image_path(example), elem_classes="example", size="sm"
    )


def _connect(
    pipeline: Pipeline,
    controls: _Controls,
    answer: gr.HTML,
    passages: gr.HTML,
    examples: list[tuple[Example, gr.Button]],
) -> None:
    """Tie the controls to the pipeline."""
    stop = controls.stop
    inputs = [controls.picture, controls.question, controls.top_k]
    # Not Gradio's `cancels`: its page hangs now and then (gradio issue 11586).
    running: dict[str, threading.Event] = {}

    def run(
        picture: Any, question: str, top_k: int, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        stopped = running[request.session_hash] = threading.Event()
        try:
            yield {stop: gr.Button(interactive=True)}
            with closing(views(pipeline, picture, question, top_k)) as steps:
                for view in steps:
                    if stopped.is_set():
                        yield {answer: markup.stopped()}
                        break
                    yield {answer: view.answer, passages: view.passages}
            yield {stop: gr.Button(interactive=False)}
        finally:
            running.pop(request.session_hash, None)

    def halt(request: gr.Request) -> None:
        if stopped := running.get(request.session_hash):
            stopped.set()

    # A function each, not a partial: Gradio finds no type hints in those.
    def filler(example: Example) -> Callable[[gr.Request], tuple[str, str]]:
        def fill(request: gr.Request) -> tuple[str, str]:
            halt(request)
            return str(example_image_path(example)), example.question

        return fill

    # preprocess=False: Gradio would open the upload with Pillow itself, and fail on a
    # broken one before there is a chance to say what is wrong with it.
    # always_last: what is asked during an answer is asked when that has ended.
    gr.on(
        [controls.ask.click, controls.question.submit],
        run,
        inputs,
        [answer, passages, stop],
        preprocess=False,
        trigger_mode="always_last",
        js=_SHOW_ANSWER,
        **_QUIET,
    )
    stop.click(halt, queue=False, **_QUIET)
    controls.picture.upload(
        _inspect, controls.picture, [answer, passages], preprocess=False, **_QUIET
    )
    filled = [controls.picture, controls.question]
    for example, button in examples:
        button.click(filler(example), outputs=filled, queue=False, **_QUIET).then(
            None, js=_PRESS_ASK
        )
    # The same for programs: gradio_client's `predict(..., api_name="/ask")`.
    gr.Button(visible=False).click(
        partial(ask, pipeline), inputs, gr.JSON(visible=False), preprocess=False, api_name="ask"
    )


def _inspect(picture: Any) -> tuple[str, str]:
    """Return the areas after an upload: empty, or what is wrong with the picture."""
    try:
        _read_picture(picture)
    except KbvqaError as exc:
        return markup.problem(str(exc), title="This picture cannot be used"), ""
    return markup.START, ""


def check_port(host: str, port: int) -> None:
    """Return when the page can be served on `host` and `port`.

    Raises:
        PortInUse: another program listens there.
        InvalidSettings: the address is not one of this machine, or the port is not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; stop it, or choose another "
                "port with --port or KBVQA_PORT"
            ) from exc
        raise InvalidSettings(
            f"the page cannot be served on {host}, port {port}: {exc.strerror}; choose another "
            "with --host or KBVQA_HOST, --port or KBVQA_PORT"
        ) from exc


def serve(page: gr.Blocks, host: str, port: int) -> None:
    """Serve the page until the process is told to stop (Ctrl-C or SIGTERM).

    Raises:
        PortInUse, InvalidSettings: see check_port.
    """
    check_port(host, port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _reach_loopback_directly()
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        inbrowser=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=MAX_IMAGE_BYTES,
        allowed_paths=[str(demo_dir() / "examples")],
        theme=_theme(),
        css_paths=_STYLE,
    )
    print(f"kbvqa is at {url} (Ctrl-C stops it)", flush=True)
    stop.wait()
    page.close(verbose=False)


def _reach_loopback_directly() -> None:
    """Keep a configured proxy out of the way: Gradio asks its own server whether it is up."""
    names = ("NO_PROXY", "no_proxy")
    direct = next((os.environ[name] for name in names if os.environ.get(name)), "")
    for name in names:
        os.environ[name] = ",".join(filter(None, [direct, "127.0.0.1", "localhost"]))


def _theme() -> gr.themes.Base:
    """Return the theme: fonts of the reader's own system, so that none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
