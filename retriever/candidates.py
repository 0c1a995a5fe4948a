"""The candidate stage: which passages MaxSim is computed for. One file, so that it can be changed.

    1. the means    the 10 x C passages whose mean row is nearest to the mean of the query rows
    2. the digest   of those the C best by MaxSim with the query's rows merged to eight
    3. (the index)  of those the best by MaxSim

The rows of a query repeat themselves: neighbouring words, neighbouring patches. A digest of eight
rows orders passages almost as the whole query does, at 8/56 (8/320) of its cost, and needs nothing
stored. Means alone lose more at the same cost, and so do means of text and picture apart, fixed-
dimensional encodings (MUVERA) and centroids (PLAID): docs/index.md has the measurements.

Shapes: Q query tokens · P passage tokens · D embedding dim · K digest rows
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from retriever.engines.interface import MEAN, TOKENS, Stage, Vector

WIDENING = 10
DIGEST_ROWS = 8
_ITERATIONS = 10


def passage_vectors(p_PD: Vector) -> Mapping[str, Vector]:
    """Return the vectors that a passage is stored with, by name."""
    return {TOKENS: p_PD, MEAN: p_PD.mean(axis=0)}


def candidate_stages(q_QD: Vector, candidates: int, *, quantized: bool = False) -> Stage:
    """Return the steps that leave `candidates` passages for MaxSim.

    Args:
        q_QD: the query's rows, unit norm.
        candidates: how many passages are left.
        quantized: look at the quantized copy of the tokens instead of the tokens.
    """
    means = Stage(MEAN, q_QD.mean(axis=0), candidates * WIDENING)
    return Stage(TOKENS, digest(q_QD), candidates, quantized=quantized, before=means)


def digest(q_QD: Vector, rows: int = DIGEST_ROWS) -> Vector:
    """Return at most `rows` rows [K, D], each the sum of similar rows of the query.

    Sums, not means: a max is linear in a positive factor, so a row that stands for ten weighs
    ten. The same query always gives the same digest.
    """
    if len(q_QD) <= rows:
        return q_QD
    centres = _far_apart(q_QD, rows)
    sums = q_QD[:0]
    for _ in range(_ITERATIONS):
        nearest = (q_QD @ centres.T).argmax(axis=1)
        members = np.eye(rows, dtype=np.float32)[nearest]
        sums = members.T @ q_QD
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(norms > 0, sums / np.maximum(norms, 1e-9), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    kept: Vector = sums[np.linalg.norm(sums, axis=1) > 0]
    return kept


def _far_apart(q_QD: Vector, rows: int) -> NDArray[np.float32]:
    """Return rows of the query, each as unlike those before it as can be."""
    chosen = [0]
    closest = q_QD @ q_QD[0]
    while len(chosen) < rows:
        chosen.append(int(closest.argmin()))
        closest = np.maximum(closest, q_QD @ q_QD[chosen[-1]])
    return q_QD[chosen]
