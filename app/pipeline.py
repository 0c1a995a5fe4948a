"""The one place where retrieval and generation meet.

Query -> Encoder -> PassageIndex.search -> [Hit] -> strategies.respond -> Reply -> Answer

The command line, the page and the evaluation call `Pipeline` and re-implement no step.
"""

import time
from collections.abc import Generator as GeneratorOf
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from app.answering import Answering, Outcome
from corpus.images import featureless
from corpus.types import Answer, Hit, Query
from generator.errors import GeneratorError
from generator.strategies import WEIGHED, Answerer, Strategy
from retriever.checkpoint import Checkpoint
from retriever.encoder import Encoder
from retriever.errors import IndexNotReady
from retriever.exact import ExactSearcher
from retriever.index import PassageIndex, SearchMode

# Finds 99.9 of 100 of the exact top ten passages for pictures of things: docs/index.md.
CANDIDATES = 400


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for a query.

    Attributes:
        hits: best first; empty without retrieval.
        unsure: whether the best score is under the checkpoint's calibrated threshold.
        threshold: that threshold; None where the checkpoint has none.
        seen: what text-based vision wrote behind the question; "" when nothing.
        timings_ms: milliseconds of wall time by step.
        cut: tokens at the question's end that the checkpoint has no room for; 0 when all fit.
    """

    hits: tuple[Hit, ...]
    unsure: bool
    threshold: float | None
    seen: str
    timings_ms: dict[str, float]
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a query.

    Attributes:
        outcome: the answer; None when only retrieval was asked for, or the generator failed.
        failure: why there is no answer though one was asked for; else None.
        retrieval: what was found; it is there whether or not the generator failed.
        timings_ms: milliseconds of wall time by step, "total" among them.
        checkpoint: name and revision of the retriever.
        generator: the generator's name; "" when only retrieval was asked for.
    """

    outcome: Outcome | None
    failure: GeneratorError | None
    retrieval: Retrieval
    timings_ms: dict[str, float]
    checkpoint: str
    generator: str

    @property
    def answer(self) -> Answer | None:
        """Return the answer that is shown."""
        return self.outcome.answer if self.outcome else None


class Pipeline:
    """Components joined into question answering. They are built elsewhere and passed in.

    Args:
        encoder: turns queries into embeddings.
        index: holds the passages; None when retrieval is never asked for.
        answering: writes answers: a reader or generator, which is asked as `Answering.usual`
            says, or how to ask it; None when only retrieval is asked for.
        max_question_characters: of a question that a user types: see app.questions.
        exact: the corpus in memory, searched instead of the index; None for the index.
        candidates: passages that a search of the index ranks by all their rows.

    Raises:
        IndexNotReady: another checkpoint made the index.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: PassageIndex | None,
        answering: Answering | Answerer | None = None,
        *,
        max_question_characters: int = 500,
        exact: ExactSearcher | None = None,
        candidates: int = CANDIDATES,
    ) -> None:
        if index is not None:
            require_checkpoint(index, encoder.checkpoint)
        if answering is not None and not isinstance(answering, Answering):
            answering = Answering.usual(answering, encoder.checkpoint.revision)
        self.encoder, self.index, self.answering = encoder, index, answering
        self.exact, self.candidates = exact, candidates
        self.max_question_characters = max_question_characters

    @property
    def generator(self) -> Answerer | None:
        """Return the generator, None when only retrieval is asked for."""
        return self.answering.generator if self.answering else None

    def retrieve(self, query: Query, top_k: int = 5, mode: SearchMode = "two-stage") -> Retrieval:
        """Return the `top_k` best passages for a query.

        Raises:
            ValueError: the pipeline has no index.
        """
        if self.index is None:
            raise ValueError("this pipeline has no index: it was built without retrieval")
        timings: dict[str, float] = {}
        with _timed(timings, "encode"):
            encoded = self.encoder.encode_query(query)
        with _timed(timings, "search"):
            searcher = self.exact or self.index
            hits = searcher.search(encoded.rows_QD, top_k, mode=mode, candidates=self.candidates)
        threshold = self.encoder.checkpoint.unsure_below
        unsure = threshold is not None and (not hits or hits[0].score < threshold)
        return Retrieval(tuple(hits), unsure, threshold, encoded.seen, timings, encoded.cut)

    def stream(
        self,
        query: Query,
        top_k: int = 5,
        *,
        retrieval: bool = True,
        answer: bool = True,
        strategy: Strategy | None = None,
    ) -> GeneratorOf[Retrieval | str | Result, None, None]:
        """Yield the retrieval, then pieces of the answer ("" at times), then the result.

        A generator that fails ends in a result with the passages and the reason.

        Args:
            query: the question and its picture.
            top_k: passages to show; the generator reads the first of them.
            retrieval: False asks the generator alone.
            answer: False stops after retrieval.
            strategy: another than the one that is set.
        """
        started = time.perf_counter()
        query = replace(query, question=query.question.strip())
        found = Retrieval((), False, None, "", {})
        if retrieval:
            found = self.retrieve(query, max(top_k, WEIGHED))
        hits, found = found.hits, replace(found, hits=found.hits[:top_k])
        yield found
        timings = dict(found.timings_ms)
        outcome: Outcome | None = None
        failure: GeneratorError | None = None
        name = ""
        if answer:
            if self.answering is None:
                raise ValueError("this pipeline has no generator: it was built for retrieval")
            name = self.answering.generator.name
            steps = self.answering.answer(
                query,
                hits,
                shown=top_k,
                strategy=strategy,
                caption=found.seen,
                doubts=_doubts(query, found),
            )
            try:
                with _timed(timings, "generate"), closing(steps):
                    for step in steps:
                        if isinstance(step, Outcome):
                            outcome = step
                        else:
                            yield step
            except GeneratorError as exc:
                failure = exc
        timings["total"] = _milliseconds_since(started)
        yield Result(outcome, failure, found, timings, self.encoder.checkpoint.id, name)

    def ask(
        self,
        query: Query,
        top_k: int = 5,
        *,
        retrieval: bool = True,
        answer: bool = True,
        strategy: Strategy | None = None,
    ) -> Result:
        """Return the result of a query; arguments as for `stream`."""
        *_, result = self.stream(
            query, top_k, retrieval=retrieval, answer=answer, strategy=strategy
        )
        assert isinstance(result, Result)
        return result


def require_checkpoint(index: PassageIndex, checkpoint: Checkpoint) -> None:
    """Raise IndexNotReady unless a checkpoint's queries may search an index."""
    made_with = index.fingerprint
    if made_with.checkpoint_sha256 != checkpoint.revision:
        raise IndexNotReady(
            f"the index at {index.location} was made with the checkpoint "
            f"{made_with.checkpoint}@{made_with.checkpoint_sha256}, not {checkpoint.id}. Search it "
            "with the first (--checkpoint), or build another index: "
            "`kbvqa index build PASSAGES.jsonl --index ANOTHER_PLACE`"
        )


def _doubts(query: Query, found: Retrieval) -> tuple[str, ...]:
    """Return why what was found is in doubt before anything is read, as reasons."""
    if query.image is not None and featureless(query.image):
        return ("the picture shows nothing but a colour, a gradient or noise",)
    if not found.unsure or found.threshold is None:
        return ()
    best = f"scores {found.hits[0].score:.1f}" if found.hits else "was not found"
    return (f"the best passage {best}; this checkpoint trusts scores from {found.threshold:.1f}",)


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[step] = _milliseconds_since(started)


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
