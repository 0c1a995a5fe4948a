"""A corpus into an index: only what is new or changed is encoded, and a stopped run goes on.

    read a window -> ask the index what it has -> encode the rest -> write

Each goes on beside the others: the encoder reads a window ahead, and threads write batches. At no
time more than a few windows of passages and a few batches of embeddings are in memory.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from corpus.files.text_set import TextSet
from corpus.types import Passage
from retriever.encoding.ahead import WINDOW, windows
from retriever.engines.interface import Invitation, Vector
from retriever.engines.record import Fingerprint, content_hash
from retriever.index.filters import PassageFilter
from retriever.index.rows import MAX_ELEMENTS

if TYPE_CHECKING:
    from retriever.checkpoint.loading import Checkpoint

_WAITING_BATCHES = 4
_DELETED_AT_ONCE = 1_000

_T = TypeVar("_T")
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
        gone: how many of those the corpus had before; 0 where it is the only one.
    """

    written: int = 0
    unchanged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    deleted: int = 0
    kept: int = 0
    gone: int = 0

    @property
    def read(self) -> int:
        """How many passages of the corpus have been dealt with."""
        return self.written + self.unchanged + len(self.skipped)


class WritableIndex(Protocol):
    """What is written into: a `PassageIndex` that is not finished."""

    @property
    def count(self) -> int:
        """The number of passages in it now."""

    @property
    def writers(self) -> int:
        """How many threads may write at once."""

    def invitation(self) -> Invitation | None:
        """Return what other processes write beside this one with; None where one alone writes."""

    def content_hashes(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Return the hash of the content of each passage that is there, by id."""

    def row_counts(self) -> Iterable[tuple[Passage, int]]:
        """Return all passages, each with the number of its rows."""

    def upsert(self, passages: Sequence[Passage], embeddings: Sequence[Vector]) -> None:
        """Write passages; one with an id that is there already takes its place."""

    def delete(self, chosen: Iterable[str] | PassageFilter) -> int:
        """Remove passages and return how many."""


class Processes(Protocol):
    """The processes that index one corpus together (`retriever.building.processes`)."""

    number: int
    size: int

    def told(self, value: _T) -> _T:
        """Return, in all processes, the value of the first."""

    def scatter(self, parts: Sequence[list[Passage] | None] | None) -> list[Passage] | None:
        """Return this process's part of what the first one gives; None at the end."""

    def gather(self, given: _T) -> list[_T] | None:
        """Return, in the first process, what each gives."""


def write_corpus(
    index: WritableIndex,
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
    with _Writer(index, advance) as writer:
        writer.put_all(encode(writer.missing(passages)))
    return writer.report


def write_corpus_together(
    index: WritableIndex,
    passages: Iterable[Passage],
    encode: Encode,
    processes: Processes,
    advance: Callable[[int], None] = lambda read: None,
) -> Report:
    """Write what the index does not have yet, encoded by several processes.

    The first process calls this, the others `help_to_write`. It reads, and each encodes a window a
    round. On a server each writes what it has encoded; in a directory, which has one writer, the
    first one does. Arguments as for `write_corpus`.
    """
    beside = processes.told(index.invitation()) is not None
    with _Writer(index, advance) as writer:
        for group in _groups(windows(writer.missing(passages), WINDOW), processes.size):
            own = processes.scatter(group) or []
            if beside:
                writer.put_all(encode(own))
                writer.hear(processes.gather(writer.report) or [])
            else:
                for batch in processes.gather(_together(encode(own))) or []:
                    writer.put(batch)
        processes.scatter([None] * processes.size)
    if beside:
        writer.hear(processes.gather(writer.report) or [])
    return writer.total


def help_to_write(
    encode: Encode,
    processes: Processes,
    join: Callable[[Invitation], AbstractContextManager[WritableIndex]],
) -> None:
    """Encode what the first process gives out, and write it where several may.

    Args:
        encode: as for `write_corpus`.
        processes: this one among all.
        join: opens the index that the first process writes.
    """
    invitation = processes.told(None)
    if invitation is None:
        while (part := processes.scatter(None)) is not None:
            processes.gather(_together(encode(part)))
        return
    with join(invitation) as index:
        with _Writer(index, lambda read: None) as writer:
            while (part := processes.scatter(None)) is not None:
                writer.put_all(encode(part))
                processes.gather(writer.report)
        processes.gather(writer.report)  # now all of it is written


def dismiss(processes: Processes) -> None:
    """Tell those who would help, from the first process, that there is nothing to do."""
    processes.told(None)
    processes.scatter([None] * processes.size)


def remove_missing(index: WritableIndex, ids: TextSet, report: Report, *, delete: bool) -> None:
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


def _groups(parts: Iterator[list[Passage]], size: int) -> Iterator[list[list[Passage]]]:
    while group := list(islice(parts, size)):
        if len(group) < size:  # the last one: shared out evenly
            rest = [passage for part in group for passage in part]
            group = [rest[number::size] for number in range(size)]
        yield group


def _together(batches: Iterator[Batch]) -> Batch:
    passages: list[Passage] = []
    rows: list[Vector] = []
    for batch, embeddings in batches:
        passages += batch
        rows += [np.asarray(e, dtype=np.float32) for e in embeddings]
    return passages, rows


def fingerprint(
    checkpoint: "Checkpoint", corpus: str, corpus_sha256: str, passages: int, pool_factor: int = 1
) -> Fingerprint:
    """Return what an index of a corpus by a checkpoint is made from; arguments as its fields."""
    return Fingerprint(
        checkpoint=checkpoint.name,
        checkpoint_sha256=checkpoint.revision,
        corpus=corpus,
        corpus_sha256=corpus_sha256,
        passages=passages,
        dim=checkpoint.model.config.dim,
        max_passage_tokens=checkpoint.passage_tokenizer.max_length,
        pool_factor=pool_factor,
    )


class _Writer:
    """Writes batches in threads of its own, so that encoding goes on meanwhile.

    On a server several writes are under way at once, as a part of each is waiting.
    """

    def __init__(self, index: WritableIndex, advance: Callable[[int], None]) -> None:
        self.report = Report()
        self._others: list[Report] = []
        self._index, self._advance, self._empty = index, advance, not index.count
        self._counting = threading.Lock()
        self._queue: queue.Queue[Batch | None] = queue.Queue(_WAITING_BATCHES)
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, name="index-writer", daemon=True)
            for _ in range(index.writers)
        ]

    def __enter__(self) -> "_Writer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Wait until everything that was put is written, also when encoding was interrupted."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def missing(self, passages: Iterable[Passage]) -> Iterator[Passage]:
        """Yield the passages that the index does not have as they are."""
        for window in windows(passages, WINDOW):
            missing = window
            if not self._empty:  # one that began empty has none of them
                present = self._index.content_hashes([passage.id for passage in window])
                missing = [p for p in window if present.get(p.id) != content_hash(p)]
            self._count(unchanged=len(window) - len(missing))
            yield from missing

    @property
    def total(self) -> Report:
        """What was done here and by other processes."""
        total = Report()
        for report in (self.report, *self._others):
            total.written += report.written
            total.unchanged += report.unchanged
            total.skipped += report.skipped
        return total

    def hear(self, reports: Sequence[Report]) -> None:
        """Take in what all processes have done so far; the first is this one."""
        with self._counting:
            self._others = list(reports[1:])
            self._advance(self.total.read)

    def put_all(self, batches: Iterable[Batch]) -> None:
        """Hand over batches, as `put` does one."""
        for batch in batches:
            self.put(batch)

    def put(self, batch: Batch) -> None:
        """Hand over a batch; waits while the writers are behind."""
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
        skipped: list[tuple[str, str]] = []
        for passage, rows in zip(*batch, strict=True):
            if reason := _unfit(rows):
                skipped.append((passage.id, reason))
            else:
                passages.append(passage)
                embeddings.append(rows)
        self._index.upsert(passages, embeddings)
        if skipped:  # what they were before they changed is not to be found any more
            self._index.delete([id for id, _ in skipped])
        self._count(written=len(passages), skipped=skipped)

    def _count(
        self, *, written: int = 0, unchanged: int = 0, skipped: Sequence[tuple[str, str]] = ()
    ) -> None:
        with self._counting:
            self.report.written += written
            self.report.unchanged += unchanged
            self.report.skipped += skipped
            self._advance(self.total.read)


def _unfit(rows: Vector) -> str:
    """Return why a passage cannot be indexed; "" if it can."""
    if not len(rows):
        return "no token of its text is indexed (punctuation only?)"
    if rows.size >= MAX_ELEMENTS:
        return f"{len(rows):,} tokens are more than Qdrant takes: split it"
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        bad = int(np.count_nonzero(~finite))
        return f"the embeddings of {bad:,} of its {len(rows):,} tokens are not finite"
    return ""
