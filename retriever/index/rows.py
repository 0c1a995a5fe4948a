"""Embedding matrices on their way into the index, or out to search it.

Shapes: P tokens · D embedding dim
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Qdrant's cap on the numbers in one multivector, which the embedded engine does not check. It
# bounds a write as well, to about 100 passages: that many Python floats take 32 MB.
MAX_ELEMENTS = 1_048_576

_NORM_TOLERANCE = 1e-2


def unit_rows(rows: ArrayLike, dim: int, what: str) -> NDArray[np.float32]:
    """Return `rows` [P, D] as float32, if it is a matrix of unit-norm rows.

    A zero row is refused too: it would score 0 where every other token scores less, and so lift
    an unrelated passage to the top.

    Raises:
        ValueError: if it is not; the message begins with `what`.
    """
    p_PD = np.asarray(rows, dtype=np.float32)
    if p_PD.ndim != 2 or p_PD.shape[1] != dim or not len(p_PD):
        raise ValueError(f"{what}: expected rows [>=1, {dim}], got shape {p_PD.shape}")
    if p_PD.size >= MAX_ELEMENTS:
        raise ValueError(
            f"{what}: it has {p_PD.size:,} numbers, and an index takes fewer than {MAX_ELEMENTS:,}"
        )
    norms = np.linalg.norm(p_PD, axis=1)
    wrong = ~(np.abs(norms - 1.0) <= _NORM_TOLERANCE)  # so that NaN is wrong as well
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{what}: row {row} has norm {norms[row]:.4g}, expected 1")
    return p_PD


def batches(matrices: Sequence[NDArray[np.float32]]) -> Iterator[list[int]]:
    """Yield consecutive positions whose matrices hold at most MAX_ELEMENTS numbers together."""
    batch: list[int] = []
    elements = 0
    for position, matrix in enumerate(matrices):
        if batch and elements + matrix.size > MAX_ELEMENTS:
            yield batch
            batch, elements = [], 0
        batch.append(position)
        elements += matrix.size
    if batch:
        yield batch
