"""Groups of similar rows, for a query's digest and for merging a passage's tokens.

Shapes: N rows · K groups · D embedding dim
"""

import numpy as np
from numpy.typing import NDArray

_ITERATIONS = 10

Rows = NDArray[np.float32]


def cluster_sums(rows_ND: Rows, groups: int) -> Rows:
    """Return at most `groups` rows [K, D], each the sum of similar rows (spherical k-means).

    The same rows always give the same sums: it starts from rows that are far apart, not from
    random ones. Rows that are as few as the groups come back as they are.
    """
    if len(rows_ND) <= groups:
        return rows_ND
    centres = _far_apart(rows_ND, groups)
    sums = rows_ND[:0]
    for _ in range(_ITERATIONS):
        nearest = (rows_ND @ centres.T).argmax(axis=1)
        sums = np.eye(groups, dtype=np.float32)[nearest].T @ rows_ND
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(norms > 1e-6, sums / np.maximum(norms, 1e-6), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    kept: Rows = sums[np.linalg.norm(sums, axis=1) > 1e-6]
    return kept


def pool_tokens(p_ND: Rows, factor: int) -> Rows:
    """Return the rows of a passage with similar ones merged: one for every `factor`, unit norm.

    >>> pool_tokens(np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32), 2)
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    Args:
        p_ND: unit rows [N, D].
        factor: how many rows become one, on average; 1 changes nothing.
    """
    if factor < 1:
        raise ValueError(f"factor must be >= 1, got {factor}")
    if factor == 1 or not len(p_ND):
        return p_ND
    sums = cluster_sums(p_ND, -(-len(p_ND) // factor))
    merged: Rows = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return merged


def _far_apart(rows_ND: Rows, count: int) -> Rows:
    """Return rows, each as unlike those before it as can be."""
    chosen = [0]
    closest = rows_ND @ rows_ND[0]
    while len(chosen) < count:
        chosen.append(int(closest.argmin()))
        closest = np.maximum(closest, rows_ND @ rows_ND[chosen[-1]])
    return rows_ND[chosen]
