"""The rows of an index on their way to an exact scan: passages by length, numbers as they are kept.

Shapes: N passages · P passage tokens · T rows of all passages · D embedding dim
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corpus.types import Passage
from retriever.index.passage_index import PassageIndex

Precision = Literal["float32", "float16", "int8"]

_LARGEST = 127  # of eight bits


class Rows(NamedTuple):
    """Rows of passages that lie end to end.

    Attributes:
        rows: [T, D], unit norm; in int8 to be multiplied by their scales.
        scales: [T], of int8; None otherwise.
    """

    rows: Tensor
    scales: Tensor | None

    @classmethod
    def empty(cls, total: int, dim: int, precision: Precision) -> Self:
        """Return room for so many rows."""
        rows = torch.empty(total, dim, dtype=getattr(torch, precision))
        return cls(rows, torch.empty(total) if precision == "int8" else None)

    def put(self, start: int, given: "Rows") -> None:
        """Copy rows to a place."""
        self.rows[start : start + len(given.rows)] = given.rows
        if self.scales is not None and given.scales is not None:
            self.scales[start : start + len(given.rows)] = given.scales

    def between(self, start: int, stop: int) -> "Rows":
        """Return the view of some rows."""
        return Rows(self.rows[start:stop], None if self.scales is None else self.scales[start:stop])

    def to(self, device: torch.device) -> "Rows":
        """Return them on a device."""
        return Rows(self.rows.to(device), None if self.scales is None else self.scales.to(device))


class Ordered(NamedTuple):
    """The passages of an index, shortest first, those of one length by id.

    Attributes:
        passages: N of them.
        lengths: how many rows each has.
        starts: [N + 1], the first row of each, and how many there are.
    """

    passages: list[Passage]
    lengths: list[int]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, index: PassageIndex) -> Self:
        """Return the passages of an index that is open for searching."""
        counted = sorted(index.row_counts(), key=lambda each: (each[1], each[0].id))
        lengths = [rows for _, rows in counted]
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return cls([passage for passage, _ in counted], lengths, starts)

    def rows(self, index: PassageIndex, precision: Precision) -> Iterator[tuple[int, Rows]]:
        """Yield the rows of each passage with their place, as the index has them, in its order."""
        place = {p.id: int(start) for p, start in zip(self.passages, self.starts[:-1], strict=True)}
        for passage, p_PD in index.scroll():
            yield place[passage.id], _as(torch.from_numpy(p_PD), precision)


def row_bytes(dim: int, precision: Precision) -> int:
    """Return what a row takes."""
    scale = torch.float32.itemsize if precision == "int8" else 0
    return dim * int(getattr(torch, precision).itemsize) + scale


def _as(p_PD: Tensor, precision: Precision) -> Rows:
    if precision != "int8":
        return Rows(p_PD.to(getattr(torch, precision)), None)
    scales_P = p_PD.abs().amax(1) / _LARGEST
    return Rows((p_PD / scales_P[:, None]).round().to(torch.int8), scales_P)
