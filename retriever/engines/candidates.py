"""The candidate stage: which passages MaxSim is computed for. One file, so that it can be changed.

    1. one vector       the passages whose one vector is nearest to the query's: ten for each
                        candidate, in a large index as many as it has measured. There that vector
                        is learned (`learned.py`), in a small one it is the mean of the passage's
                        rows
    2. a short digest   of those the candidates, by MaxSim with the query's rows merged to three,
                        or up to eight of a long query
    3. a longer one     of those fifty, for a long query a hundred, by the rows merged to a quarter
    4. (the index)      of those the best by MaxSim

The rows of a query repeat themselves: neighbouring words, neighbouring patches. A digest, the sums
of similar rows, orders passages almost as the whole query does, at a part of its cost, and needs
nothing stored. Sums, not means: a max is linear in a positive factor, so a row that stands for ten
weighs ten. What is lost is lost by the one vector: docs/measured/candidates.md has the figures.

Shapes: Q query tokens · P passage tokens · D embedding dim
"""

from collections.abc import Mapping

from retriever.engines.interface import MEAN, TOKENS, Stage, Vector
from retriever.engines.learned import LearnedStage
from retriever.engines.pooling import cluster_sums

# Of a search that does not say: finds 99.9 of 100 of the exact top ten passages for pictures of
# things, among 14,513, by means: docs/measured/index.md.
CANDIDATES = 400
# Passages that the one vector hands on for each candidate: a digest loses less than it does.
WIDENING = 10
# Rows of the digests: three to eight, a sixteenth of the query's, and a quarter of them.
DIGEST_ROWS = 8
_SHORT_ROWS, _SHORT_SHARE = 3, 16
_LONG_ROWS, _LONG_SHARE = 12, 4
# Passages that MaxSim of the whole query is computed for: so many, of a query of many rows more, or
# two for each that is wanted. A digest of many rows orders passages less surely.
_RANKED, _RANKED_LONG, _RANKED_EACH = 50, 100, 2
_LONG_QUERY = 64  # rows that a query has at most that is not long

# From so many passages on means lose too much, and an index learns its candidate stage.
LEARNED_FROM = 20_000


def is_large(passages: int) -> bool:
    """Return whether an index of so many passages learns how to choose candidates."""
    return passages >= LEARNED_FROM


def passage_vectors(p_PD: Vector, learned: LearnedStage | None = None) -> Mapping[str, Vector]:
    """Return the vectors that a passage is stored with, by name."""
    vectors = {TOKENS: p_PD, MEAN: p_PD.mean(axis=0)}
    if learned is not None:
        [vectors[learned.using]] = learned.passage_vectors([p_PD])
    return vectors


def widest_step(candidates: int, learned: LearnedStage | None = None) -> int:
    """Return how many passages the widest step of a search takes, which a server has to allow."""
    return candidates * (WIDENING if learned is None else learned.widening)


def candidate_stages(
    q_QD: Vector,
    candidates: int,
    top_k: int,
    *,
    learned: LearnedStage | None = None,
    quantized: bool = False,
) -> Stage:
    """Return the steps that leave some passages for MaxSim.

    Those are the best fifty or hundred of the candidates, or more where more are wanted; of few
    candidates all, by one digest of eight rows.

    Args:
        q_QD: the query's rows, unit norm.
        candidates: how many passages the first digest leaves, at least `top_k`.
        top_k: how many are wanted.
        learned: the candidate stage of the index; None where means choose.
        quantized: whether the first digest looks at the quantized copy of the tokens.
    """
    widest = widest_step(candidates, learned)
    if learned is None:
        first = Stage(MEAN, q_QD.mean(axis=0), widest)
    else:
        first = Stage(learned.using, learned.query_vector(q_QD), widest)
    ranked = max(_RANKED if len(q_QD) <= _LONG_QUERY else _RANKED_LONG, _RANKED_EACH * top_k)
    if candidates < 2 * ranked:
        digest = cluster_sums(q_QD, DIGEST_ROWS)
        return Stage(TOKENS, digest, candidates, quantized=quantized, before=first)
    short = cluster_sums(q_QD, min(max(len(q_QD) // _SHORT_SHARE, _SHORT_ROWS), DIGEST_ROWS))
    second = Stage(TOKENS, short, candidates, quantized=quantized, before=first)
    long = cluster_sums(q_QD, max(len(q_QD) // _LONG_SHARE, _LONG_ROWS))
    return Stage(TOKENS, long, ranked, before=second)
