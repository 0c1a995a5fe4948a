"""Reading and searching an index that is open, also while it is replaced by another build.

Shapes: Q query tokens · P passage tokens · D embedding dim
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from corpus.progress import Say
from corpus.types import Hit, Passage
from retriever.encoding.arguments import list_of, require
from retriever.engines.candidates import CANDIDATES, widest_step
from retriever.engines.interface import TOKENS, Engine, Invitation, Point, Store, Vector
from retriever.engines.learned import LearnedStage, stage_of
from retriever.engines.record import Build, Fingerprint, Storage
from retriever.errors import IndexNotReady
from retriever.index.builds import moved_build
from retriever.index.filters import PassageFilter
from retriever.index.foreign import Foreign
from retriever.index.named import is_proper, titles_called
from retriever.index.points import (
    CONTENT,
    CORPUS,
    ROWS,
    all_points,
    conditions_of,
    passage_of,
    point_id,
)
from retriever.index.search import SearchMode, search_engine

_T = TypeVar("_T")

# How often a search on a server looks whether the index has been replaced.
_LOOK_SECONDS = 5.0
_MOST_SOURCES = 1_000
_TITLED = 20  # passages of a title that tell whether it is a proper name


class OpenIndex:
    """An open build of an index: what it says about itself, its passages, and searches.

    A search of a server's index follows a swap to another build with the same embeddings, and
    raises IndexNotReady after one to others. A directory's goes on with the build it opened.
    """

    def __init__(self, store: Store, build: Build, engine: Engine, *, complete: bool) -> None:
        """Not for callers: use the class methods of `PassageIndex`."""
        self._store, self._complete = store, complete
        self._moving = threading.Lock()
        self._looked: float | None = time.monotonic()
        self._foreign = Foreign(store.location)
        self._attach(build, engine)

    def close(self) -> None:
        """End the use of the index; again does nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def location(self) -> str:
        """Where it is."""
        return self._store.location

    @property
    def fingerprint(self) -> Fingerprint:
        """What the index is made from: of several corpora, all of them."""
        return self.built.made_from

    @property
    def storage(self) -> Storage:
        """How its embeddings are kept."""
        return self.built.storage

    @property
    def built(self) -> Build:
        """What its record says: storage, skipped passages and so on."""
        return self._attached[0]

    def current_build(self) -> Build:
        """Return what the record says of the build that is at its location by now.

        Raises:
            IndexNotReady, IndexUnavailable: as for `search`.
        """
        return self._following(lambda: self.built)

    @property
    def _learned(self) -> LearnedStage | None:
        """The candidate stage that was fitted to it; None where means choose."""
        learned = self.built.learned
        return None if learned is None else stage_of(learned, self.fingerprint.dim)

    @property
    def candidates(self) -> int:
        """How many passages a search that does not say chooses those from that MaxSim ranks."""
        learned = self.built.learned
        return CANDIDATES if learned is None else learned.candidates

    @property
    def complete(self) -> bool:
        """Whether it is open for searching only: a finished index."""
        return self._complete

    @property
    def count(self) -> int:
        """The number of passages in it now."""
        return self._engine.count()

    @property
    def writers(self) -> int:
        """How many threads may write at once: one into a directory, several to a server."""
        return self._engine.writers

    @property
    def state(self) -> str:
        """What is not in order with how a server keeps it; "" if all is."""
        return self._engine.state()

    @property
    def facts(self) -> Mapping[str, object]:
        """How a server keeps it, by name: status, shards, replicas; nothing of a directory."""
        return self._engine.facts()

    @property
    def foreign(self) -> int:
        """How many points were met in it that are no passages, and left out."""
        return self._foreign.met

    def unfit(self, candidates: int) -> list[str]:
        """Return what on a server refuses searches with so many candidates; nothing if none."""
        return self._engine.unfit(widest_step(candidates, self._learned))

    def optimise(self, say: Say = lambda what: None) -> None:
        """Bring what was written in order for fast search; blocks until it is done.

        A finished index in a directory is in order; on a server it may not be, after a restart.

        Args:
            say: told how far a server is.

        Raises:
            IndexUnavailable: if the disk has no room for the optimised copy, or a server has not
                moved on for long.
        """
        if not self.complete or self._store.moves:
            self._engine.optimise(say)

    def invitation(self) -> Invitation | None:
        """Return what other processes write beside this one with; None for a directory."""
        return self._store.invitation(self.built)

    def passage_ids(self) -> set[str]:
        """Return the ids of all passages in it."""
        return set(self.content_hashes())

    def content_hashes(self, ids: Sequence[str] | None = None) -> dict[str, str]:
        """Return the content hash of the passages with these ids that are in it; None for all."""
        return {id_: content for id_, content, _ in self._contents(ids)}

    def corpora_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the name of the corpus that wrote each passage that is in it, "" if not known."""
        return {id_: corpus for id_, _, corpus in self._contents(ids)}

    def written_by(self, corpus: str) -> Iterator[str]:
        """Yield the ids of the passages that a corpus wrote, as far as is known."""
        return (id_ for id_, _, name in self._contents(None) if name == corpus)

    def _contents(self, ids: Sequence[str] | None) -> Iterator[tuple[str, str, str]]:
        """Yield the id, the hash and the corpus of passages; None for all."""
        wanted = ("id", CONTENT, CORPUS)
        if ids is None:
            points: Iterable[Point] = all_points(self._engine, wanted, vectors=False)
        else:
            points = self._engine.retrieve(self._point_ids(ids), wanted)
        for payload in (point.payload for point in points):
            if CONTENT in payload:
                yield payload["id"], payload[CONTENT], payload.get(CORPUS, "")

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Return the passages with these ids, in this order.

        Raises:
            ValueError: if one is not in the index.
            ForeignPoint: something else stands where one should.
            TypeError: an id is no text.
        """
        ids = list_of(str, ids)
        points = self._following(lambda: self._engine.retrieve(self._point_ids(ids), None))
        found = {passage.id: passage for passage in map(passage_of, points)}
        if missing := [id for id in ids if id not in found]:
            raise ValueError(f"no passage {missing[0]!r} in the index at {self.location}")
        return [found[id] for id in ids]

    def rows(self, ids: Sequence[str]) -> list[Vector]:
        """Return the rows [P, D] of the passages with these ids as stored, in this order.

        Raises:
            ValueError: if one is not in the index.
        """
        points = self._following(
            lambda: self._engine.retrieve(self._point_ids(ids), ("id",), vectors=True)
        )
        found = {point.payload["id"]: point.vectors[TOKENS] for point in points}
        if missing := [id for id in ids if id not in found]:
            raise ValueError(f"no passage {missing[0]!r} in the index at {self.location}")
        return [found[id] for id in ids]

    def sources(self) -> list[str]:
        """Return the sources of its passages, which a filter may name, the commonest first.

        Of an index with more than a thousand the rare ones are left out.
        """
        return self._following(lambda: self._engine.values("source", _MOST_SOURCES))

    def has_thing(self, name: str) -> bool | None:
        """Return whether a passage is about a thing that is called so, by its title.

        The words of the title may begin with capitals. None where what is called so is something
        else: written with a capital amid a sentence, too, it is a proper name, as Jersey is.
        """
        called = PassageFilter(titles=titles_called(name))
        if not self.count_of(called):
            return False
        # Any row finds them.
        row_1D = np.eye(1, self.fingerprint.dim, dtype=np.float32)
        texts = [hit.passage.text for hit in self.search(row_1D, _TITLED, called, mode="exact")]
        return None if is_proper(name, texts) else True

    def count_of(self, chosen: PassageFilter) -> int:
        """Return how many passages fulfil a filter."""
        conditions = conditions_of(self.built.ids_of, chosen)
        return self._following(lambda: self._engine.count(conditions))

    def about_any(self, entities: Collection[str], most: int) -> bool:
        """Return whether a passage is about one of these entities, of the first `most` by ids."""
        points = islice(all_points(self._engine, ("entity",), vectors=False), most)
        return any(point.payload.get("entity") in entities for point in points)

    def sample(self, count: int) -> list[Passage]:
        """Return some passages, at most `count`: the first by point ids, which are hashes."""
        points, _ = self._following(lambda: self._engine.scroll(None, count, None, vectors=False))
        return [passage for _, passage in self._foreign.passages(points)]

    def scroll(self) -> Iterator[tuple[Passage, Vector]]:
        """Yield every passage with its rows [P, D] as stored, in the order of point ids."""
        for point, passage in self._foreign.passages(self.points()):
            yield passage, point.vectors[TOKENS]

    def points(self) -> Iterator[Point]:
        """Yield everything that is stored of every passage, in the order of point ids."""
        return all_points(self._engine, vectors=True)

    def row_counts(self) -> Iterator[tuple[Passage, int]]:
        """Yield every passage with the number of its rows, in the order of `scroll`."""
        points = all_points(self._engine, vectors=False)
        for point, passage in self._foreign.passages(points):
            yield passage, int(point.payload[ROWS])

    def search(
        self,
        q_QD: ArrayLike,
        top_k: int,
        filter: PassageFilter | None = None,
        mode: SearchMode = "two-stage",
        candidates: int | None = None,
    ) -> list[Hit]:
        """Return the passages with the highest MaxSim, best first, equal scores by passage id.

        Fewer than `top_k` come back only if there are fewer that fulfil the filter. What is found
        and is no passage, as something else wrote it there, is left out: see `foreign`.

        Args:
            q_QD: the query embedding. All-zero rows are dropped.
            top_k: how many hits.
            filter: what a passage must fulfil; None for nothing.
            mode: "two-stage", or "exact" to score every passage.
            candidates: how many passages are compared with more than one vector each, and a few
                rows of the query; MaxSim is computed for the best of them, twice `top_k` and at
                least 50. Raised to `top_k`. None for `candidates` of the index.

        Raises:
            ValueError: if `q_QD` is not a matrix of finite unit-norm rows [Q, D], or a number is
                not positive.
            TypeError: if it is a query or a text that is not encoded yet, `filter` is no
                PassageFilter, or a number no whole one.
            IndexNotReady: if the index has been replaced by one with other embeddings.
        """
        return self.search_many([q_QD], top_k, filter, mode, candidates)[0]

    def search_many(
        self,
        queries: Sequence[ArrayLike],
        top_k: int,
        filter: PassageFilter | None = None,
        mode: SearchMode = "two-stage",
        candidates: int | None = None,
    ) -> list[list[Hit]]:
        """Return what `search` returns, for each of many queries, in fewer calls."""
        if not isinstance(queries, Iterable):
            raise TypeError(
                "queries: a list of what encoder.encode_query(...) returns is expected, not one "
                f"{type(queries).__name__}"
            )
        queries = list(queries)
        if filter is not None and not isinstance(filter, PassageFilter):
            raise TypeError(f"filter must be a PassageFilter or None, got {filter!r:.80}")
        if filter is not None and filter.ids == ():
            return [[] for _ in queries]

        def search() -> list[list[Hit]]:
            build, engine = self._open
            dim = build.fingerprint.dim
            return search_engine(
                engine,
                queries,
                top_k,
                dim=dim,
                conditions=conditions_of(build.ids_of, filter),
                mode=mode,
                candidates=self.candidates if candidates is None else candidates,
                learned=stage_of(build.learned, dim) if build.learned else None,
                quantized=build.storage.quantization is not None,
                foreign=self._foreign,
            )

        return self._following(search)

    def _following(self, read: Callable[[], _T]) -> _T:
        """Return what a reading gives, of the build that the location has now."""
        follows = self._complete and self._store.moves
        if follows and (self._looked is None or time.monotonic() - self._looked > _LOOK_SECONDS):
            self._look()
        while True:
            engine = self._engine
            try:
                return read()
            except IndexNotReady:  # the build is gone
                if not follows:
                    raise
                self._looked = None  # whatever is there next is looked at first
                self._look()
                if self._engine is engine:
                    raise

    def _look(self) -> None:
        """Go over to another build, if the location has another by now."""
        with self._moving:
            build, engine = moved_build(self._store, self.built)
            # Engines of a server share the connections of its store, which is what is closed.
            self._attached = build, engine or self._engine
            self._looked = time.monotonic()

    def _point_ids(self, passage_ids: Sequence[str]) -> list[str]:
        for id in passage_ids:
            require(id, str, "the id of a passage")
        return [point_id(self.built.ids_of, id) for id in passage_ids]

    def _attach(self, build: Build, engine: Engine) -> None:
        self._attached = build, engine
        # Also runs at the exit of the interpreter, and when an index is dropped unclosed.
        self._finalizer = weakref.finalize(self, _release, engine, self._store, os.getpid())

    @property
    def _open(self) -> tuple[Build, Engine]:
        if not self._finalizer.alive:
            raise ValueError(f"the index at {self.location} is closed")
        return self._attached

    @property
    def _engine(self) -> Engine:
        return self._open[1]


def _release(engine: Engine, store: Store, owner: int) -> None:
    if os.getpid() != owner:  # a fork: the index is the parent's
        return
    try:
        engine.close()
    finally:
        store.close()
