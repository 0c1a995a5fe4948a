"""The candidate stage: which passages MaxSim is computed for. One file, so that it can be changed.

    1. one vector   the passages whose one vector is nearest to the query's: ten for each
                    candidate. In a large index that vector is learned (`learned.py`), in a small
                    one it is the mean of the passage's rows
    2. the digest   of those the candidates, by MaxSim with the query's rows merged to eight
    3. (the index)  of those the best by MaxSim

The rows of a query repeat themselves: neighbouring words, neighbouring patches. A digest of eight
rows orders passages almost as the whole query does, at 8/56 (8/320) of its cost, and needs nothing
stored. What is lost is lost by the one vector: docs/measured/candidates.md has the figures.

Shapes: Q query tokens · P passage tokens · D embedding dim · K digest rows
"""

from collections.abc import Mapping

from retriever.engines.interface import LEARNED, MEAN, TOKENS, Stage, Vector
from retriever.engines.learned import LearnedStage
from retriever.engines.pooling import cluster_sums

# Of a search that does not say: finds 99.9 of 100 of the exact top ten passages for pictures of
# things, among 14,513, by means: docs/measured/index.md.
CANDIDATES = 400
WIDENING = 10
DIGEST_ROWS = 8

# From so many passages on means lose too much, and an index learns its candidate stage.
LEARNED_FROM = 20_000


def is_large(passages: int) -> bool:
    """Return whether an index of so many passages learns how to choose candidates."""
    return passages >= LEARNED_FROM


def passage_vectors(p_PD: Vector, learned: LearnedStage | None = None) -> Mapping[str, Vector]:
    """Return the vectors that a passage is stored with, by name."""
    vectors = {TOKENS: p_PD, MEAN: p_PD.mean(axis=0)}
    if learned is not None:
        [vectors[LEARNED]] = learned.passage_vectors([p_PD])
    return vectors


def widest_step(candidates: int) -> int:
    """Return how many passages the widest step of a search takes, which a server has to allow."""
    return candidates * WIDENING


def candidate_stages(
    q_QD: Vector,
    candidates: int,
    *,
    learned: LearnedStage | None = None,
    quantized: bool = False,
) -> Stage:
    """Return the steps that leave `candidates` passages for MaxSim.

    Args:
        q_QD: the query's rows, unit norm.
        candidates: how many passages are left.
        learned: the candidate stage of the index; None where means choose.
        quantized: look at the quantized copy of the tokens instead of the tokens.
    """
    widest = widest_step(candidates)
    if learned is None:
        first = Stage(MEAN, q_QD.mean(axis=0), widest)
    else:
        first = Stage(LEARNED, learned.query_vector(q_QD), widest)
    return Stage(TOKENS, digest(q_QD), candidates, quantized=quantized, before=first)


def digest(q_QD: Vector, rows: int = DIGEST_ROWS) -> Vector:
    """Return at most `rows` rows [K, D], each the sum of similar rows of the query.

    Sums, not means: a max is linear in a positive factor, so a row that stands for ten weighs
    ten.
    """
    return cluster_sums(q_QD, rows)
