"""A learned candidate stage: one vector a passage, whose dot product stands for MaxSim.

MaxSim adds up, over the rows of a query, a function that belongs to the passage:

    MaxSim(q, p) = sum over rows x of q of f_p(x)      f_p(x) = max over rows t of p of x . t

With features phi(x) that are the same for all passages, f_p(x) is about phi(x) . w_p, so that

    MaxSim(q, p) ~ (sum over rows x of q of phi(x)) . w_p

is a dot product of two vectors. w_p are the weights of regularised least squares on a sample of
query rows: a passage that comes later needs its own weights alone. Rows that repeat each other
cost nothing, and a query of 320 rows is one vector like any other.

This is LEMUR's idea (arXiv 2601.21853), without training. What a maximum over rows is made of is
how far the row is like each of many centres of queries' and passages' rows, beside the row itself.
phi(x) is that in a few directions: those in which the passages of the index differ most, as queries
see them.
Features that were trained for some seconds did worse: docs/measured/candidates.md.

The engine keeps a number of a passage's vector in four bits (turbo4, which turns the vector first,
so that all numbers are of one size). So the vector is without what all passages have in common, and
each direction is multiplied by what makes passages and queries of one size in it, as what is lost
of one is multiplied by the other. The order of passages stays.

Shapes: R sampled query rows · N passages · Q query tokens · P passage tokens · T rows of several
passages · D embedding dim · F centres · X = F + D + 1 likenesses · K directions, the features
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retriever.engines.interface import LEARNED, LEARNED_HALF, LEARNED_WHOLE, Room, Vector
from retriever.engines.record import LEARNED_WIDENING, Learned
from retriever.errors import IndexUnavailable

CENTRES, DIRECTIONS = 2_048, 512

# Of the mean of the features' squares: what the weights of least squares are held down with.
_RIDGE = 1e-3
_ROWS_AT_ONCE = 1_024  # of passages: their similarities to 8,192 sampled rows take 32 MB
_BYTE = np.float32(127)  # what a number of 1 is as a byte


def rooms(dim: int, learned: Learned | None) -> dict[str, Room]:
    """Return what learned vectors a large index has room for, by name.

    Args:
        dim: of the embeddings.
        learned: what it is searched by until it learns anew.
    """
    wanted = {LEARNED: Room(DIRECTIONS, "turbo4")}
    if learned is not None and not learned.directions:
        wanted[LEARNED_WHOLE] = Room(learned.centres + dim + 1, "float16")
    elif learned is not None and not learned.balanced:
        wanted[LEARNED_HALF] = Room(DIRECTIONS, "float16")
    return wanted


@dataclass(frozen=True, eq=False)
class LearnedStage:
    """Features of query rows, and the sample of rows that passages are fitted on.

    Attributes:
        centres_FD: unit rows typical of queries and of passages; zeros where there are few.
        sample_RD: query rows, unit norm.
        threshold: the cosine from which on a row is like a centre.
        directions_XK: of the likenesses; None for these themselves, as it was once.
        balance_2K: the mean of passages' weights, and what queries' features are multiplied by and
            weights divided by; None for vectors that are the weights, as they were once.
        widening: how many passages are handed on for each candidate.
    """

    centres_FD: Vector
    sample_RD: Vector
    threshold: float
    directions_XK: Vector | None = None
    balance_2K: Vector | None = None
    widening: int = LEARNED_WIDENING

    @property
    def using(self) -> str:
        """The name of the vectors that it makes."""
        if self.balance_2K is not None:
            return LEARNED
        return LEARNED_WHOLE if self.directions_XK is None else LEARNED_HALF

    def query_vector(self, q_QD: Vector) -> Vector:
        """Return the vector [K] of a query: the sum of its rows' features."""
        vector: Vector = self._directed(self._likenesses(q_QD).sum(axis=0))
        return vector if self.balance_2K is None else vector * self.balance_2K[1]

    def passage_vectors(self, passages: Sequence[Vector]) -> list[Vector]:
        """Return for each passage, given its rows [P, D], its vector [K]."""
        if not passages:
            return []
        return list(self.solved(maxima(self.sample_RD, passages)))

    def solved(self, best_NR: Vector) -> Vector:
        """Return the vectors [N, K] of passages whose maxima with the sample are known."""
        weights: Vector = best_NR @ self._solver_RK
        if self.balance_2K is None:
            return weights
        mean_K, scale_K = self.balance_2K
        vectors: Vector = (weights - mean_K) / scale_K
        return vectors

    def directed(self, passages: Sequence[Vector], count: int) -> Self:
        """Return a stage without directions with those in which some passages differ most.

        By differences of scores: in coordinates in which the likenesses of query rows are of one
        size and independent, they are the principal components of the passages' weights.

        Args:
            passages: rows [P, D] each; more than `count` of them say something of all.
            count: how many directions.
        """
        weights_NX = self.solved(maxima(self.sample_RD, passages)).astype(np.float64)
        seen_XX = np.linalg.cholesky(_gram(self._likenesses(self.sample_RD)))
        differ_NX = (weights_NX - weights_NX.mean(axis=0)) @ seen_XX
        _, components_XX = np.linalg.eigh(differ_NX.T @ differ_NX)  # the largest come last
        chosen_XK = np.linalg.solve(seen_XX.T, components_XX[:, ::-1][:, :count])
        largest_K = np.abs(chosen_XK).max(axis=0)
        return replace(self, directions_XK=(chosen_XK / largest_K).astype(np.float32))

    def balanced(self, passages: Sequence[Vector], queries: Sequence[Vector]) -> Self:
        """Return a stage whose numbers are, of passages and of queries, of one size.

        Args:
            passages: rows [P, D] each, some of all.
            queries: rows [Q, D] each.
        """
        weights_NK = self.solved(maxima(self.sample_RD, passages))
        features_HK = np.stack([self.query_vector(q_QD) for q_QD in queries])
        sizes = weights_NK.std(axis=0), np.sqrt(np.square(features_HK).mean(axis=0))
        differ_K, asked_K = (np.maximum(size, 1e-6 * size.max() + 1e-12) for size in sizes)
        balance_2K = np.stack([weights_NK.mean(axis=0), np.sqrt(differ_K / asked_K)])
        return replace(self, balance_2K=balance_2K.astype(np.float32))

    @cached_property
    def _solver_RK(self) -> Vector:
        """What takes maxima to weights: phi (phi^T phi + ridge)^-1, one passage a row."""
        features_RK = self._directed(self._likenesses(self.sample_RD))
        solver_KR = np.linalg.solve(_gram(features_RK), features_RK.T.astype(np.float64))
        return solver_KR.T.astype(np.float32)

    def _likenesses(self, x_ND: Vector) -> Vector:
        like_NF = np.maximum(x_ND @ self.centres_FD.T - self.threshold, 0)
        ones_N1 = np.ones((len(x_ND), 1), np.float32)
        return np.concatenate([like_NF, x_ND, ones_N1], axis=1)

    def _directed(self, likenesses: Vector) -> Vector:
        return likenesses if self.directions_XK is None else likenesses @ self.directions_XK

    def to_text(self) -> str:
        """Return it as text, at a byte a number: any rows near these would do as well.

        The balance is kept as it is, in four bytes a number.
        """
        parts = [self.centres_FD, self.sample_RD]
        if self.directions_XK is not None:
            parts.append(self.directions_XK)
        packed = np.rint(_BYTE * np.concatenate([part.ravel() for part in parts])).astype(np.int8)
        balance = b"" if self.balance_2K is None else self.balance_2K.astype("<f4").tobytes()
        return base64.b64encode(packed.tobytes() + balance).decode("ascii")

    @classmethod
    def from_text(
        cls,
        text: str,
        dim: int,
        centres: int,
        threshold: float,
        directions: int,
        *,
        balanced: bool = False,
    ) -> Self:
        """Return what `to_text` wrote; 0 directions for a stage that has none."""
        packed, balance_2K = base64.b64decode(text), None
        if balanced:
            size = 2 * directions * np.dtype("<f4").itemsize
            packed, balance = packed[:-size], packed[-size:]
            balance_2K = np.frombuffer(balance, "<f4").reshape(2, directions).astype(np.float32)
            if not (np.isfinite(balance_2K).all() and (balance_2K[1] > 0).all()):
                raise ValueError("the balance of its directions is none")
        numbers = np.frombuffer(packed, np.int8).astype(np.float32) / _BYTE
        likenesses = centres + dim + 1
        rows, chosen = np.split(numbers, [len(numbers) - likenesses * directions])
        centres_FD, sample_RD = np.split(rows.reshape(-1, dim), [centres])
        directions_XK = chosen.reshape(likenesses, directions) if directions else None
        return cls(centres_FD, sample_RD, threshold, directions_XK, balance_2K)


