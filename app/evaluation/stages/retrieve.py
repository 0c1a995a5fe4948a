"""The first stage: examples to hits, in batches.

Pictures are decoded ahead in threads, a batch is encoded while the one before it is searched. A
batch is always the same examples of the benchmark, so that an interrupted run computes the very
numbers of one that was not.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

from PIL import Image

from app.evaluation.files.resumable import ResumableRows
from app.evaluation.provenance import digest
from app.evaluation.record import RetrievalRow
from app.evaluation.stages.pictures import Pictures, row_key, same_key
from app.evaluation.stages.tell import Tell
from app.flow.alike import EncodedQuestion
from app.flow.events import Retrieval
from app.pipeline import Pipeline
from corpus.errors import KbvqaError
from corpus.types import Example, Query
from retriever.encoding.ahead import ahead, map_ahead
from retriever.index.passage_index import PassageIndex

_DECODED_AHEAD = 4  # batches

Rows = ResumableRows[RetrievalRow]


@dataclass(slots=True)
class _Batch:
    """Some examples, and how far they are.

    Attributes:
        examples: all of the batch.
        queries: of those whose picture can be read, by id.
        failures: of the others, and of those that cannot be encoded.
        encoded: the embeddings, by id.
        encode_ms: milliseconds for one.
    """

    examples: Sequence[Example]
    queries: dict[str, Query]
    failures: dict[str, str]
    encoded: dict[str, EncodedQuestion]
    encode_ms: float = 0.0


def retrieval_row_key(example: Example, pictures: Pictures) -> str:
    """Return the key of an example's row of retrieval."""
    asked = [example.question, example.instruction, example.image, example.black_image]
    return row_key(asked, pictures.sha256(example))


def judged_by(example: Example) -> str:
    """Return a hash of what says which passages prove an example's answer."""
    return digest([example.searched, example.gold_passage_ids])


def current_row(rows: Rows, example: Example, pictures: Pictures) -> RetrievalRow | None:
    """Return the row of an example as it is now, or None."""
    row = rows.get(example.id)
    fits = row is not None and same_key(row.key, retrieval_row_key(example, pictures))
    return row if fits else None


def retrieve(
    pipeline: Pipeline,
    examples: Sequence[Example],
    pictures: Pictures,
    rows: Rows,
    *,
    found: int,
    batch: int,
    only_missing: bool,
    tell: Tell,
) -> int:
    """Add the rows that are not there yet, failed, or are of an example that has changed since.

    Args:
        pipeline: with an index.
        examples: in order.
        pictures: of the examples.
        rows: to add to.
        found: passages to find for each.
        batch: examples encoded at once.
        only_missing: leave alone what failed.
        tell: told how far it is.

    Returns:
        How many rows were made.
    """
    assert pipeline.index is not None
    todo: list[int] = []  # the first examples of batches with something to do
    left: set[str] = set()
    for start in range(0, len(examples), batch):
        wanted = {
            example.id
            for example in examples[start : start + batch]
            if _to_be_searched(current_row(rows, example, pictures), only_missing)
        }
        left |= wanted
        todo += [start] if wanted else []
    made, failed = 0, 0
    done = len(examples) - len(left)
    tell(done, len(examples), failed)
    batches = (examples[start : start + batch] for start in todo)
    for ready in ahead(_encoded(pipeline, batches, pictures, batch)):
        for row in _searched(pipeline, ready, found, pictures):
            if row.id in left:
                rows.add(row)
                made += 1
                failed += bool(row.failure)
        done = len(examples) - len(left) + made
        tell(done, len(examples), failed)
    return made + _judge_again(pipeline.index, examples, rows, batch)


def _to_be_searched(row: RetrievalRow | None, only_missing: bool) -> bool:
    return row is None or bool(row.failure and not only_missing)


