"""The exact search of a corpus of any size.

    in memory           where a device has room for its rows
    several devices     each keeps a part of the rows, and all score at the same time
    rows on disk        each part is read when its turn comes, scored, and let go

A part is an `ExactSearcher`; the best of a corpus are the best of the best of its parts.

Shapes: Q query tokens · D embedding dim
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from corpus.types import Hit
from retriever.errors import CorpusTooLarge
from retriever.index.exact import (
    ExactSearch,
    ExactSearcher,
    free_for_rows,
    require_room,
    usual_precision,
)
from retriever.index.filters import PassageFilter
from retriever.index.ordered import Ordered, Precision, Rows, row_bytes
from retriever.index.passage_index import Fingerprint, PassageIndex


class ExactParts(ExactSearch):
    """A corpus in memory where it fits, else on disk; on one device or several.

        with PassageIndex.open(location) as index:
            searcher = ExactParts.load(index)
        hits = searcher.search(q_QD, top_k=5)

    With `["cuda:0", "cuda:1"]` as second argument half of it is on each.

    Threads may share one.
    """

    def __init__(
        self,
        ordered: Ordered,
        parts: Sequence[Callable[[], ExactSearcher]],
        at_once: int,
        fingerprint: Fingerprint,
    ) -> None:
        """Not for callers: use `load`."""
        self.passages, self.fingerprint = ordered.passages, fingerprint
        self._parts, self._at_once = parts, at_once

    @classmethod
    def load(
        cls,
        index: PassageIndex,
        devices: Sequence[torch.device | str] = ("cpu",),
        precision: Precision | None = None,
        *,
        resident_bytes: int | None = None,
        folder: Path | None = None,
    ) -> Self:
        """Return the corpus of an index, read once.

        Args:
            index: open for searching.
            devices: where parts are scored, at the same time.
            precision: as for `ExactSearcher.load`, of the first device; the rows on disk have it
                too.
            resident_bytes: of rows, how many may be in memory at once, of all devices together.
                Where the corpus takes more it lies in a file, which every call of `search_many`
                reads once: ask many queries at a time. None for what is free on the devices now,
                of which a corpus in a file takes half.
            folder: where that file is made, without a name, so that it goes with the process at
                the latest; made if missing. None for the folder of temporary files.

        Raises:
            ValueError: there is no device, or `resident_bytes` has no room for the longest passage
                on each.
            CorpusTooLarge: it does not fit onto the disk, or there is not even memory for the
                longest passage, or less than `resident_bytes`.
        """
        on = [torch.device(device) for device in devices]
        if not on:
            raise ValueError("no devices: name one at least")
        precision = precision or usual_precision(on[0])
        ordered, dim = Ordered.of(index), index.fingerprint.dim
        size, total = row_bytes(dim, precision), int(ordered.starts[-1])
        longest = max(ordered.lengths, default=0)
        kept = total // len(on) + longest  # rows on each device, where all are in memory
        if resident_bytes is None:
            room = _free_rows(on, kept, size)
        else:
            fits = total * size <= resident_bytes
            room = None if fits else resident_bytes // (len(on) * size)
        if room is not None and room < longest:
            problem = (
                f"there is room for {room:,} rows on each of {len(on)} devices, and the longest "
                f"passage has {longest:,}"
            )
            if resident_bytes is None:
                raise CorpusTooLarge(f"too little memory is free: {problem}. End other programs")
            raise ValueError(f"resident_bytes is too few: {problem}")
        most = kept if room is None else room
        for device in on:
            require_room(on.count(device) * most * size, device, precision)
        rows: Rows | _OnDisk
        if room is None:
            rows = Rows.empty(total, dim, precision)
        else:
            rows = _OnDisk(folder, total, dim, precision)
        for start, given in ordered.rows(index, precision):
            rows.put(start, given)
        parts: list[Callable[[], ExactSearcher]] = []
        for n, span in enumerate(_spans(ordered.starts, most)):
            part = partial(_part, ordered, span, rows, on[n % len(on)], index.fingerprint)
            parts.append(part if room is not None else partial(_itself, part()))
        return cls(ordered, parts, len(on), index.fingerprint)

    def search_many(
        self, queries: Sequence[ArrayLike], top_k: int, filter: PassageFilter | None = None
    ) -> list[list[Hit]]:
        """Return what `search` returns, for each of many queries, reading the corpus once."""
        best: list[list[Hit]] = [[] for _ in queries]
        with ThreadPoolExecutor(self._at_once) as pool:
            for found in pool.map(
                lambda part: part().search_many(queries, top_k, filter), self._parts
            ):
                best = [_best(*pair, top_k) for pair in zip(best, found, strict=True)]
        return best


def _free_rows(devices: Sequence[torch.device], kept: int, size: int) -> int | None:
    """Return how many rows each device may read at a time; None where it has room to keep its own.

    Args:
        devices: one may be named several times, and is then shared.
        kept: rows that each would keep.
        size: of a row, in bytes.
    """
    free = [(free_for_rows(device), devices.count(device)) for device in devices]
    room = min((there // shared for there, shared in free if there is not None), default=None)
    if room is None or kept * size <= room:
        return None
    return room // (2 * size)


def _best(one: list[Hit], other: list[Hit], top_k: int) -> list[Hit]:
    return sorted(one + other, key=lambda hit: (-hit.score, hit.passage.id))[:top_k]


def _itself(searcher: ExactSearcher) -> ExactSearcher:
    return searcher


def _part(
    ordered: Ordered,
    span: tuple[int, int],
    rows: "Rows | _OnDisk",
    device: torch.device,
    fingerprint: Fingerprint,
) -> ExactSearcher:
    """Return some passages, with their rows on a device."""
    at, stop = span
    there = rows.between(int(ordered.starts[at]), int(ordered.starts[stop])).to(device)
    passages, lengths = ordered.passages[at:stop], ordered.lengths[at:stop]
    return ExactSearcher(passages, lengths, there.rows, fingerprint, there.scales)


def _spans(starts: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Yield the first passage of each part and that behind its last, of at most so many rows.

    >>> list(_spans(np.array([0, 1, 3, 6, 10]), 4))
    [(0, 2), (2, 3), (3, 4)]
    """
    at = 0
    while at < len(starts) - 1:
        stop = int(np.searchsorted(starts, starts[at] + most, side="right")) - 1
        yield at, stop
        at = stop


