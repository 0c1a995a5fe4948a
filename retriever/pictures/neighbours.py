"""The most similar picture of each entity. Compared are all pictures, or those that a graph names.

Shapes: Q queries · I pictures · V width of a vector · E entities · C pictures compared
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retriever.engines.graph import VectorGraph
from retriever.pictures.layout import NEAR

# The cosine from which on people are shown a picture: photographs of anything are alike by less.
SHOWN_FROM = 0.35
# The nearest pictures that a graph names: as many, and at least so many for each entity.
_NEAR, _AN_ENTITY = 256, 8
_HELD = 2**26  # numbers that are held as float32, 256 MiB of them
_BLOCK = 2**22  # numbers that are made float32 at a time, where they are not held
_SIMILARITIES = 2**26  # that are computed at a time


@dataclass(frozen=True, slots=True)
class SimilarPicture:
    """A picture of an entity that resembles the query's.

    Attributes:
        image: its name, as the table has it.
        entity: what it shows.
        similarity: the cosine of both pictures' vectors, and what colours added.
        name: of the entity, for people; "" where the collection has none.
        colours: what they added, beside the best, by where they lie; less than 0 as a rule.
        away: how far the entity's colours lie from the query's, in units of Lab; None where nobody
            asked.
    """

    image: str
    entity: str
    similarity: float
    name: str = ""
    colours: float = 0.0
    away: float | None = None

    @property
    def cosine(self) -> float:
        """Return the cosine of both pictures' vectors."""
        return self.similarity - self.colours

    @property
    def lies_as(self) -> bool:
        """Return whether its colours lie as those of the query's: nothing else is shown."""
        return self.away is not None and self.away <= NEAR


@dataclass(frozen=True, slots=True, eq=False)
class _Entities:
    """Whose the pictures are.

    Attributes:
        number: of each entity.
        of_I: the number of each picture's.
        order_I: pictures, entity by entity.
        starts_E: where each entity begins in that order, and behind them where the last ends.
    """

    number: Mapping[str, int]
    of_I: NDArray[np.intp]
    order_I: NDArray[np.intp]
    starts_E: NDArray[np.intp]

    def pictures(self, number: int) -> NDArray[np.intp]:
        """Return an entity's pictures."""
        return self.order_I[self.starts_E[number] : self.starts_E[number + 1]]


