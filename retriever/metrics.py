"""Retrieval metrics under their official names, each for one query: 1.0 or 0.0.

They give what the released evaluator gives (tests/golden/retrieval_metrics.json).
"""

import math
from collections.abc import Collection, Sequence


def recall_at_k(ranked_ids: Sequence[str], gold_ids: Collection[str], k: int) -> float:
    """Return 1.0 if one of the first `k` passages is a gold passage, else 0.0.

    >>> recall_at_k(["p7", "p2", "p1"], {"p1", "p2"}, k=2)
    1.0

    Raises:
        ValueError: if k < 1.
    """
    return float(any(passage_id in gold_ids for passage_id in _first(ranked_ids, k)))


def pseudo_recall_at_k(ranked_texts: Sequence[str], answers: Sequence[str], k: int) -> float:
    """Return 1.0 if one of the first `k` passages contains an answer, else 0.0.

    An answer is stripped, and matches as a sub-string in any case, so "France" matches in
    "FRANCES". As in the released evaluator an empty answer matches every passage, and without
    answers nothing matches: leave such rows out beforehand.

    >>> pseudo_recall_at_k(["Cats", "The capital of FRANCE"], [" France "], k=2)
    1.0

    Raises:
        ValueError: if k < 1.
    """
    needles = [answer.strip().lower() for answer in answers]
    return float(
        any(needle in text.lower() for text in _first(ranked_texts, k) for needle in needles)
    )


def mean_and_stderr(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error (sample deviation / sqrt(n)); 0.0 for one value.

    >>> mean_and_stderr([1.0, 0.0, 1.0, 0.0])
    (0.5, 0.28867513459481287)

    Raises:
        ValueError: if there are no values: nothing was scored, which is not a score of 0.
    """
    if not values:
        raise ValueError("no values: nothing was scored")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def _first(ranked: Sequence[str], k: int) -> Sequence[str]:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return ranked[:k]