def _encoded(
    pipeline: Pipeline, batches: Iterator[Sequence[Example]], pictures: Pictures, size: int
) -> Iterator[_Batch]:
    """Yield the batches with their queries encoded."""

    def load(example: Example) -> Image.Image | KbvqaError | None:
        try:
            return pictures.load(example)
        except KbvqaError as exc:
            return exc

    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:
        listed = list(batches)
        loaded = map_ahead(pool, load, (e for b in listed for e in b), _DECODED_AHEAD * size)
        for examples in listed:
            batch = _Batch(examples, {}, {}, {})
            for example, picture in zip(examples, islice(loaded, len(examples)), strict=True):
                if isinstance(picture, KbvqaError):
                    batch.failures[example.id] = _reason(picture)
                else:
                    question = example.question.strip()
                    batch.queries[example.id] = Query(question, picture, example.instruction)
            started = time.perf_counter()
            _encode(pipeline, batch)
            batch.encode_ms = _each_ms(started, len(batch.queries))
            batch.queries.clear()  # the pictures go
            yield batch


def _encode(pipeline: Pipeline, batch: _Batch) -> None:
    """Encode a batch; what cannot be encoded costs no other query."""
    encode = pipeline.encode_many
    try:
        batch.encoded = dict(zip(batch.queries, encode(list(batch.queries.values())), strict=True))
    except KbvqaError:
        for id_, query in batch.queries.items():
            try:
                batch.encoded[id_] = encode([query])[0]
            except KbvqaError as exc:
                batch.failures[id_] = _reason(exc)


def _searched(
    pipeline: Pipeline, batch: _Batch, found: int, pictures: Pictures
) -> Iterator[RetrievalRow]:
    """Yield the rows of a batch."""
    assert pipeline.index is not None
    started = time.perf_counter()
    ids = list(batch.encoded)
    retrieved = pipeline.search_many([batch.encoded[id_] for id_ in ids], found) if ids else []
    hits = dict(zip(ids, retrieved, strict=True))
    search_ms = _each_ms(started, len(ids))
    present = _present(pipeline.index, batch.examples)
    for example in batch.examples:
        row = RetrievalRow(
            example.id,
            retrieval_row_key(example, pictures),
            gold_in_corpus=len(present.intersection(example.gold_passage_ids)),
            judged=judged_by(example),
        )
        if example.id in batch.failures:
            yield replace(row, failure=batch.failures[example.id])
            continue
        result: Retrieval = hits[example.id]
        yield replace(
            row,
            hits=tuple((hit.passage.id, round(hit.score, 4)) for hit in result.hits),
            search=pipeline.search_mode,
            answer_rank=answer_rank([hit.passage.text for hit in result.hits], example),
            seen=result.seen,
            similar=tuple((p.image, p.entity, round(p.similarity, 4)) for p in result.similar),
            cut=result.cut,
            encode_ms=batch.encode_ms,
            search_ms=search_ms,
        )


def answer_rank(texts: Sequence[str], example: Example) -> int:
    """Return the rank from 1 of the first text that contains an answer, as pseudo-recall looks for
    it; 0 for none.
    """
    # An empty answer is in every passage: it would count each of them as right.
    needles = [text for answer in example.searched if (text := answer.strip().lower())]
    for rank, text in enumerate(map(str.lower, texts), start=1):
        if any(needle in text for needle in needles):
            return rank
    return 0


def _judge_again(index: PassageIndex, examples: Sequence[Example], rows: Rows, batch: int) -> int:
    """Look up what has other answers or gold passages than when it was searched; return how many.

    Nothing is searched again.
    """
    stale = [
        example
        for example in examples
        if (row := rows.get(example.id)) and not row.failure and row.judged != judged_by(example)
    ]
    for start in range(0, len(stale), batch):
        some = stale[start : start + batch]
        hits = {example.id: [id_ for id_, _ in rows[example.id].hits] for example in some}
        wanted = sorted({id_ for ids in hits.values() for id_ in ids})
        texts = {passage.id: passage.text for passage in index.get(wanted)}
        present = _present(index, some)
        for example in some:
            rows.add(
                replace(
                    rows[example.id],
                    answer_rank=answer_rank([texts[id_] for id_ in hits[example.id]], example),
                    gold_in_corpus=len(present.intersection(example.gold_passage_ids)),
                    judged=judged_by(example),
                )
            )
    return len(stale)


def _present(index: PassageIndex, examples: Sequence[Example]) -> set[str]:
    """Return the gold passages of some examples that the index has."""
    wanted = {id_ for example in examples for id_ in example.gold_passage_ids}
    return set(index.content_hashes(sorted(wanted))) if wanted else set()


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def _each_ms(started: float, count: int) -> float:
    return round((time.perf_counter() - started) * 1000 / max(count, 1), 3)
