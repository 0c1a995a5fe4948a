"""The passage index: token embeddings of passages in Qdrant multivectors, searched by MaxSim.

A location is a directory (Qdrant's engine in this process) or the URL of a collection on a Qdrant
server, `http://host:6333/NAME`. Both have the same schema and give the same results. A search
picks candidates and ranks them by MaxSim; the exact mode scores every passage.

Shapes: Q query tokens · P passage tokens · D embedding dim
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from numpy.typing import ArrayLike

from corpus.types import Passage
from retriever.embeddings import batches, unit_rows
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
from retriever.index_points import conditions_of, point_of
from retriever.index_reading import OpenIndex
from retriever.index_record import DEFAULT_STORAGE, Fingerprint, Precision, Storage
from retriever.index_search import SearchMode
from retriever.index_settings import DEFAULT_CONNECTION, Connection

if TYPE_CHECKING:
    from retriever.encoder import Encoder

__all__ = ["Fingerprint", "PassageFilter", "PassageIndex", "SearchMode", "Storage"]


class PassageIndex(OpenIndex):
    """An index, open for writing or for searching.

        with PassageIndex.create_or_resume(location, fingerprint) as index:
            index.upsert(passages, embeddings)
            index.finish()
        with PassageIndex.open(location, fingerprint) as index:
            hits = index.search(q_QD, top_k=5)

    Threads may share one; the embedded engine answers one call at a time.
    """

    @classmethod
    def build(
        cls,
        location: Location,
        passages: Iterable[Passage],
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
            TypeError: something is no passage.
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
        with contextlib.closing(store_at(location, connection)) as store:
            if not store.vacant():
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
        namespace: str = "",
    ) -> Self:
        """Return the index at `location`, open for writing: a new one, or an unfinished one.

        Nothing that `upsert` returned from is lost when a build is killed. A finished index comes
        back open for searching, with `complete` set.

        Args:
            location: as for `open`.
            fingerprint: what it is made from.
            storage: how it is kept.
            connection: as for `open`.
            precisions: the numbers in which passages are encoded, for the record.
            namespace: what the ids of points hang on; "" for the name of the corpus.

        Raises:
            IndexNotReady: if there is an index of another checkpoint, corpus or storage.
            IndexUnavailable: if another process is writing it, the place holds something else,
                the disk is full, or the server cannot be reached.
        """
        store = store_at(location, connection)
        with writing(store) as keep:
            build = resumed_build(store, fingerprint, storage, precisions, namespace)
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
        namespace = self.built.ids_of
        for batch in batches(rows):
            self._engine.upsert([point_of(namespace, passages[i], rows[i]) for i in batch])

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
        conditions = conditions_of(self.built.ids_of, chosen)
        if conditions is None:
            raise ValueError("an empty filter would delete every passage: remove the index instead")
        if not (count := self._engine.count(conditions)):
            return 0
        self._engine.delete(conditions)
        return count

    def optimise(self, say: Callable[[str], None] = lambda what: None) -> None:
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

    def finish(
        self,
        *,
        skipped: int = 0,
        kept: int = 0,
        say: Callable[[str], None] = lambda what: None,
    ) -> None:
        """Optimise the index, mark it complete and open it for searching.

        Args:
            skipped: passages of the corpus that are not in it.
            kept: passages in it that are not of the corpus.
            say: told how far a server is.

        Raises:
            ValueError: if it does not hold as many passages as that makes.
            IndexUnavailable: if the disk has no room for the optimised copy.
        """
        if self.complete:
            return
        build = replace(self.built, skipped=skipped, kept=kept)
        if (count := self.count) != build.passages:
            raise ValueError(
                f"the index at {self.location} holds {count} of {build.passages} passages"
            )
        self.optimise(say)
        done = self._store.finish(build, self._engine)
        self._finalizer.detach()
        self._store.unlock()
        self._complete = True
        self._attach(done, self._store.open_for_search(done))

    def _require_open_for_writing(self) -> None:
        if self.complete:
            raise ValueError(
                f"the index at {self.location} is finished and cannot be changed: open it with "
                "PassageIndex.update"
            )
