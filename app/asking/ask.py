"""What the page and the API ask of a pipeline: the same checks for whoever asks.

events = run(pipeline, query, top_k=5)
result = result_of(events)
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

from app.asking.questions import MAX_TOP_K, checked_question
from app.errors import InvalidQuestion
from app.flow.events import Event
from app.flow.talk import require_whole, writes_anew
from app.pipeline import Pipeline
from corpus.types import Query
from generator.answers.answer import Strategy
from generator.answers.plan import strategies_of
from generator.rewriting import Turn

MAX_WAITING = 32  # for their turn; a longer line is refused
SOMETHING_WENT_WRONG = "Something went wrong; the log has the details."


def run(
    pipeline: Pipeline,
    query: Query,
    top_k: int,
    strategy: Strategy | None = None,
    *,
    answer: bool = True,
    sources: Sequence[str] = (),
    after: Sequence[Turn] = (),
) -> Generator[Event, None, None]:
    """Return what `pipeline.run` yields for a question that a user typed.

    Args:
        pipeline: answers it.
        query: the question and its picture.
        top_k: passages to show.
        strategy: how to answer, if not as it is set.
        answer: False stops after retrieval.
        sources: only passages from these are found; () for all.
        after: what was asked before about the same picture.

    Raises:
        InvalidQuestion: the question is empty or too long, too many or too few passages are
            asked for, or what answers here does not have the strategy.
    """
    if not 1 <= top_k <= MAX_TOP_K:
        raise InvalidQuestion(f"{top_k} passages were asked for; ask for 1 to {MAX_TOP_K}.")
    question = checked(pipeline, query.question, after)
    query = replace(query, question=question)
    if answer and strategy is not None and pipeline.generator is not None:
        _require_strategy(strategies_of(pipeline.generator), strategy)
    return pipeline.run(
        query, int(top_k), answer=answer, strategy=strategy, sources=sources, after=after
    )


def checked(pipeline: Pipeline, question: str, after: Sequence[Turn] = ()) -> str:
    """Return a question that a user typed, without white space around it; arguments as for `run`.

    Raises:
        InvalidQuestion: it is empty, too long, plainly no question, or a question word alone that
            nothing before it can give a subject.
    """
    question = checked_question(question, pipeline.max_question_characters)
    if not (after and writes_anew(pipeline.answering)):
        require_whole(question)
    return question


def _require_strategy(known: Sequence[Strategy], asked: Strategy) -> None:
    """Raise InvalidQuestion unless what answers has the strategy: who asks cannot set another."""
    if asked not in known:
        raise InvalidQuestion(
            f"strategy: what answers here has no {asked!r}. Leave it out, or send "
            f"{' or '.join(known)}."
        )
