"""The passage index: token embeddings of passages in Qdrant multivectors, searched by MaxSim.

A location is a directory (Qdrant's engine in this process) or the URL of a collection on a Qdrant
server, `http://host:6333/NAME`. Both have the same schema and give the same results. A search
picks candidates and ranks them by MaxSim; the exact mode scores every passage.

Shapes: Q query tokens · P passage tokens · D embedding dim
"""

import contextlib
import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from numpy.typing import ArrayLike

from corpus.types import Hit, Passage
from retriever.embeddings import batches, unit_rows
from retriever.engines.interface import TOKENS, Engine, Point, Store, Vector
from retriever.errors import IndexUnavailable
from retriever.filters import PassageFilter
from retriever.index_builds import (
    Location,
    next_build,
    opened_build,
    resumed_build,
    store_at,
    writing,
)
from retriever.index_points import (
    CONTENT,
    ROWS,
    all_points,
    conditions_of,
    passage_of,
    point_id,
    point_of,
)
from retriever.index_record import DEFAULT_STORAGE, Build, Fingerprint, Precision, Storage
from retriever.index_search import SearchMode, search_engine
from retriever.index_settings import DEFAULT_CONNECTION, Connection

if TYPE_CHECKING:
    from retriever.encoder import Encoder

__all__ = ["Fingerprint", "PassageFilter", "PassageIndex", "SearchMode", "Storage"]


