"""The endpoint /ask of the page, for gradio_client: a picture and a question in, plain data out."""

import logging
from functools import partial
from typing import Any, get_args

import gradio as gr

from app.asking.ask import SOMETHING_WENT_WRONG, run
from app.asking.questions import MAX_TOP_K, boxes_of
from app.asking.report import result_as_json
from app.asking.why import explain
from app.errors import InvalidQuestion
from app.machine.request import new_number, of_request
from app.pipeline import Pipeline, result_of
from app.web.inputs import Inputs
from app.web.serving.uploads import read_picture
from corpus.errors import KbvqaError
from corpus.types import Query
from generator.answers.answer import Strategy

ANSWERING = "answering"  # what the page and the endpoint have their turns for

log = logging.getLogger(__name__)


def ask(
    pipeline: Pipeline,
    picture: Any,
    question: str,
    top_k: int,
    strategy: Strategy,
    box: str = "",
    why: bool = False,
) -> dict[str, Any]:
    """Return the outcome of one question as plain data: what the endpoint /ask answers.

    With `why` it says what matched what, and what exactly was given to what answers.

    Raises:
        gr.Error: it failed; the message is for the caller.
    """
    with of_request(new_number()):
        try:
            _check(picture, question, top_k, strategy)
            query = Query(question, read_picture(picture), boxes=boxes_of(box))
            result = result_of(run(pipeline, query, top_k, strategy))
            whys = explain(pipeline, query, result.retrieval) if why else None
            return result_as_json(result, whys)
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


def connect_api(pipeline: Pipeline, inputs: Inputs, at_once: int) -> None:
    """Offer the endpoint /ask: gradio_client's `predict(..., api_name="/ask")`."""
    gr.Button(visible=False).click(
        partial(ask, pipeline),
        [*inputs.sent_by_programs, gr.Checkbox(False, label="Why", visible=False)],
        gr.JSON(visible=False),
        api_name="ask",
        api_description="Answer a question about a picture, with the passages that prove it.",
        concurrency_id=ANSWERING,
        concurrency_limit=at_once,
        preprocess=False,
    )
