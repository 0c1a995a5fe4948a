"""The candidate stage: which passages MaxSim is computed for. One file, so that it can be changed.

    1. the means    the passages whose mean row is nearest to the mean of the query rows: ten for
                    each candidate
    2. the digest   of those the candidates, by MaxSim with the query's rows merged to eight
    3. (the index)  of those the best by MaxSim

The rows of a query repeat themselves: neighbouring words, neighbouring patches. A digest of eight
rows orders passages almost as the whole query does, at 8/56 (8/320) of its cost, and needs nothing
stored. Means alone lose more at the same cost, and so do means of text and picture apart, fixed-
dimensional encodings (MUVERA) and centroids (PLAID): docs/index.md has the measurements.

Shapes: Q query tokens · P passage tokens · D embedding dim · K digest rows
"""

from collections.abc import Mapping

from retriever.clusters import cluster_sums
from retriever.engines.interface import MEAN, TOKENS, Stage, Vector

WIDENING = 10
DIGEST_ROWS = 8


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
    ten.
    """
    return cluster_sums(q_QD, rows)