class Neighbours:
    """Pictures and their vectors, searched. Threads may share one.

    Args:
        names: of each picture its image and entity.
        vectors_IV: of each, of any length but 0.
        titles: names of entities, for people.
        graph: of the vectors; None for all being compared.
    """

    def __init__(
        self,
        names: Sequence[tuple[str, str]],
        vectors_IV: NDArray[np.int8],
        titles: Mapping[str, str],
        graph: VectorGraph | None,
    ) -> None:
        self.names, self.vectors_IV, self.titles, self.graph = names, vectors_IV, titles, graph

    def search(
        self,
        queries_QV: NDArray[np.float32],
        top_k: int,
        among: Sequence[Collection[str]],
    ) -> list[list[SimilarPicture]]:
        """Return what `PictureCollection.search` does, of vectors that are as wide as these."""
        wanted_QE = [self._numbers(among[q] if among else ()) for q in range(len(queries_QV))]
        if self.graph is not None:
            return [
                self._near(self.graph, query_V, top_k, wanted_E)
                for query_V, wanted_E in zip(queries_QV, wanted_QE, strict=True)
            ]
        found, together = [], max(1, _SIMILARITIES // len(self.names))
        for start in range(0, len(queries_QV), together):
            similarity_QI = self._similarities(queries_QV[start : start + together])
            for number, similarity_I in enumerate(similarity_QI, start):
                found.append(self._of_all(similarity_I, top_k, wanted_QE[number]))
        return found

    def pictures(self, entity: str) -> NDArray[np.intp]:
        """Return the numbers of an entity's pictures."""
        return self._entities.pictures(self._entities.number[entity])

    def _near(
        self, graph: VectorGraph, query_V: NDArray[np.float32], top_k: int, wanted_E: set[int]
    ) -> list[SimilarPicture]:
        """Return the most similar pictures of those that a graph names and of entities wanted."""
        entity_I, limit = self._entities.of_I, max(_NEAR, _AN_ENTITY * top_k)
        while True:
            near_C = graph.nearest(query_V, min(limit, len(entity_I)))
            if len(np.unique(entity_I[near_C])) >= top_k or limit >= len(entity_I):
                break
            limit *= 4  # an entity with very many pictures
        compared_C = np.unique(np.concatenate([near_C, *map(self._entities.pictures, wanted_E)]))
        rows_CV = self.vectors_IV[compared_C].astype(np.float32)
        lengths_C = np.maximum(np.linalg.norm(rows_CV, axis=1), 1)
        return self._best(compared_C, rows_CV @ query_V / lengths_C, top_k, wanted_E)

    def _of_all(
        self, similarity_I: NDArray[np.float32], top_k: int, wanted_E: set[int]
    ) -> list[SimilarPicture]:
        """Return the most similar pictures of all."""
        entities = self._entities
        best_E = np.maximum.reduceat(similarity_I[entities.order_I], entities.starts_E[:-1])
        chosen = set(range(len(best_E)))
        if top_k < len(best_E):
            chosen = wanted_E.union(np.argpartition(-best_E, top_k)[:top_k].tolist())
        compared_C = np.concatenate([entities.pictures(e) for e in chosen])
        return self._best(compared_C, similarity_I[compared_C], top_k, wanted_E)

    def _best(
        self,
        pictures_C: NDArray[np.intp],
        similarity_C: NDArray[np.float32],
        top_k: int,
        wanted_E: set[int],
    ) -> list[SimilarPicture]:
        """Return the best picture of each of the `top_k` best entities, and of those wanted."""
        order_C = np.lexsort((pictures_C, -similarity_C))
        numbers_C = self._entities.of_I[pictures_C[order_C]]
        firsts = np.sort(np.unique(numbers_C, return_index=True)[1])  # of each entity, best first
        kept = [
            *firsts[:top_k],
            *(place for place in firsts[top_k:] if int(numbers_C[place]) in wanted_E),
        ]
        return [
            SimilarPicture(image, entity, float(similarity_C[at]), self.titles.get(entity, ""))
            for at in order_C[kept]
            for image, entity in (self.names[pictures_C[at]],)
        ]

    def _numbers(self, entities: Collection[str]) -> set[int]:
        """Return the numbers of those entities that have pictures."""
        number = self._entities.number
        return {number[entity] for entity in entities if entity in number}

    @cached_property
    def _entities(self) -> _Entities:
        number: dict[str, int] = {}
        of_I = np.array([number.setdefault(name, len(number)) for _, name in self.names])
        order_I = np.argsort(of_I, kind="stable")
        starts_E = np.searchsorted(of_I[order_I], np.arange(len(number) + 1))
        return _Entities(number, of_I, order_I, starts_E)

    def _similarities(self, queries_QV: NDArray[np.float32]) -> NDArray[np.float32]:
        similarity_QI = np.empty((len(queries_QV), len(self.names)), dtype=np.float32)
        for start, rows_IV in self._blocks():
            similarity_QI[:, start : start + len(rows_IV)] = queries_QV @ rows_IV.T
        similarity_QI /= self._lengths_I
        return similarity_QI

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield vectors as float32, with the number of the first of them."""
        if self.vectors_IV.size <= _HELD:
            yield 0, self._held_IV
            return
        block = max(1, _BLOCK // self.vectors_IV.shape[1])
        for start in range(0, len(self.names), block):
            yield start, self.vectors_IV[start : start + block].astype(np.float32)

    @cached_property
    def _held_IV(self) -> NDArray[np.float32]:
        return self.vectors_IV.astype(np.float32)

    @cached_property
    def _lengths_I(self) -> NDArray[np.float32]:
        block = max(1, _BLOCK // self.vectors_IV.shape[1])
        lengths = [
            np.linalg.norm(self.vectors_IV[start : start + block].astype(np.float32), axis=1)
            for start in range(0, len(self.names), block)
        ]
        lengths_I: NDArray[np.float32] = np.concatenate(lengths)
        return lengths_I