class _OnDisk:
    """Rows in files that have no name, and go when nobody holds them."""

    def __init__(self, folder: Path | None, total: int, dim: int, precision: Precision) -> None:
        at = folder or Path(tempfile.gettempdir())
        at.mkdir(parents=True, exist_ok=True)
        needed, free = total * row_bytes(dim, precision), shutil.disk_usage(at).free
        if needed > free:
            raise CorpusTooLarge(
                f"the corpus takes {needed:,} bytes as {precision}, {free:,} are free in {at}: "
                'name another folder, or take precision="int8"'
            )
        self._row = np.dtype((precision, dim))
        self._rows = tempfile.TemporaryFile(dir=at)  # noqa: SIM115 - as long as the rows are used
        eight = precision == "int8"
        self._scales = tempfile.TemporaryFile(dir=at) if eight else None  # noqa: SIM115

    def put(self, start: int, given: Rows) -> None:
        """Write rows to a place."""
        _write(self._rows, start, given.rows)
        if self._scales is not None and given.scales is not None:
            _write(self._scales, start, given.scales)

    def between(self, start: int, stop: int) -> Rows:
        """Return some rows, which are read as they are looked at."""
        rows = _mapped(self._rows, self._row, start, stop)
        if self._scales is None:
            return Rows(rows, None)
        return Rows(rows, _mapped(self._scales, np.dtype(np.float32), start, stop))


def _write(file: IO[bytes], start: int, numbers: Tensor) -> None:
    file.seek(start * numbers[0].nbytes)
    file.write(numbers.numpy().tobytes())


def _mapped(file: IO[bytes], kind: np.dtype[Any], start: int, stop: int) -> Tensor:
    file.flush()
    offset = start * kind.itemsize
    # Torch takes nothing that is read-only: a changed page would be a copy, and none is changed.
    return torch.from_numpy(np.memmap(file, kind, "c", offset, (stop - start,)))
