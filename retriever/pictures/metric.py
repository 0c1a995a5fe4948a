"""How pictures are compared: along what tells entities apart, not what differs within one.

Several pictures of an entity differ in what says nothing about it: a drawer's style, a margin, the
light. Linear discriminant analysis (Fisher 1936, Rao 1948) takes from a collection the directions
in which entities differ most for how much their own pictures do; the cosine is then of those. It is
solved, not trained:

    C_between a = l C_within a    of the K largest l, each a scaled to 1 within an entity

The covariance within entities is half shrunk to a multiple of the identity (Ledoit and Wolf 2004
say why): there are about as many pictures as it has rows.

Shapes: I pictures · V width of a vector · R = min(V, I) · K directions
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Chosen on drawings of vendors that were left out (docs/measured/pictures.md).
DIRECTIONS = 256
SHRUNK = 0.5  # of the covariance within entities
LEAST = 1_000  # pictures of entities that have several: from fewer it finds less than the cosine
MOST = 5_000  # that it is solved for: 200 MB of kbvqa-mini's vectors, and more say little


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A linear map of pictures' vectors, in which their cosine is taken.

    Attributes:
        directions_VK: what a vector is projected onto, in numbers that float16 has.
        offset_K: the projected mean.
    """

    directions_VK: NDArray[np.float32]
    offset_K: NDArray[np.float32]

    @classmethod
    def fitted(cls, vectors_IV: NDArray[np.int8], entities: Sequence[str]) -> Self | None:
        """Return the metric for pictures; None where too few are of entities that have several.

        None too where those of an entity are all alike, as where each is listed twice: nothing
        then says what differs within one.

        Args:
            vectors_IV: directions of the pictures' vectors, of any length.
            entities: what each picture shows.
        """
        several = Counter(entities)
        of_several = [place for place, entity in enumerate(entities) if several[entity] > 1]
        if len(of_several) < LEAST:
            return None
        chosen = of_several[:MOST]
        _, entity_I = np.unique([entities[place] for place in chosen], return_inverse=True)
        x_IV = _unit(vectors_IV[chosen]).astype(np.float64)
        mean_V = x_IV.mean(axis=0)
        x_IV -= mean_V
        # Off the span of the pictures all entities are alike: solved in it, in R <= I numbers.
        span_VR, _ = np.linalg.qr(x_IV.T)
        y_IR = x_IV @ span_VR
        within_RR = _within(y_IR, entity_I)
        even = within_RR.trace() / len(mean_V)
        if even <= np.finfo(np.float64).eps:  # of unit vectors, so what is left is rounding
            return None
        within_RR *= 1 - SHRUNK
        within_RR[np.diag_indices(len(within_RR))] += SHRUNK * even
        # With C_within = L L', the symmetric problem of L^-1 C L'^-1 has the same values l; the
        # covariance C of all pictures has the same directions as the one between entities.
        lower_RR = np.linalg.cholesky(within_RR)
        whitened_RI = np.linalg.solve(lower_RR, y_IR.T)
        _, vectors_RR = np.linalg.eigh(whitened_RI @ whitened_RI.T)
        directions_RK = np.linalg.solve(lower_RR.T, vectors_RR[:, ::-1][:, :DIRECTIONS])
        directions_VK = span_VR @ directions_RK
        # The cosine asks for no scale, and float16 wants none that is extreme.
        directions_VK /= np.abs(directions_VK).max()
        rounded_VK = directions_VK.astype(np.float16).astype(np.float32)
        return cls(rounded_VK, mean_V.astype(np.float32) @ rounded_VK)

    def __call__(self, vectors_IV: ArrayLike) -> NDArray[np.float32]:
        """Return unit vectors [I, K] of vectors [I, V] of any length."""
        return _unit(_unit(vectors_IV) @ self.directions_VK - self.offset_K)


def _within(y_IR: NDArray[np.float64], entity_I: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the covariance [R, R] of vectors around the mean of their entity."""
    count_E = np.bincount(entity_I)
    sum_ER = np.zeros((len(count_E), y_IR.shape[1]))
    np.add.at(sum_ER, entity_I, y_IR)
    off_IR = y_IR - (sum_ER / count_E[:, None])[entity_I]
    covariance_RR: NDArray[np.float64] = off_IR.T @ off_IR / (len(y_IR) - len(count_E))
    return covariance_RR


def _unit(vectors_IV: ArrayLike) -> NDArray[np.float32]:
    x_IV = np.asarray(vectors_IV, dtype=np.float32)
    unit_IV: NDArray[np.float32] = x_IV / np.linalg.norm(x_IV, axis=-1, keepdims=True)
    return unit_IV
