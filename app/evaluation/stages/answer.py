"""The second stage: what was found to answers, many at once, under one or several conditions.

    retrieved      the passages that were found
    none           no passages: the generator alone
    gold           the gold passages, of examples that have some in the corpus: the oracle
    distractors    passages that were found for another question, with other answers

Each question is answered in a thread of its own, which mostly waits for a server. What is written
down is written down by the thread that called.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice

from app.evaluation.files.resumable import Breaker, ResumableRows
from app.evaluation.provenance import capabilities, digest, judging_record
from app.evaluation.record import AnswerRow, Condition, RetrievalRow
from app.evaluation.stages.pictures import Pictures, row_key, same_key
from app.evaluation.stages.retrieve import current_row
from app.evaluation.stages.tell import Tell
from app.flow.doubts import doubts_of, low_of
from app.flow.events import Retrieval
from app.pipeline import Pipeline
from corpus.errors import InvalidImage, KbvqaError
from corpus.types import Example, Hit, Passage, Query
from generator.answers.answer import Answer, Evidence
from generator.answers.answering import Answering, vouched
from generator.answers.confidence import judge
from generator.answers.parsing import same_answer
from generator.answers.selection import WEIGHED
from generator.errors import EmptyCompletion, GeneratorUnavailable
from generator.interface import Capabilities
from retriever.index.passage_index import PassageIndex
from retriever.pictures.neighbours import SimilarPicture

_LOOKED_UP = 64  # questions whose passages are looked up at once
# Failures that say nothing about the generator.
_NO_DISTRACTORS = "NoOtherQuestion: all questions have the same answers or gold passages"
_NOTHING_LEFT = "EmptyCompletion: no passage is left to answer from"
_NOT_ITS_FAULT = (InvalidImage.__name__, "NotRetrieved", _NO_DISTRACTORS)

Name = tuple[str, str]
Rows = ResumableRows[AnswerRow]


def row_name(row: AnswerRow) -> Name:
    """Return the name of a row: its condition and its example."""
    return (row.condition, row.id)


def answer_key(
    example: Example, condition: Condition, pictures: Pictures, given: object = ""
) -> str:
    """Return the key of the answer to an example under a condition.

    Args:
        example: asked.
        condition: under which.
        pictures: its picture is one of them.
        given: what the generator is given besides.
    """
    asked: list[object] = [example.question, example.image, example.black_image]
    if condition == "gold":
        asked.append(example.gold_passage_ids)
    return row_key(asked, pictures.sha256(example), given)


@dataclass(frozen=True, slots=True)
class Job:
    """A question that is to be answered under a condition.

    Attributes:
        row: the row it will be, without an answer.
        example: asked.
        given: (passage id, score) of the passages, the best first.
        found: what was retrieved; None without retrieval.
        hits: the passages themselves, once they are looked up.
    """

    row: AnswerRow
    example: Example
    given: tuple[tuple[str, float], ...]
    found: RetrievalRow | None
    hits: tuple[Hit, ...] = ()


class Jobs:
    """The questions of a stage, and which of them are answered.

    Args:
        examples: in order.
        conditions: under which each is asked.
        pictures: of the examples.
        index: where passages are looked up; None where none is read.
        found: what was retrieved; None without retrieval.
        read: how many passages are read.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        conditions: Sequence[Condition],
        pictures: Pictures,
        index: PassageIndex | None,
        found: ResumableRows[RetrievalRow] | None,
        read: int,
    ) -> None:
        self._examples, self._conditions, self._pictures = examples, conditions, pictures
        self._index, self._found, self._read = index, found, read

    def names(self) -> Iterator[Name]:
        """Yield the names of all rows that there may be, in their order."""
        return ((condition, e.id) for condition in self._conditions for e in self._examples)

    def all(self) -> Iterator[Job]:
        """Yield every question under every condition; without its passages' texts."""
        for condition in self._conditions:
            if condition == "gold":
                yield from self._with_gold()
                continue
            for position, example in enumerate(self._examples):
                found = self._row(example) if condition != "none" else None
                given = found.hits if found is not None else ()
                if condition == "distractors":
                    given = self._distractors(position)
                # Those behind the ones that are read say how far those stand out.
                yield self._job(condition, example, given[: max(self._read, WEIGHED)], found)

    def with_texts(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Yield jobs with their passages, looked up for many at once."""
        while some := list(islice(jobs, _LOOKED_UP)):
            wanted = sorted({id_ for job in some for id_, _ in job.given})
            passages: dict[str, Passage] = {}
            if wanted:
                assert self._index is not None
                passages = {p.id: p for p in self._index.get(wanted)}
            for job in some:
                hits = tuple(Hit(passages[id_], score) for id_, score in job.given)
                yield replace(job, hits=hits)

    def _job(
        self,
        condition: Condition,
        example: Example,
        given: tuple[tuple[str, float], ...],
        found: RetrievalRow | None,
    ) -> Job:
        key = answer_key(
            example, condition, self._pictures, [[id_ for id_, _ in given], found and found.seen]
        )
        return Job(AnswerRow(example.id, condition, key), example, given, found)

    def _row(self, example: Example) -> RetrievalRow | None:
        if self._found is None:
            return None
        row = current_row(self._found, example, self._pictures)
        # A stage that is run alone may come before the retrieval of some examples.
        return row or RetrievalRow(example.id, "", failure="NotRetrieved: nothing was searched")

    def _distractors(self, position: int) -> tuple[tuple[str, float], ...]:
        """Return the best passages of the next question, from half-way round, with other answers
        and other gold passages.
        """
        example, count = self._examples[position], len(self._examples)
        gold = set(example.gold_passage_ids)
        for step in range(count - 1):
            other = self._examples[(position + max(count // 2, 1) + step) % count]
            if other.id == example.id or gold.intersection(other.gold_passage_ids):
                continue
            if any(same_answer(a, b) for a in example.answers for b in other.answers):
                continue
            row = self._row(other)
            if row and (given := tuple(hit for hit in row.hits if hit[0] not in gold)):
                return given[: self._read]
        return ()

    def _with_gold(self) -> Iterator[Job]:
        """Yield the questions that have gold passages in the corpus, with those."""
        assert self._index is not None
        examples = (example for example in self._examples if example.gold_passage_ids)
        while some := list(islice(examples, _LOOKED_UP)):
            wanted = sorted({id_ for example in some for id_ in example.gold_passage_ids})
            present = self._index.content_hashes(wanted)
            for example in some:
                ids = [id_ for id_ in example.gold_passage_ids if id_ in present][: self._read]
                if ids:
                    found = self._row(example)
                    scores = dict(found.hits) if found else {}
                    best = max(scores.values(), default=0.0)
                    given = tuple((id_, scores.get(id_, best)) for id_ in ids)
                    yield self._job("gold", example, given, found)


def answer(
    pipeline: Pipeline,
    jobs: Jobs,
    pictures: Pictures,
    rows: Rows,
    *,
    concurrency: int,
    only_missing: bool,
    tell: Tell,
) -> int:
    """Add the answers that are not there yet, failed, or are to something that has changed since.

    What is only to be judged otherwise is judged again, and asked nobody.

    Args:
        pipeline: with a generator.
        jobs: what is asked.
        pictures: of the examples.
        rows: to add to.
        concurrency: questions on their way at once.
        only_missing: leave alone what failed.
        tell: told how far it is.

    Returns:
        How many rows were made.

    Raises:
        GeneratorError: the generator cannot be asked what it can do.
        TooManyFailures: so many in a row failed that the rest was left.
    """
    answering = pipeline.answering
    assert answering is not None
    judging = digest(judging_record(answering))
    silent = not any(row.text for row in rows.values())

    def wanted(job: Job) -> bool:
        row = rows.get(row_name(job.row))
        if row is None or not same_key(row.key, job.row.key):
            return True
        return _in_vain(row, silent) and not only_missing

    total = todo = 0
    for job in jobs.all():
        total += 1
        if wanted(job):
            todo += 1
        elif (row := rows[row_name(job.row)]).judged != judging:
            rows.add(_judged(answering, row, judging))
    tell(total - todo, total, 0)
    if todo:
        asking = _Asking(pipeline, answering, pictures, rows, judging, total, todo, tell)
        asking.all(jobs.with_texts(job for job in jobs.all() if wanted(job)), concurrency)
    return todo


class _Asking:
    """Answers questions in threads, and writes the answers down."""

    def __init__(
        self,
        pipeline: Pipeline,
        answering: Answering,
        pictures: Pictures,
        rows: Rows,
        judging: str,
        total: int,
        todo: int,
        tell: Tell,
    ) -> None:
        self._pipeline, self._answering, self._pictures = pipeline, answering, pictures
        self._rows, self._judging, self._tell = rows, judging, tell
        self._total, self._left, self._failed = total, todo, 0
        self._can = capabilities(answering.generator)
        self._breaker = Breaker(total)
        self._stop = threading.Event()

    def all(self, jobs: Iterator[Job], concurrency: int) -> None:
        """Answer all jobs, twice as many handed out as are on their way."""
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="answer")
        pending: set[Future[AnswerRow]] = set()
        try:
            for job in jobs:
                pending.add(pool.submit(self._row, job))
                if len(pending) >= 2 * concurrency:
                    pending = self._written(pending)
            while pending:
                pending = self._written(pending)
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    def _written(self, pending: set[Future[AnswerRow]]) -> set[Future[AnswerRow]]:
        """Wait for some answers, write them down and return what is still pending."""
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        rows = [self._rows.add(future.result()) for future in done]
        self._left -= len(rows)
        self._failed += sum(row.status == "failed" for row in rows)
        self._tell(self._total - self._left, self._total, self._failed)
        for row in rows:
            failure = row.reason if row.status == "failed" else ""
            if not failure.startswith(_NOT_ITS_FAULT) and row.reason != _NOTHING_LEFT:
                self._breaker.count(failure, "" if row.text or failure else row.reason)
        return pending

    def _row(self, job: Job) -> AnswerRow:
        started = time.perf_counter()
        row = replace(job.row, judged=self._judging)
        if job.found is not None and job.found.failure:
            return replace(row, status="failed", reason=job.found.failure)
        if row.condition == "distractors" and not job.given:
            return replace(row, status="failed", reason=_NO_DISTRACTORS)
        if self._answering.plan.strategy == "extract" and job.found is not None and not job.given:
            return replace(row, reason=_NOTHING_LEFT)  # an answer, and wrong
        try:
            query = Query(job.example.question.strip(), self._pictures.load(job.example))
            found = Retrieval()
            if job.found is not None:
                similar = tuple(SimilarPicture(*picture) for picture in job.found.similar)
                found = self._pipeline.found(job.hits, job.found.seen)
                found = replace(found, similar=similar)
            row = replace(row, doubts=doubts_of(query), low=low_of(found))
            answer = self._answer(query, found)
        except EmptyCompletion as exc:  # an answer, and wrong
            row = replace(row, reason=f"{type(exc).__name__}: {exc}")
        except KbvqaError as exc:
            row = replace(row, status="failed", reason=f"{type(exc).__name__}: {exc}")
        else:
            row = _answered(row, answer, job.given[: self._answering.plan.passages])
        seconds = round(time.perf_counter() - started, 3)
        return replace(row, seconds=seconds)

    def _answer(self, query: Query, found: Retrieval) -> Answer:
        with closing(self._pipeline.read(query, found)) as work:
            while not self._stop.is_set():
                try:
                    next(work)
                except StopIteration as end:
                    self._check_capabilities()
                    answer: Answer = end.value
                    return answer
        raise GeneratorUnavailable("stopped before the answer was there")

    def _check_capabilities(self) -> None:
        """Raise GeneratorUnavailable where it can no longer do what it could at the start."""
        generator = self._answering.generator
        now: Capabilities | None = capabilities(generator)
        if now != self._can:
            raise GeneratorUnavailable(
                f"{generator.name} can do other things than when the run began: "
                f"{now}, not {self._can}. Begin the run again in another directory."
            )


def _answered(row: AnswerRow, answer: Answer, first: Sequence[tuple[str, float]]) -> AnswerRow:
    said, confidence = answer.original, answer.confidence
    read = dict.fromkeys(id_ for prompt in answer.prompts for id_ in prompt.passage_ids)
    if answer.strategy == "extract":  # which uses no prompts
        read = dict.fromkeys(first[number - 1][0] for number in answer.read)
    return replace(
        row,
        text=said.text,
        status=confidence.verdict,
        reason="; ".join(confidence.reasons),
        confidence=None if confidence.value is None else round(confidence.value, 4),
        citations=tuple(citation.passage_id for citation in said.citations),
        read=tuple(read),
        strategy=answer.strategy,
        prompts=tuple(dict.fromkeys(prompt.name for prompt in answer.prompts)),
        evidence=asdict(answer.evidence),
        doubts=(*row.doubts, *answer.doubts),
        saw_picture=answer.saw_picture,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
    )


def _judged(answering: Answering, row: AnswerRow, judged: str) -> AnswerRow:
    """Return an answer judged by the calibration and thresholds of now."""
    if row.status == "failed" or not row.text:
        return replace(row, judged=judged)
    evidence: Mapping[str, float | None] = row.evidence
    found = Evidence(**evidence)
    answering = answering if found.alike is not None else replace(answering, pictures="")
    confidence = judge(
        found,
        answering.calibration.fit(
            answering.generator.name, answering.plan.style, row.strategy, answering.pictures
        ),
        unsure_below=answering.unsure_below,
        withhold_below=answering.withhold_below,
        doubts=row.doubts,
        low=row.low,
        foreign=answering.foreign,
        vouched=vouched(found, pictured=True),
    )
    value = None if confidence.value is None else round(confidence.value, 4)
    return replace(
        row,
        status=confidence.verdict,
        reason="; ".join(confidence.reasons),
        confidence=value,
        judged=judged,
    )


def _in_vain(row: AnswerRow, silent: bool) -> bool:
    """Return whether a question failed, or has no word where no answer of the run has any: then
    something was wrong, which by now may be right.
    """
    return row.status == "failed" or (silent and not row.text)
