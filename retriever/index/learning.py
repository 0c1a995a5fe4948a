"""Fitting the learned candidate stage of an index, and measuring how far it can be trusted.

    sample     of the rows of queries, unlike each other; a few queries are held out
    centres    of the sample, and of the rows of some passages: what a row is likened to
    directions in which some passages differ: the features
    balance    of passages and queries in these, so that a few bits of each number do
    weights    of each passage, written beside its rows
    the curve  of the held-out queries: which share of the ten best is among the first C
    searches   for the held-out queries: how many candidates find what is asked for

The index is read once: rows of the held-out queries go along with the sample, so that their exact
scores come of themselves.

Shapes: R sampled query rows · N passages · T rows of passages · Q query tokens · D embedding dim ·
F centres · K features · H queries held out
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpus.progress import Say
from retriever.engines.candidates import CANDIDATES, candidate_stages
from retriever.engines.interface import TOKENS, Engine, Point, Search, Vector
from retriever.engines.learned import CENTRES, DIRECTIONS, LearnedStage, maxima, text_sha256
from retriever.engines.record import LEARNED_WIDENING, Learned
from retriever.index.points import all_points
from retriever.index.rows import unit_rows

THRESHOLD = 0.2
SAMPLE_ROWS = 8_192
HELD_OUT, FEWEST_HELD_OUT = 64, 24  # queries, and at most a sixth of all
LEAST = 12  # queries: two of them are held out
TOP_K = 10
CURVE = (
    *(50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000),
    *(12_000, 16_000, 24_000, 32_000),
)

_SOME, _ROWS_A_PASSAGE = 2_000, 12  # the first passages by id, which is a hash
_ROUNDS = 4
_CHOSEN_FROM = 8 * SAMPLE_ROWS  # query rows that the sample is chosen from
_COMPARED = 1_024  # rows: their similarities to 8,192 centres take 32 MB
# Numbers of candidates that are tried; of fewer a digest of three rows loses too many.
_TRIED = (200, 300, 400, 600, 800, 1_200, 1_600)
# Held-out questions are easier than those that will be asked: so many times as many passages are
# handed on as they need, and at least so many, by how many there are (docs/measured/candidates.md).
_SPARE = 3
_LEAST_HANDED_ON = ((0, 1_000), (100_001, 8_000))
_MOST_SCORES = 64 * 10**6  # of held-out queries, in memory
_AT_ONCE = 256  # passages


@dataclass(frozen=True, slots=True)
class Learning:
    """What an index learns its candidate stage from.

    Attributes:
        queries: rows [Q, D] of queries such as will be asked, a hundred or more.
        recall: the share of the ten best that a search is to find.
        made: whether the queries were made of the corpus's own text.
    """

    queries: Sequence[ArrayLike]
    recall: float = 0.99
    made: bool = False

    def __post_init__(self) -> None:
        if len(self.queries) < LEAST:
            raise ValueError(
                f"{len(self.queries)} queries are too few to learn from: give {LEAST} or more"
            )
        require_recall(self.recall)


def require_recall(recall: float) -> None:
    """Raise ValueError unless a share can be asked for."""
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be over 0 and at most 1, got {recall}")


def learn(engine: Engine, learning: Learning, dim: int, say: Say) -> Learned:
    """Fit the candidate stage of an open index, write every passage's vector, and measure.

    Stopped, the index is as it was but for vectors that nothing reads: the same call begins anew.

    Args:
        engine: open for writing, with room for the vectors.
        learning: what is learned from.
        dim: of the embeddings.
        say: told how far it is.

    Raises:
        ValueError: a query is not a matrix of finite unit-norm rows.
    """
    queries = [unit_rows(q_QD, dim, "a query to learn from") for q_QD in learning.queries]
    total = engine.count()
    held, others = _held_out(queries, total)
    sample_RD = _sampled(others)
    say("Fitting the candidate stage")
    some = [point.vectors[TOKENS] for point in islice(all_points(engine, (), vectors=True), _SOME)]
    half = CENTRES // 2
    typical = centres_of(sample_RD, half), centres_of(_rows_of(some), CENTRES - half)
    centres_FD = np.concatenate(typical)
    text = LearnedStage(centres_FD, sample_RD, THRESHOLD).directed(some, DIRECTIONS).to_text()
    # As it will be read, with numbers of one byte.
    stage = LearnedStage.from_text(text, dim, CENTRES, THRESHOLD, DIRECTIONS)
    stage = stage.balanced(some, others)
    text = stage.to_text()
    measured = _Measured(stage, held)
    for points in _pages(all_points(engine, (), vectors=True)):
        say(f"Fitting the candidate stage to {total:,} passages: {measured.count:,} done")
        vectors_NK = measured.solved(
            [point.id for point in points], [point.vectors[TOKENS] for point in points]
        )
        engine.set_vectors(
            [Point(p.id, {stage.using: v}, {}) for p, v in zip(points, vectors_NK, strict=True)]
        )
    curve = measured.curve()
    # A quarter of what may be lost is the one vector's, another is the digests', the rest chance's.
    shares = [c for c, share in curve if share >= 1 - (1 - learning.recall) / 4]
    enough, *_ = shares or [c for c, _ in curve[-1:]] or [total]
    least = max(count for size, count in _LEAST_HANDED_ON if total >= size)
    if learning.made:  # real questions find less than these
        candidates, handed_on = CANDIDATES, max(_SPARE * enough, CANDIDATES * LEARNED_WIDENING)
    else:
        say("Trying how many candidates are enough")
        handed_on = max(_SPARE * enough, least)
        candidates = measured.enough(engine, handed_on, 1 - (1 - learning.recall) / 2)
    return Learned(
        numbers=text,
        centres=CENTRES,
        threshold=THRESHOLD,
        sha256=text_sha256(text),
        passages=total,
        queries=len(held),
        made=learning.made,
        recall=curve,
        wanted=learning.recall,
        candidates=candidates,
        directions=DIRECTIONS,
        balanced=True,
        widening=-(-handed_on // candidates),
    )


def centres_of(rows_TD: Vector, count: int) -> Vector:
    """Return unit rows [F, D] that are typical of rows: a few rounds of spherical k-means.

    Rows that are as few as the centres are the centres; what is missing is zeros, like nothing.
    """
    centres_FD = np.random.default_rng(0).permutation(rows_TD)[:count]
    for _ in range(_ROUNDS):
        nearest_T, _ = _nearest(rows_TD, centres_FD)
        sums_FD = np.zeros_like(centres_FD)
        np.add.at(sums_FD, nearest_T, rows_TD)
        norms_F1 = np.linalg.norm(sums_FD, axis=1, keepdims=True)
        # A centre that no row is nearest to stays where it is.
        moved_FD = sums_FD / np.maximum(norms_F1, 1e-6)
        centres_FD = np.where(norms_F1 > 1e-6, moved_FD, centres_FD)
    return np.pad(centres_FD, ((0, count - len(centres_FD)), (0, 0)))


def _nearest(rows_TD: Vector, centres_FD: Vector) -> tuple[NDArray[np.intp], Vector]:
    """Return which centre each row is nearest to, and how near it is."""
    nearest, similarities = [], []
    for start in range(0, len(rows_TD), _COMPARED):
        similarity_TF = rows_TD[start : start + _COMPARED] @ centres_FD.T
        nearest.append(similarity_TF.argmax(axis=1))
        similarities.append(similarity_TF.max(axis=1))
    return np.concatenate(nearest), np.concatenate(similarities)


class _Measured:
    """Solves passages, and compares what held-out queries find with what is best by MaxSim."""

    def __init__(self, stage: LearnedStage, held: Sequence[Vector]) -> None:
        self._stage, self._held = stage, held
        self._rows = np.concatenate([stage.sample_RD, *held])
        self._ends = len(stage.sample_RD) + np.cumsum([0, *map(len, held)])
        self._queries_HK = np.stack([stage.query_vector(q_QD) for q_QD in held])
        none_H = (0, len(held))
        # Of the best by MaxSim so far: what they are, and both scores.
        self._best_ids, self._best = np.empty(none_H, object), np.empty((2, *none_H), np.float32)
        self._estimated: list[Vector] = []
        self.count = 0

    def solved(self, ids: Sequence[str], passages: Sequence[Vector]) -> Vector:
        """Return the vectors of passages, and remember what held-out queries have of them."""
        best_NR = maxima(self._rows, passages)
        vectors_NK = self._stage.solved(best_NR[:, : self._ends[0]])
        held_NR = best_NR[:, self._ends[0] :]
        starts = self._ends[:-1] - self._ends[0]
        exact_NH = np.add.reduceat(held_NR, starts, axis=1)
        estimated_NH = vectors_NK @ self._queries_HK.T
        self._estimated.append(estimated_NH)
        self._remember(ids, np.stack([exact_NH, estimated_NH]))
        self.count += len(passages)
        return vectors_NK

    def _remember(self, ids: Sequence[str], scores_2NH: Vector) -> None:
        both = np.concatenate([self._best, scores_2NH], axis=1)
        names_NH = np.repeat(np.array(ids, object)[:, None], len(self._held), axis=1)
        every = np.concatenate([self._best_ids, names_NH])
        first = np.argsort(-both[0], axis=0, kind="stable")[:TOP_K]
        self._best_ids = np.take_along_axis(every, first, 0)
        self._best = np.take_along_axis(both, first[None], 1)

    def curve(self) -> tuple[tuple[int, float], ...]:
        """Return for some numbers C which share of the ten best is among the first C."""
        estimated_NH = np.concatenate(self._estimated)
        pairs = zip(estimated_NH.T, self._best[1].T, strict=True)
        ranks = np.array([(estimated_N > e).sum() for estimated_N, best in pairs for e in best])
        return tuple((c, float((ranks < c).mean())) for c in CURVE if c < len(estimated_NH))

    def enough(self, engine: Engine, handed_on: int, wanted: float) -> int:
        """Return how many candidates find a share of the ten best: else those that find most.

        Args:
            engine: that has the vectors.
            handed_on: passages that the one vector hands on.
            wanted: the share.
        """
        shares: dict[int, float] = {}
        for candidates in _TRIED:
            stage = replace(self._stage, widening=-(-handed_on // candidates))
            shares[candidates] = self._found(engine, stage, candidates)
            if shares[candidates] >= wanted:
                return candidates
        return max(shares, key=lambda candidates: shares[candidates])

    def _found(self, engine: Engine, stage: LearnedStage, candidates: int) -> float:
        found = 0
        for q_QD, best in zip(self._held, self._best_ids.T, strict=True):
            before = candidate_stages(q_QD, candidates, TOP_K, learned=stage)
            [points] = engine.query([Search(q_QD, TOP_K, before)])
            found += len({point.id for point in points} & set(best))
        return found / self._best_ids.size


def _held_out(queries: Sequence[Vector], passages: int) -> tuple[list[Vector], list[Vector]]:
    """Return the queries that are held out, fewer of an index of very many passages, and others."""
    most = min(HELD_OUT, max(FEWEST_HELD_OUT, _MOST_SCORES // max(1, passages)))
    every = max(6, -(-len(queries) // most))
    return list(queries[::every]), [q for i, q in enumerate(queries) if i % every]


def _sampled(queries: Sequence[Vector]) -> Vector:
    """Return rows [R, D] of queries that are unlike each other: of many, one beside each centre.

    Questions repeat their words and pictures their patches: rows by chance are half of them alike.
    """
    rows = np.concatenate(queries)
    rows_TD = rows[np.random.default_rng(0).permutation(len(rows))[:_CHOSEN_FROM]]
    if len(rows_TD) <= SAMPLE_ROWS:
        return rows_TD
    nearest_T, similarity_T = _nearest(rows_TD, centres_of(rows_TD, SAMPLE_ROWS))
    likest_first = np.argsort(-similarity_T, kind="stable")
    _, first = np.unique(nearest_T[likest_first], return_index=True)
    chosen: Vector = rows_TD[likest_first[first]]
    return chosen


def _rows_of(passages: Sequence[Vector]) -> Vector:
    """Return some rows [T, D] of each passage."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.permutation(p_PD)[:_ROWS_A_PASSAGE] for p_PD in passages])


def _pages(points: Iterable[Point]) -> Iterator[list[Point]]:
    page: list[Point] = []
    for point in points:
        page.append(point)
        if len(page) == _AT_ONCE:
            yield page
            page = []
    if page:
        yield page
