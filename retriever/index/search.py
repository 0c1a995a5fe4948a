"""Searching an engine: what is asked of it, and asked again where scores are equal.

Shapes: Q query tokens · D embedding dim
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from corpus.types import Hit, Query
from retriever.engines.candidates import candidate_stages
from retriever.engines.interface import Conditions, Engine, Search, Vector
from retriever.engines.learned import LearnedStage
from retriever.index.foreign import Foreign
from retriever.index.rows import unit_rows

SearchMode = Literal["two-stage", "exact"]

_MOST = 10**9  # an engine counts in 64 bits, twice what is asked for and one more
_BATCH_ROWS = 4_096  # query rows sent at once
_LIMIT_SHARE = 0.25  # of a server's limit that a batch may take: others search too


def search_engine(
    engine: Engine,
    queries: Sequence[ArrayLike],
    top_k: int,
    *,
    dim: int,
    conditions: Conditions | None,
    mode: SearchMode,
    candidates: int,
    learned: LearnedStage | None,
    quantized: bool,
    foreign: Foreign,
) -> list[list[Hit]]:
    """Return for each query its `top_k` best passages, equal scores in the order of ids.

    Args:
        engine: what is searched.
        queries: rows [Q, D] each; all-zero rows are dropped.
        top_k: how many are wanted.
        dim: of the embeddings.
        conditions: what a point must fulfil; None for nothing.
        mode: "two-stage" or "exact".
        candidates: how many passages the first digest leaves in the first, at least `top_k`.
        learned: the candidate stage of the index; None where means choose.
        quantized: whether there is a smaller copy of the tokens to look at first.
        foreign: told of what is found and no passage; in its place comes the next best passage.

    Raises:
        ValueError: if a query is not a matrix of finite unit-norm rows, a number is not positive,
            or there is no such mode.
        TypeError: a number is no whole one, or a query not encoded yet.
    """
    require_mode(mode)
    for name, number in (("top_k", top_k), ("candidates", candidates)):
        if not isinstance(number, Integral):
            raise TypeError(f"{name}: a whole number is expected, not {number!r:.80}")
    if top_k < 1 or candidates < 1:
        raise ValueError(f"top_k and candidates must be >= 1, got {top_k} and {candidates}")
    if max(top_k, candidates) > _MOST:
        raise ValueError(f"top_k and candidates must be <= {_MOST:,}, got {top_k} and {candidates}")
    rows = [query_rows(q_QD, dim) for q_QD in queries]
    searches = [Search(q_QD, top_k + 1, None, conditions) for q_QD in rows]
    if mode == "two-stage":
        wide = max(candidates, top_k)
        searches = [
            replace(
                s,
                before=candidate_stages(s.q_QD, wide, top_k, learned=learned, quantized=quantized),
            )
            for s in searches
        ]
    pace = _Pace(engine.time_limit if mode == "exact" else None)
    return [_ranked(hits)[:top_k] for hits in _ask(engine, searches, top_k, pace, foreign)]


def require_mode(mode: SearchMode) -> None:
    """Raise ValueError unless there is such a mode."""
    if mode not in get_args(SearchMode):
        raise ValueError(f"mode must be 'two-stage' or 'exact', got {mode!r}")


def query_rows(q_QD: ArrayLike, dim: int) -> Vector:
    """Return a query's rows without those that are all zero.

    Raises:
        ValueError: they are no matrix of unit rows of that dim.
        TypeError: it is a query or a text that is not encoded yet.
    """
    if isinstance(q_QD, Query | str):
        raise TypeError(
            f"a search takes rows, such as encoder.encode_query(...) returns, not {q_QD!r:.80}"
        )
    q = np.asarray(q_QD, dtype=np.float32)
    if q.ndim == 2:
        q = q[(q != 0).any(axis=1)]
    return unit_rows(q, dim, "the query")


def _ranked(hits: Sequence[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))


class _Pace:
    """How many query rows are sent at once.

    An exact search of a large corpus takes long, and a server ends what takes longer than its
    limit: one query alone shows how long, and then as many go together as take a part of it.

    Args:
        limit: seconds that a request may take; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._rows = _BATCH_ROWS if limit is None else 1  # the first goes alone

    def batch(self, positions: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Return the first positions whose sizes fit together, at least one."""
        batch, rows = [positions[0]], sizes[positions[0]]
        for position in positions[1:]:
            rows += sizes[position]
            if rows > self._rows:
                break
            batch.append(position)
        return batch

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a batch."""
        if self._limit is not None:
            possible = rows * _LIMIT_SHARE * self._limit / max(seconds, 1e-3)
            self._rows = min(_BATCH_ROWS, int(possible))


def _ask(
    engine: Engine, searches: list[Search], top_k: int, pace: _Pace, foreign: Foreign
) -> list[Sequence[Hit]]:
    """Return for each search at least its `top_k` best passages, and all that equal the last."""
    answers: list[Sequence[Hit]] = [()] * len(searches)
    sizes = [len(s.q_QD) for s in searches]
    waiting = list(range(len(searches)))
    while waiting:
        batch = pace.batch(waiting, sizes)
        started = time.monotonic()
        found = engine.query([searches[i] for i in batch])
        pace.took(sum(sizes[i] for i in batch), time.monotonic() - started)
        waiting = waiting[len(batch) :]
        for i, points in zip(batch, found, strict=True):
            hits = [Hit(passage, point.score) for point, passage in foreign.passages(points)]
            answers[i] = hits
            full = len(points) == searches[i].limit
            # Equal scores at the cut come in any order, and what is no passage takes the place of
            # one: ask for more of them.
            if full and (len(hits) < top_k or points[-1].score == hits[top_k - 1].score):
                searches[i] = replace(searches[i], limit=2 * searches[i].limit)
                waiting.append(i)
    return answers
