"""The page: a picture and a question in, the answer and its passages out.

check_port(host, port)                # before models are loaded
page = build_page(pipeline, settings)
serve(page, host, port)               # until Ctrl-C

Gradio is imported in this file only; what is shown comes from app.views and app.markup.
"""

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from gradio.utils import get_upload_folder
from PIL.Image import Image

from app import markup
from app.errors import InvalidQuestion, InvalidSettings, PortInUse
from app.pipeline import Pipeline, Result
from app.report import result_as_json
from app.runs import Asked, Runs
from app.settings import Settings
from app.views import MAX_TOP_K, SOMETHING_WENT_WRONG, steps, views
from corpus.demo import demo_dir, example_gallery, example_image_path
from corpus.errors import InvalidImage, KbvqaError
from corpus.images import MAX_IMAGE_BYTES, load_image
from corpus.types import Example, Query
from generator.strategies import Strategy

# Two at once, of the page and the endpoint together, keep a CPU busy; the others wait in line, and
# a longer line is refused.
CONCURRENT_QUESTIONS = 2
_ANSWERING = "answering"
MAX_WAITING = 32
UPLOADS_KEPT_SECONDS = 24 * 60 * 60

_STYLE = Path(__file__).parent / "web.css"
_SCRIPT = Path(__file__).parent / "web.js"
# Where the page is narrow, the answer is below the question: bring it into view.
_SHOW_ANSWER = """(...inputs) => {
  const narrow = window.matchMedia("(max-width: 860px)").matches;
  document.getElementById("answer").scrollIntoView({block: narrow ? "start" : "nearest"});
  return inputs;
}"""
_PRESS_ASK = "() => { document.getElementById('ask').click(); }"
# The page's own events: not part of the API, and the page itself says how far they are.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# Gradio would open an upload with Pillow itself, and fail on a broken one before there is
# a chance to say what is wrong with it.
_RAW: dict[str, Any] = {"preprocess": False}

_ONLY_FILES = "Only files are taken: save the picture on this computer, then add the file."

log = logging.getLogger(__name__)


def _read_picture(picture: Any) -> Image:
    """Return the uploaded picture, upright and RGB.

    Raises:
        InvalidQuestion: nothing was uploaded.
        InvalidImage: it is not a whole picture; the message names it as the user does.
    """
    path = (picture or {}).get("path")
    if not path:
        raise InvalidQuestion("There is no picture yet. Add one, or click an example.")
    # Gradio checks this only where the record says that it is a file: a forged one need not.
    if not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise InvalidQuestion("The picture was not uploaded here. Upload it, then ask again.")
    if not Path(path).is_file():
        raise InvalidQuestion("The picture is no longer on the server; add it again.")
    try:
        return load_image(Path(path))
    except InvalidImage as exc:
        name = picture.get("orig_name") or "the picture"
        raise InvalidImage(str(exc).replace(str(path), name)) from exc


def ask(
    pipeline: Pipeline, picture: Any, question: str, top_k: int, strategy: Strategy
) -> dict[str, Any]:
    """Return the outcome of one question as plain data: what the endpoint /ask answers.

    Raises:
        gr.Error: it failed; the message is for the caller.
    """
    try:
        _check(picture, question, top_k, strategy)
        *_, result = steps(pipeline, Query(question, _read_picture(picture)), top_k, strategy)
        assert isinstance(result, Result)
        return result_as_json(result)
    except KbvqaError as exc:
        raise gr.Error(str(exc), print_exception=False) from exc
    except Exception as exc:
        log.exception("a question failed")
        raise gr.Error(SOMETHING_WENT_WRONG, print_exception=False) from exc


def _check(picture: Any, question: Any, top_k: Any, strategy: Any) -> None:
    """Raise InvalidQuestion unless what a program sent is what the page would send."""
    if not isinstance(picture, dict | None):
        raise InvalidQuestion("The picture must be a file: gradio_client's handle_file(PATH).")
    if not isinstance(question, str):
        raise InvalidQuestion(f"The question must be a text, not {question!r}.")
    whole = isinstance(top_k, int | float) and float(top_k).is_integer()
    if not whole or not 1 <= top_k <= MAX_TOP_K:
        raise InvalidQuestion(f"Ask for 1 to {MAX_TOP_K} passages, not {top_k!r}.")
    if strategy not in (known := get_args(Strategy)):
        raise InvalidQuestion(f"{strategy!r} is no strategy; choose from {', '.join(known)}.")


def build_page(pipeline: Pipeline, settings: Settings) -> gr.Blocks:
    """Return the page on a pipeline with a generator. Nothing is served yet."""
    answering = pipeline.answering
    if answering is None:
        raise ValueError("the page needs a pipeline with a generator")
    start = markup.start(settings)
    with gr.Blocks(
        title="kbvqa", analytics_enabled=False, delete_cache=(3600, UPLOADS_KEPT_SECONDS)
    ) as page:
        gr.HTML(markup.HEADER)
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="question-area"):
                inputs = _place_inputs(settings, answering.plan.strategy)
            with gr.Column(elem_id="result-area"):
                answer = gr.HTML(start, elem_id="answer")
                passages = gr.HTML("", elem_id="passages")
            with gr.Column(elem_id="example-area"):
                gr.HTML("<h2>Examples</h2>")
                examples = _place_examples()
        with gr.Accordion("What it knows, and how to use other models", open=False):
            gr.HTML(markup.about(settings))
        gr.HTML(markup.footer(pipeline.encoder.checkpoint.id, answering.generator.name))
        runs = Runs()
        _connect_question(pipeline, runs, inputs, answer, passages)
        _connect_picture(start, runs, inputs, answer, passages)
        _connect_examples(runs, inputs, examples)
        _connect_api(pipeline, inputs)
        page.unload(_leaving(runs))
        page.load(None, js=_SCRIPT.read_text(encoding="utf-8"))
    page.queue(default_concurrency_limit=CONCURRENT_QUESTIONS, max_size=MAX_WAITING)
    return page


