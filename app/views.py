"""One question as the page shows it, step by step: the edge where errors become messages."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from PIL.Image import Image

from app import markup
from app.errors import InvalidQuestion
from app.pipeline import Pipeline, Result, Retrieval
from app.questions import checked_question
from corpus.errors import KbvqaError
from corpus.types import Query
from generator.strategies import Strategy

MAX_TOP_K = 20
SOMETHING_WENT_WRONG = "Something went wrong; the log has the details."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """The two areas of the page that change, as HTML."""

    answer: str
    passages: str


def views(
    pipeline: Pipeline,
    read_picture: Callable[[], Image],
    question: str,
    top_k: int,
    strategy: Strategy | None = None,
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
    """
    view = View(markup.waiting("Looking at the picture"), "")
    found: Retrieval | None = None
    completion = ""
    try:
        yield view
        query = Query(question, read_picture())
        for step in steps(pipeline, query, top_k, strategy):
            if isinstance(step, Retrieval):
                found = step
                view = View(markup.streaming(found, ""), markup.passages(found))
            elif isinstance(step, Result):
                view = _outcome(step)
            elif found:
                completion += step
                view = View(markup.streaming(found, completion), view.passages)
            yield view
    except KbvqaError as exc:
        yield View(markup.problem(str(exc)), view.passages)
    except Exception:
        log.exception("a question failed")
        yield View(markup.problem(SOMETHING_WENT_WRONG), view.passages)


def steps(
    pipeline: Pipeline, query: Query, top_k: int, strategy: Strategy | None = None
) -> Iterator[Retrieval | str | Result]:
    """Yield what `pipeline.stream` yields, and close that with this iterator.

    Raises:
        InvalidQuestion: the question is empty or too long, or too many or too few passages are
            asked for.
    """
    if not 1 <= top_k <= MAX_TOP_K:
        raise InvalidQuestion(f"{top_k} passages were asked for; ask for 1 to {MAX_TOP_K}.")
    question = checked_question(query.question, pipeline.max_question_characters)
    query = replace(query, question=question)
    with closing(pipeline.stream(query, int(top_k), strategy=strategy)) as stream:
        yield from stream


def _outcome(result: Result) -> View:
    found, outcome = result.retrieval, result.outcome
    if outcome is None:
        return View(
            markup.no_answer(found, str(result.failure or SOMETHING_WENT_WRONG)),
            markup.passages(found),
        )
    return View(
        markup.answered(outcome),
        markup.passages(found, outcome.answer) + markup.figures(result),
    )
