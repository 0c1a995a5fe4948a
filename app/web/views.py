"""One question as the page shows it, step by step: the edge where errors become messages."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec

from PIL.Image import Image

from app.asking.ask import SOMETHING_WENT_WRONG, run
from app.asking.questions import boxes_of
from app.asking.report import recorded, result_as_json
from app.asking.why import Why, explain
from app.flow.events import Found, Result, Retrieval
from app.machine.request import Request, current_number, each_step, new_number
from app.pipeline import Pipeline
from app.web.shown import cards, markup, scores
from corpus.errors import KbvqaError
from corpus.types import Query
from generator.answers.answer import Strategy
from generator.interface import Piece
from generator.rewriting import Turn

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """The two areas of the page that change, as HTML.

    Attributes:
        answer: of the answer.
        passages: of the passages.
        record: the answer with what was asked, as plain data; None until there is one.
    """

    answer: str
    passages: str
    record: dict[str, Any] | None = None


Given = ParamSpec("Given")


def _numbered(
    steps: Callable[Given, Generator[View, None, None]],
) -> Callable[Given, Generator[View, None, None]]:
    """Have each question be a request with a number of its own."""

    @wraps(steps)
    def begin(*args: Given.args, **kwargs: Given.kwargs) -> Generator[View, None, None]:
        return each_step(Request(new_number()), steps(*args, **kwargs))

    return begin


@_numbered
def views(
    pipeline: Pipeline,
    read_picture: Callable[[], Image],
    question: str,
    top_k: int,
    strategy: Strategy | None = None,
    *,
    box: str = "",
    sources: Sequence[str] = (),
    after: Sequence[Turn] = (),
    beside: bool = False,
) -> Generator[View, None, None]:
    """Yield what the page shows, step by step, for one question.

    Never raises: this is the edge where errors become messages. When the generator
    fails, the passages stay. Closing the iterator stops the generator.

    Args:
        pipeline: answers the question.
        read_picture: returns the picture; called inside, so that its errors become messages.
        question: as typed.
        top_k: passages to show.
        strategy: how to answer, when not as it is set.
        box: the part of the picture to look at, as `boxes_of` reads it; "" for the whole.
        sources: only passages from these are found; () for all.
        after: what was asked before about the same picture.
        beside: whether the model is then asked without passages too.
    """
    above = markup.earlier(after) + markup.asked(question)
    view = View(above + markup.waiting("Looking at the picture"), "")
    found, text = Retrieval(), ""
    why: Why | None = None
    try:
        yield view
        query = Query(question, read_picture(), boxes=boxes_of(box))
        asked = run(pipeline, query, top_k, strategy, sources=sources, after=after)
        with closing(asked) as events:
            for event in events:
                match event:
                    case Found(found):
                        why = _why(pipeline, query, found)
                        below = cards.passages(found, why=why, plot=scores.plot(found))
                        view = View(above + markup.streaming(found, ""), below)
                    case Piece(more):
                        text += more
                        view = View(above + markup.streaming(found, text), view.passages)
                    case Result():
                        if len(event.retrieval.hits) != len(found.hits):  # more, that are cited
                            why = _why(pipeline, query, event.retrieval)
                        view = finished(pipeline, question, event, why, after)
                        if beside and view.record is not None:
                            break  # there is one more to ask
                yield view
        if beside and view.record is not None:
            alone = replace(query, question=found.asked_as or question)
            yield from _with_the_model_alone(pipeline, alone, view)
    except KbvqaError as exc:
        yield View(above + markup.problem(str(exc)), view.passages)
    except Exception:
        log.exception("a question failed")
        said = f"{SOMETHING_WENT_WRONG} It has them under {current_number()}."
        yield View(above + markup.problem(said, again=True), view.passages)


def _with_the_model_alone(
    pipeline: Pipeline, query: Query, view: View
) -> Generator[View, None, None]:
    """Yield a finished view with what the model says without passages growing beside it.

    It has its record in the end, when both are there.
    """
    text, record = "", dict(view.record or {})
    growing = view.answer + markup.alone("", growing=True)
    yield replace(view, answer=growing, record=None)
    with closing(pipeline.run(query, retrieval=False, strategy="no-retrieval")) as events:
        for event in events:
            match event:
                case Piece(more):
                    text += more
                    growing = view.answer + markup.alone(text.strip(), growing=True)
                case Result(answer=answer, failure=failure):
                    said = answer.original.text if answer else str(failure)
                    both = view.answer + markup.alone(said)
                    yield replace(view, answer=both, record=record | {"without_passages": said})
                    return
            yield replace(view, answer=growing, record=None)


def _why(pipeline: Pipeline, query: Query, found: Retrieval) -> Why | None:
    """Return why passages were found; None where that fails, which costs nobody the answer."""
    try:
        return explain(pipeline, query, found)
    except KbvqaError as exc:
        log.warning("passages are shown without reasons: %s", exc)
        return None


def finished(
    pipeline: Pipeline,
    question: str,
    result: Result,
    why: Why | None,
    after: Sequence[Turn] = (),
) -> View:
    """Return what is shown in the end.

    Args:
        pipeline: that answered.
        question: as typed.
        result: what came of it.
        why: why its passages were found; None where that is not known.
        after: what was asked before about the same picture.
    """
    above = markup.earlier(after) + markup.asked(question)
    found, answer = result.retrieval, result.answer
    if answer is None:
        return View(
            above
            + markup.no_answer(found, str(result.failure or SOMETHING_WENT_WRONG), result.notes),
            cards.passages(found, why=why, plot=scores.plot(found)),
        )
    needed = pipeline.answering_to(found).needed_lead(answer)
    plot = scores.plot(found, answer.original, needed)
    return View(
        above + markup.answered(answer, found, result.notes),
        cards.passages(found, answer, why, plot) + markup.figures(result),
        recorded(question, result_as_json(result), after),
    )