@lru_cache(maxsize=4)
def stage_of(learned: Learned, dim: int) -> LearnedStage:
    """Return the candidate stage that the record of an index holds.

    Raises:
        IndexUnavailable: the record is damaged.
    """
    if (found := text_sha256(learned.numbers)) != learned.sha256:
        raise _unusable(f"its hash is {found}, not {learned.sha256}")
    try:
        shape = (dim, learned.centres, learned.threshold, learned.directions)
        stage = LearnedStage.from_text(learned.numbers, *shape, balanced=learned.balanced)
    except ValueError as exc:
        raise _unusable(f"its numbers are no rows of {dim}: {exc}") from exc
    if learned.centres < 1 or not len(stage.sample_RD):
        raise _unusable(f"of its rows {learned.centres} are centres")
    if learned.directions not in (0, DIRECTIONS):
        raise _unusable(f"{learned.directions} directions")
    if min(learned.candidates, learned.widening) < 1 or not -1 <= learned.threshold <= 1:
        each = f"{learned.widening} passages for each of {learned.candidates} candidates"
        raise _unusable(f"{each}, a cosine of {learned.threshold}")
    return replace(stage, widening=learned.widening)


def _gram(features_RK: Vector) -> NDArray[np.float64]:
    """Return the sums of the products of features, and on the diagonal a little more."""
    exact_RK = features_RK.astype(np.float64)
    gram_KK: NDArray[np.float64] = exact_RK.T @ exact_RK
    gram_KK[np.diag_indices_from(gram_KK)] += _RIDGE * gram_KK.diagonal().mean()
    return gram_KK


def _unusable(what: str) -> IndexUnavailable:
    return IndexUnavailable(
        f"the candidate stage in the record of the index is damaged: {what}. Build the index anew"
    )


def text_sha256(text: str) -> str:
    """Return the hash that the record of an index keeps of a stage's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def maxima(x_RD: Vector, passages: Sequence[Vector]) -> Vector:
    """Return the best similarity [N, R] of each query row among the rows of each passage."""
    best_NR = np.empty((len(passages), len(x_RD)), np.float32)
    start = 0
    while start < len(passages):
        stop, rows = start + 1, len(passages[start])
        while stop < len(passages) and rows + len(passages[stop]) <= _ROWS_AT_ONCE:
            rows += len(passages[stop])
            stop += 1
        similarity_TR = np.concatenate(passages[start:stop]) @ x_RD.T
        at = 0
        for n in range(start, stop):
            similarity_TR[at : at + len(passages[n])].max(axis=0, out=best_NR[n])
            at += len(passages[n])
        start = stop
    return best_NR