@dataclass(frozen=True, slots=True)
class _Inputs:
    picture: gr.Image
    question: gr.Textbox
    top_k: gr.Slider
    strategy: gr.Dropdown
    ask: gr.Button
    stop: gr.Button

    @property
    def asked(self) -> list[Any]:
        """Return the components that make a question."""
        return [self.picture, self.question, self.top_k, self.strategy]


def _place_inputs(settings: Settings, chosen: Strategy) -> _Inputs:
    picture = gr.Image(
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
        # The extractive reader has one way, the others have the others.
        choices = [n for n in markup.STRATEGIES if (n == "extract") == (chosen == "extract")]
        strategy = gr.Dropdown(
            [(markup.STRATEGIES[name].capitalize(), name) for name in choices],
            value=chosen,
            label="How it answers",
            filterable=False,
            visible=len(choices) > 1,
            elem_id="strategy",
        )
    return _Inputs(picture, question, top_k, strategy, ask_button, stop)


def _place_examples() -> list[tuple[Example, gr.Button]]:
    return [
        (
            example,
            gr.Button(
                example.question,
                icon=example_image_path(example),
                elem_classes="example",
                size="sm",
            ),
        )
        for example in example_gallery()
    ]


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _leaving(runs: Runs) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        runs.stop(_session(request))

    return leave


def _connect_question(
    pipeline: Pipeline, runs: Runs, inputs: _Inputs, answer: gr.HTML, passages: gr.HTML
) -> None:
    def wait(
        picture: Any, question: str, top_k: int, strategy: Strategy, request: gr.Request
    ) -> dict[Any, Any]:
        if not runs.ask(_session(request), Asked(picture, question, top_k, strategy)):
            return {answer: gr.skip()}
        return {inputs.stop: gr.Button(interactive=True)}

    def run(request: gr.Request) -> Iterator[dict[Any, Any]]:
        session = _session(request)
        while now := runs.take(session):
            yield {inputs.stop: gr.Button(interactive=True)}
            asked = now.asked
            read_picture = partial(_read_picture, asked.picture)
            steps = views(pipeline, read_picture, asked.question, asked.top_k, asked.strategy)
            try:
                with closing(steps):
                    for view in steps:
                        if now.stop.is_set():
                            break
                        yield {answer: view.answer, passages: view.passages}
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
        inputs.asked,
        [answer, inputs.stop],
        # Whether it is asked already is known on the server alone.
        trigger_mode="multiple",
        queue=False,
        js=_SHOW_ANSWER,
        **_RAW,
        **_QUIET,
    )
    waits.then(
        run,
        None,
        [answer, passages, inputs.stop],
        trigger_mode="always_last",
        concurrency_id=_ANSWERING,
        concurrency_limit=CONCURRENT_QUESTIONS,
        **_QUIET,
    )
    # Not Gradio's `cancels`: its page hangs now and then (gradio issue 11586).
    inputs.stop.click(stop, None, [answer, inputs.stop], queue=False, **_QUIET)


def _connect_picture(
    start: str, runs: Runs, inputs: _Inputs, answer: gr.HTML, passages: gr.HTML
) -> None:
    def replace(picture: Any, request: gr.Request) -> None:
        runs.keep(_session(request), (picture or {}).get("path") or "")

    def inspect(picture: Any, request: gr.Request) -> Any:
        # An example is asked about at once.
        return gr.skip() if runs.busy(_session(request)) else _inspect(start, picture)

    # However it comes: a file, the clipboard, the camera, an example, or none any more.
    inputs.picture.change(replace, inputs.picture, queue=False, **_RAW, **_QUIET).then(
        inspect, inputs.picture, [answer, passages], **_RAW, **_QUIET
    )
    gr.Button(visible="hidden", elem_id="not-a-file").click(
        lambda: markup.problem(_ONLY_FILES, title="That is not a file"), None, answer, **_QUIET
    )


def _connect_examples(
    runs: Runs, inputs: _Inputs, examples: list[tuple[Example, gr.Button]]
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


def _connect_api(pipeline: Pipeline, inputs: _Inputs) -> None:
    """Offer the endpoint /ask: gradio_client's `predict(..., api_name="/ask")`."""
    gr.Button(visible=False).click(
        partial(ask, pipeline),
        inputs.asked,
        gr.JSON(visible=False),
        api_name="ask",
        api_description="Answer a question about a picture, with the passages that prove it.",
        concurrency_id=_ANSWERING,
        concurrency_limit=CONCURRENT_QUESTIONS,
        **_RAW,
    )


def _inspect(start: str, picture: Any) -> tuple[str, str]:
    """Return the areas for another picture: empty, or what is wrong with it."""
    try:
        if picture:
            _read_picture(picture)
    except KbvqaError as exc:
        return markup.problem(str(exc), title="This picture cannot be used"), ""
    return start, ""


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


def serve(page: gr.Blocks, host: str, port: int, root_path: str | None = None) -> None:
    """Serve the page until the process is told to stop (Ctrl-C or SIGTERM).

    Args:
        page: by `build_page`.
        host: the address to listen on.
        port: its port.
        root_path: where a proxy shows the page: "/kbvqa", or a whole URL; None for its root.

    Raises:
        PortInUse, InvalidSettings: see check_port.
    """
    check_port(host, port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        root_path=root_path,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        inbrowser=False,
        footer_links=["api"],
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


def _theme() -> gr.themes.Base:
    """Return the theme: fonts of the reader's own system, so that none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