class PassageIndex:
    """An index, open for writing or for searching.

        with PassageIndex.create_or_resume(location, fingerprint) as index:
            index.upsert(passages, embeddings)
            index.finish()
        with PassageIndex.open(location, fingerprint) as index:
            hits = index.search(q_QD, top_k=5)

    Threads may share one; the embedded engine answers one call at a time.
    """

    def __init__(self, store: Store, build: Build, engine: Engine, *, complete: bool) -> None:
        """Not for callers: use `create`, `create_or_resume`, `update` or `open`."""
        self._store, self._build, self._complete = store, build, complete
        self._attach(engine)

    @classmethod
    def build(
        cls,
        location: Location,
        passages: Sequence[Passage],
        encoder: "Encoder",
        *,
        name: str = "passages",
        storage: Storage | None = None,
        connection: Connection = DEFAULT_CONNECTION,
    ) -> "PassageIndex":
        """Return the finished index of these passages and no others, open for searching.

        What is there already is not encoded again: a build that was stopped goes on, and a
        finished one changes to what is asked for. A corpus that does not fit into memory is for
        `kbvqa index build`.

        Args:
            location: a directory, or the URL of a collection.
            passages: with unique ids.
            encoder: embeds them.
            name: of the corpus, printed in results.
            storage: how embeddings are kept; None for as they are, or float16.
            connection: for a server.

        Raises:
            ValueError: there is no passage, or two have the same id.
            IndexNotReady: `location` holds an index of another checkpoint.
            IndexUnavailable: it cannot be written; see `create_or_resume`.
        """
        # It writes into an index, and so has to import this module first.
        from retriever.indexing import build_passages

        return build_passages(location, passages, encoder, name, storage, connection)

    @classmethod
    def create(
        cls,
        location: Location,
        fingerprint: Fingerprint,
        storage: Storage = DEFAULT_STORAGE,
        connection: Connection = DEFAULT_CONNECTION,
    ) -> Self:
        """Return a new, empty index, open for writing.

        Raises:
            IndexUnavailable: if there is something at `location`, the disk is full, or the
                server cannot be reached.
        """
        if not store_at(location, connection).vacant():
            raise IndexUnavailable(f"{location} is not empty: choose another place")
        return cls.create_or_resume(location, fingerprint, storage, connection)

    @classmethod
    def create_or_resume(
        cls,
        location: Location,
        fingerprint: Fingerprint,
        storage: Storage = DEFAULT_STORAGE,
        connection: Connection = DEFAULT_CONNECTION,
        *,
        precisions: tuple[Precision, ...] = (),
    ) -> Self:
        """Return the index at `location`, open for writing: a new one, or an unfinished one.

        Nothing that `upsert` returned from is lost when a build is killed. A finished index comes
        back open for searching, with `complete` set.

        Raises:
            IndexNotReady: if there is an index of another checkpoint, corpus or storage.
            IndexUnavailable: if another process is writing it, the place holds something else,
                the disk is full, or the server cannot be reached.
        """
        store = store_at(location, connection)
        with writing(store) as keep:
            build = resumed_build(store, fingerprint, storage, precisions)
            if build is not None:
                index = cls(store, build, store.open_for_writing(build), complete=False)
                keep()
                return index
        return cls.open(location, fingerprint, connection)

    @classmethod
    def update(
        cls,
        location: Location,
        fingerprint: Fingerprint,
        storage: Storage | None = None,
        connection: Connection = DEFAULT_CONNECTION,
        *,
        fresh: bool = False,
        precisions: tuple[Precision, ...] = (),
    ) -> Self:
        """Return the index at `location`, open for writing, to become what `fingerprint` says.

        Goes on with an unfinished one, starts from the finished one, or makes a new one. Until
        `finish` whoever searches finds the index as it was (on a server: already with what was
        written, unless `fresh`).

        Args:
            location: as for `open`.
            fingerprint: the corpus may be another than the index has; the embeddings not.
            storage: how it is kept; None for as it is. Another one needs `fresh`.
            connection: as for `open`.
            fresh: start empty beside the finished index, which `finish` replaces (blue/green).
            precisions: the numbers in which passages are going to be encoded, for the record.

        Raises:
            IndexNotReady: if the index has other embeddings or storage, and `fresh` is not set.
            IndexUnavailable: as for `create_or_resume`.
        """
        store = store_at(location, connection)
        with writing(store) as keep:
            build = next_build(store, fingerprint, storage, precisions, fresh=fresh)
            index = cls(store, build, store.open_for_writing(build), complete=False)
            keep()
            return index

    @classmethod
    def open(
        cls,
        location: Location,
        expected: Fingerprint | None = None,
        connection: Connection = DEFAULT_CONNECTION,
    ) -> Self:
        """Return the finished index at `location`, open for searching.

        Args:
            location: a directory, or http(s)://host:port/collection.
            expected: the checkpoint and corpus it must be made from; None takes any.
            connection: key, time limits and so on for a server.

        Raises:
            IndexNotReady: if it is missing, unfinished, or made from something else.
            IndexUnavailable: if it is damaged, or the server cannot be used.
        """
        store = store_at(location, connection)
        with contextlib.ExitStack() as on_error:
            on_error.callback(store.close)
            build, engine = opened_build(store, expected)
            on_error.pop_all()
        return cls(store, build, engine, complete=True)

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
        """What the index is made from."""
        return self._build.fingerprint

    @property
    def storage(self) -> Storage:
        """How its embeddings are kept."""
        return self._build.storage

    @property
    def built(self) -> Build:
        """What its record says: storage, skipped passages and so on."""
        return self._build

    @property
    def complete(self) -> bool:
        """Whether it is open for searching only: a finished index."""
        return self._complete

    @property
    def count(self) -> int:
        """The number of passages in it now."""
        return self._engine.count()

    def passage_ids(self) -> set[str]:
        """Return the ids of all passages in it."""
        return set(self.content_hashes())

    def content_hashes(self, ids: Sequence[str] | None = None) -> dict[str, str]:
        """Return the content hash of the passages with these ids that are in it; None for all."""
        wanted = ("id", CONTENT)
        if ids is None:
            points: Iterable[Point] = all_points(self._engine, wanted, vectors=False)
        else:
            points = self._engine.retrieve(self._point_ids(ids), wanted)
        return {point.payload["id"]: point.payload[CONTENT] for point in points}

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Return the passages with these ids, in this order.

        Raises:
            ValueError: if one is not in the index.
        """
        ids = list(ids)
        points = self._engine.retrieve(self._point_ids(ids), None)
        found = {passage.id: passage for passage in map(passage_of, points)}
        if missing := [id for id in ids if id not in found]:
            raise ValueError(f"no passage {missing[0]!r} in the index at {self.location}")
        return [found[id] for id in ids]

    def scroll(self) -> Iterator[tuple[Passage, Vector]]:
        """Yield every passage with its rows [P, D] as stored, in the order of point ids."""
        for point in self.points():
            yield passage_of(point), point.vectors[TOKENS]

    def points(self) -> Iterator[Point]:
        """Yield everything that is stored of every passage, in the order of point ids."""
        return all_points(self._engine, vectors=True)

    def row_counts(self) -> Iterator[tuple[Passage, int]]:
        """Yield every passage with the number of its rows, in the order of `scroll`."""
        for point in all_points(self._engine, vectors=False):
            yield passage_of(point), int(point.payload[ROWS])

    def upsert(self, passages: Sequence[Passage], embeddings: Sequence[ArrayLike]) -> None:
        """Write passages; one with an id that is there already takes its place.

        What is written when this returns survives the death of the process.

        Args:
            passages: the passages.
            embeddings: for each the unit-norm rows [P, D] of its tokens, without masked ones.

        Raises:
            ValueError: if an embedding is not such a matrix (nothing is written then), or the
                index is finished.
            IndexUnavailable: if the disk is full, or the server cannot be used.
        """
        self._require_open_for_writing()
        if len(passages) != len(embeddings):
            raise ValueError(f"{len(passages)} passages and {len(embeddings)} embeddings")
        rows = [
            unit_rows(embedding, self.fingerprint.dim, f"passage {passage.id!r}")
            for passage, embedding in zip(passages, embeddings, strict=True)
        ]
        corpus = self.fingerprint.corpus
        for batch in batches(rows):
            self._engine.upsert([point_of(corpus, passages[i], rows[i]) for i in batch])

    def delete(self, chosen: Iterable[str] | PassageFilter) -> int:
        """Remove passages and return how many.

        Args:
            chosen: the ids of passages, which need not exist, or a filter, which must say
                something.

        Raises:
            ValueError: if the filter is empty, or the index is finished.
        """
        self._require_open_for_writing()
        if isinstance(chosen, str):
            raise TypeError(f"a filter or an iterable of ids is expected, got the text {chosen!r}")
        if not isinstance(chosen, PassageFilter):
            chosen = PassageFilter(ids=tuple(chosen))
        conditions = conditions_of(self.fingerprint.corpus, chosen)
        if conditions is None:
            raise ValueError("an empty filter would delete every passage: remove the index instead")
        if not (count := self._engine.count(conditions)):
            return 0
        self._engine.delete(conditions)
        return count

    def optimise(self) -> None:
        """Bring what was written in order for fast search; blocks until it is done.

        Raises:
            IndexUnavailable: if the disk has no room for the optimised copy.
        """
        if not self.complete:
            self._engine.optimise()

    def finish(self, *, skipped: int = 0, kept: int = 0) -> None:
        """Optimise the index, mark it complete and open it for searching.

        Args:
            skipped: passages of the corpus that are not in it.
            kept: passages in it that are not of the corpus.

        Raises:
            ValueError: if it does not hold as many passages as that makes.
            IndexUnavailable: if the disk has no room for the optimised copy.
        """
        if self.complete:
            return
        build = replace(self._build, skipped=skipped, kept=kept)
        if (count := self.count) != build.passages:
            raise ValueError(
                f"the index at {self.location} holds {count} of {build.passages} passages"
            )
        self.optimise()
        self._build = self._store.finish(build, self._engine)
        self._finalizer.detach()
        self._store.unlock()
        self._complete = True
        self._attach(self._store.open_for_search(self._build))

    def search(
        self,
        q_QD: ArrayLike,
        top_k: int,
        filter: PassageFilter | None = None,
        mode: SearchMode = "two-stage",
        candidates: int = 200,
    ) -> list[Hit]:
        """Return the passages with the highest MaxSim, best first, equal scores by passage id.

        Fewer than `top_k` come back only if there are fewer that fulfil the filter.

        Args:
            q_QD: the query embedding. All-zero rows are dropped.
            top_k: how many hits.
            filter: what a passage must fulfil; None for nothing.
            mode: "two-stage", or "exact" to score every passage.
            candidates: how many passages MaxSim is computed for. It is raised to `top_k`, so
                that below that `top_k` does not change which passages come first.

        Raises:
            ValueError: if `q_QD` is not a matrix of finite unit-norm rows [Q, D], or a number is
                not positive.
        """
        return self.search_many([q_QD], top_k, filter, mode, candidates)[0]

    def search_many(
        self,
        queries: Sequence[ArrayLike],
        top_k: int,
        filter: PassageFilter | None = None,
        mode: SearchMode = "two-stage",
        candidates: int = 200,
    ) -> list[list[Hit]]:
        """Return what `search` returns, for each of many queries, in fewer calls."""
        if filter is not None and filter.ids == ():
            return [[] for _ in queries]
        return search_engine(
            self._engine,
            queries,
            top_k,
            dim=self.fingerprint.dim,
            conditions=conditions_of(self.fingerprint.corpus, filter),
            mode=mode,
            candidates=candidates,
            quantized=self.storage.quantization is not None,
        )

    def _require_open_for_writing(self) -> None:
        if self.complete:
            raise ValueError(
                f"the index at {self.location} is finished and cannot be changed: open it with "
                "PassageIndex.update"
            )

    def _point_ids(self, passage_ids: Iterable[str]) -> list[str]:
        return [point_id(self.fingerprint.corpus, id) for id in passage_ids]

    def _attach(self, engine: Engine) -> None:
        self._raw_engine = engine
        # Also runs at the exit of the interpreter, and when an index is dropped unclosed.
        self._finalizer = weakref.finalize(self, _release, engine, self._store, os.getpid())

    @property
    def _engine(self) -> Engine:
        if not self._finalizer.alive:
            raise ValueError(f"the index at {self.location} is closed")
        return self._raw_engine


def _release(engine: Engine, store: Store, owner: int) -> None:
    if os.getpid() != owner:  # a fork: the index is the parent's
        return
    try:
        engine.close()
    finally:
        store.close()
