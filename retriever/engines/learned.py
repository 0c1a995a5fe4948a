"""A learned candidate stage: one vector a passage, whose dot product stands for MaxSim.

MaxSim adds up, over the rows of a query, a function that belongs to the passage:

    MaxSim(q, p) = sum over rows x of q of f_p(x)      f_p(x) = max over rows t of p of x . t

With features phi(x) that are the same for all passages, f_p(x) is about phi(x) . w_p, so that

    MaxSim(q, p) ~ (sum over rows x of q of phi(x)) . w_p

is a dot product of two vectors. w_p are the weights of regularised least squares on a sample of
query rows: a passage that comes later needs its own weights alone. Rows that repeat each other
cost nothing, and a query of 320 rows is one vector like any other.

This is LEMUR's idea (arXiv 2601.21853), without training: phi(x) is how far the row is like each
of many centres of the passages' rows, beside the row itself: a maximum over rows is made of such
parts. Features that were trained for some seconds did worse: docs/measured/candidates.md.

Shapes: R sampled query rows · N passages · Q query tokens · P passage tokens · T rows of several
passages · D embedding dim · F centres · X = F + D + 1 features
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

import numpy as np

from retriever.engines.interface import Vector
from retriever.engines.record import Learned
from retriever.errors import IndexUnavailable

CENTRES = 1_024

# Of the mean of the features' squares: what the weights of least squares are held down with.
_RIDGE = 1e-3
_ROWS_AT_ONCE = 1_024  # of passages: their similarities to 4,096 sampled rows take 16 MB
_BYTE = np.float32(127)  # what a number of 1 is as a byte


def vector_size(dim: int) -> int:
    """Return how many numbers the learned vector of a passage has."""
    return CENTRES + dim + 1


@dataclass(frozen=True, eq=False)
class LearnedStage:
    """Features of query rows, and the sample of rows that passages are fitted on.

    Attributes:
        centres_FD: unit rows that are typical of passages; rows of zeros where there are few.
        sample_RD: query rows, unit norm.
        threshold: the cosine from which on a row is like a centre.
    """

    centres_FD: Vector
    sample_RD: Vector
    threshold: float

    def query_vector(self, q_QD: Vector) -> Vector:
        """Return the vector [X] of a query: the sum of its rows' features."""
        vector: Vector = self._features(q_QD).sum(axis=0)
        return vector

    def passage_vectors(self, passages: Sequence[Vector]) -> list[Vector]:
        """Return for each passage, given its rows [P, D], its vector [X]."""
        if not passages:
            return []
        return list(self.solved(maxima(self.sample_RD, passages)))

    def solved(self, best_NR: Vector) -> Vector:
        """Return the vectors [N, X] of passages whose maxima with the sample are known."""
        vectors: Vector = best_NR @ self._solver_RX
        return vectors

    @cached_property
    def _solver_RX(self) -> Vector:
        """What takes maxima to weights: phi (phi^T phi + ridge)^-1, one passage a row."""
        features_RX = self._features(self.sample_RD).astype(np.float64)
        gram_XX = features_RX.T @ features_RX
        gram_XX[np.diag_indices_from(gram_XX)] += _RIDGE * gram_XX.diagonal().mean()
        return np.linalg.solve(gram_XX, features_RX.T).T.astype(np.float32)

    def _features(self, x_ND: Vector) -> Vector:
        like_NF = np.maximum(x_ND @ self.centres_FD.T - self.threshold, 0)
        ones_N1 = np.ones((len(x_ND), 1), np.float32)
        return np.concatenate([like_NF, x_ND, ones_N1], axis=1)

    def to_text(self) -> str:
        """Return it as text, at a byte a number: any rows near these would do as well."""
        packed = np.rint(_BYTE * np.concatenate([self.centres_FD, self.sample_RD])).astype(np.int8)
        return base64.b64encode(packed.tobytes()).decode("ascii")

    @classmethod
    def from_text(cls, text: str, dim: int, centres: int, threshold: float) -> Self:
        """Return what `to_text` wrote."""
        numbers = np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32) / _BYTE
        centres_FD, sample_RD = np.split(numbers.reshape(-1, dim), [centres])
        return cls(centres_FD, sample_RD, threshold)


@lru_cache(maxsize=4)
def stage_of(learned: Learned, dim: int) -> LearnedStage:
    """Return the candidate stage that the record of an index holds.

    Raises:
        IndexUnavailable: the record is damaged.
    """
    if (found := text_sha256(learned.numbers)) != learned.sha256:
        raise _unusable(f"its hash is {found}, not {learned.sha256}")
    try:
        stage = LearnedStage.from_text(learned.numbers, dim, learned.centres, learned.threshold)
    except ValueError as exc:
        raise _unusable(f"its numbers are no rows of {dim}: {exc}") from exc
    if learned.centres < 1 or not len(stage.sample_RD):
        raise _unusable(f"of its rows {learned.centres} are centres")
    if learned.candidates < 1 or not -1 <= learned.threshold <= 1:
        raise _unusable(f"{learned.candidates} candidates, a cosine of {learned.threshold}")
    return stage


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
