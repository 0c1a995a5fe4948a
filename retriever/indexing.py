"""A corpus into an index: only what is new or changed is encoded, and a stopped run goes on.

    read a window -> ask the index what it has -> encode the rest -> write, beside the next encoding

At no time more than a window of passages and a few batches of embeddings are in memory.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np

from corpus.seen import Seen
from corpus.types import Passage
from retriever.embeddings import MAX_ELEMENTS
from retriever.engines.interface import Vector
from retriever.index import PassageIndex
from retriever.index_record import content_hash

WINDOW = 1_024  # as the encoder's, which sorts that many by length
_WAITING_BATCHES = 4  # of about 4,096 tokens: 2 MB each at 128 dims
_DELETED_AT_ONCE = 1_000

Batch = tuple[list[Passage], Sequence[Vector]]
Encode = Callable[[Iterable[Passage]], Iterator[Batch]]


@dataclass(slots=True)
class Report:
    """What a run did.

    Attributes:
        written: passages encoded and written.
        unchanged: passages that were in the index already, word for word.
        skipped: id and reason of passages that cannot be indexed.
        deleted: passages removed, as the corpus has them no longer.
        kept: passages in the index that the corpus has not, and that were not removed.
    """

    written: int = 0
    unchanged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    deleted: int = 0
    kept: int = 0

    @property
    def read(self) -> int:
        """How many passages of the corpus have been dealt with."""
        return self.written + self.unchanged + len(self.skipped)


class Ranks(Protocol):
    """The processes that index one corpus together (`retriever.ranks`)."""

    rank: int
    size: int

    def scatter(self, parts: Sequence[list[Passage] | None] | None) -> list[Passage] | None:
        """Return this process's part of what the first one gives; None at the end."""

    def gather(self, batch: Batch) -> list[Batch] | None:
        """Return, in the first process, what each gives."""


def write_corpus(
    index: PassageIndex,
    passages: Iterable[Passage],
    encode: Encode,
    advance: Callable[[int], None] = lambda read: None,
) -> Report:
    """Write what the index does not have yet, and return what was done.

    Stopped at any moment, by an exception, Ctrl-C or kill, the same call goes on: what was
    written stays, and is not encoded again.

    Args:
        index: open for writing.
        passages: the corpus. Ids are unique.
        encode: yields passages with their rows [P, D] in batches, in any order.
        advance: told how many passages have been dealt with.
    """
    report = Report()
    with _Writer(index, report, advance) as writer:
        for window in windows(passages):
            missing = _missing(index, window, report)
            advance(report.read)
            for batch in encode(missing):
                writer.put(batch)
    return report


def write_corpus_together(
    index: PassageIndex | None,
    passages: Iterable[Passage],
    encode: Encode,
    ranks: Ranks,
    advance: Callable[[int], None] = lambda read: None,
) -> Report:
    """Write what the index does not have yet, encoded by several processes.

    The first process reads, and alone writes, as an embedded index has one writer; each encodes
    a window a round. Arguments as for `write_corpus`; `index` is None in all but the first.
    """
    report = Report()
    if index is None:
        while (part := ranks.scatter(None)) is not None:
            ranks.gather(_together(encode(part)))
        return report
    with _Writer(index, report, advance) as writer:
        for group in _groups(_missing_windows(index, passages, report), ranks.size):
            own = ranks.scatter(group)
            for batch in ranks.gather(_together(encode(own or []))) or []:
                writer.put(batch)
        ranks.scatter([None] * ranks.size)
    return report


def remove_missing(index: PassageIndex, ids: Seen, report: Report, *, delete: bool) -> None:
    """Delete, or count as kept, the passages of the index whose id is not among `ids`.

    Args:
        index: open for writing.
        ids: the ids of the corpus.
        report: gets `deleted` and `kept`.
        delete: whether they are deleted.
    """
    gone: list[str] = []
    for passage, _ in index.row_counts():
        if passage.id in ids:
            continue
        if not delete:
            report.kept += 1
        else:
            gone.append(passage.id)
    for start in range(0, len(gone), _DELETED_AT_ONCE):
        report.deleted += index.delete(gone[start : start + _DELETED_AT_ONCE])


def windows(passages: Iterable[Passage], size: int = WINDOW) -> Iterator[list[Passage]]:
    """Yield passages in lists of a size."""
    source = iter(passages)
    while window := list(islice(source, size)):
        yield window


def _missing(index: PassageIndex, window: list[Passage], report: Report) -> list[Passage]:
    """Return the passages that the index does not have as they are."""
    present = index.content_hashes([passage.id for passage in window])
    missing = [p for p in window if present.get(p.id) != content_hash(p)]
    report.unchanged += len(window) - len(missing)
    return missing


def _missing_windows(
    index: PassageIndex, passages: Iterable[Passage], report: Report
) -> Iterator[list[Passage]]:
    """Yield full windows of passages that are to be encoded."""
    found = (p for window in windows(passages) for p in _missing(index, window, report))
    return windows(found)


def _groups(parts: Iterator[list[Passage]], size: int) -> Iterator[list[list[Passage]]]:
    while group := list(islice(parts, size)):
        if len(group) < size:  # the last one: shared out evenly
            rest = [passage for part in group for passage in part]
            group = [rest[rank::size] for rank in range(size)]
        yield group


def _together(batches: Iterator[Batch]) -> Batch:
    passages: list[Passage] = []
    rows: list[Vector] = []
    for batch, embeddings in batches:
        passages += batch
        rows += [np.asarray(e, dtype=np.float16) for e in embeddings]
    return passages, rows


class _Writer:
    """Writes batches in a thread of its own, so that encoding goes on meanwhile."""

    def __init__(self, index: PassageIndex, report: Report, advance: Callable[[int], None]) -> None:
        self._index, self._report, self._advance = index, report, advance
        self._queue: queue.Queue[Batch | None] = queue.Queue(_WAITING_BATCHES)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="index-writer", daemon=True)

    def __enter__(self) -> "_Writer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Wait until everything that was put is written, also when encoding was interrupted."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def put(self, batch: Batch) -> None:
        """Hand over a batch; waits while the writer is behind."""
        if self._error is not None:
            raise self._error
        self._queue.put(batch)

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            if self._error is not None:
                continue  # so that nobody waits for room in the queue
            try:
                self._write(batch)
            except BaseException as exc:  # noqa: BLE001 - raised where batches are put
                self._error = exc

    def _write(self, batch: Batch) -> None:
        passages: list[Passage] = []
        embeddings: list[Vector] = []
        for passage, rows in zip(*batch, strict=True):
            if not len(rows):
                reason = "no token of its text is indexed (punctuation only?)"
                self._report.skipped.append((passage.id, reason))
            elif rows.size >= MAX_ELEMENTS:
                reason = f"{len(rows):,} tokens are more than Qdrant takes: split it"
                self._report.skipped.append((passage.id, reason))
            else:
                passages.append(passage)
                embeddings.append(rows)
        self._index.upsert(passages, embeddings)
        self._report.written += len(passages)
        self._advance(self._report.read)
