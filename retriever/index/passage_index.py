"""The passage index: token embeddings of passages in Qdrant multivectors, searched by MaxSim.

A location is a directory (Qdrant's engine in this process) or the URL of a collection on a Qdrant
server, `http://host:6333/NAME`. Both have the same schema and give the same results. A search
picks candidates and ranks them by MaxSim; the exact mode scores every passage.

Shapes: Q query tokens · P passage tokens · D embedding dim
"""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from numpy.typing import ArrayLike

from corpus.files.passages import passage_line
from corpus.files.text_set import TextSet
from corpus.progress import Say
from corpus.types import Passage, Query
from retriever.encoding.arguments import list_of, require
from retriever.engines.candidates import is_large
from retriever.engines.connection import DEFAULT_CONNECTION, QdrantConnection
from retriever.engines.interface import Invitation
from retriever.engines.record import DEFAULT_STORAGE, Added, Build, Fingerprint, Learned, Storage
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index.builds import (
    Location,
    Others,
    next_build,
    opened_build,
    resumed_build,
    store_at,
    writing,
)
from retriever.index.filters import PassageFilter
from retriever.index.learning import Learning, learn, require_recall
from retriever.index.points import conditions_of, point_of
from retriever.index.questions import enough, learning_for
from retriever.index.reading import OpenIndex
from retriever.index.rows import batches, unit_rows
from retriever.index.search import SearchMode
from retriever.index.writing import fingerprint, remove_missing, write_corpus
from retriever.numbers import Precision

if TYPE_CHECKING:
    from retriever.encoding.encoder import Encoder

__all__ = ["Fingerprint", "Learning", "PassageFilter", "PassageIndex", "SearchMode", "Storage"]


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
        connection: QdrantConnection = DEFAULT_CONNECTION,
        questions: Iterable[Query] = (),
        recall: float = 0.99,
    ) -> Self:
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
            questions: such as will be asked, which a large index learns from; read where it does.
            recall: the share of the ten best that a search of a large index is to find.

        Raises:
            ValueError: there is no passage, or two have the same id.
            TypeError: something is no passage, or another argument of another kind.
            InvalidTrainingData: the index is large, and the questions are too few to learn from.
            IndexNotReady: `location` holds an index of another checkpoint.
            IndexUnavailable: it cannot be written; see `create_or_resume`.
        """
        from retriever.encoding.encoder import Encoder  # who has one has imported it

        require(encoder, Encoder, "encoder")
        require(name, str, "name")
        _require_storage(storage)
        if isinstance(questions, str | Query) or not isinstance(questions, Iterable):
            raise TypeError(f"questions: a list of kbvqa.Query is expected, not {questions!r:.80}")
        require_recall(recall)
        corpus, ids, digest = list_of(Passage, passages), TextSet(), hashlib.sha256()
        for passage in corpus:
            if passage.id in ids:
                raise ValueError(f"two passages have the id {passage.id!r}: ids are unique")
            ids.add(passage.id)
            digest.update(passage_line(passage))
        if not corpus:
            raise ValueError("no passages: an index holds one at least")
        if is_large(len(corpus)):
            questions = enough(questions)  # before everything is encoded
        made_from = fingerprint(encoder.checkpoint, name, digest.hexdigest(), len(corpus))
        precisions = (encoder.passage_precision,)
        index = cls.update(location, made_from, storage, connection, precisions=precisions)
        with contextlib.ExitStack() as on_error:
            on_error.callback(index.close)
            report = write_corpus(index, corpus, encoder.encode_corpus)
            remove_missing(index, ids, report, delete=True)
            learning = learning_for(index, encoder, questions, recall)
            index.finish(skipped=len(report.skipped), learning=learning)
            on_error.pop_all()
        return index

    @classmethod
    def create(
        cls,
        location: Location,
        fingerprint: Fingerprint,
        storage: Storage = DEFAULT_STORAGE,
        connection: QdrantConnection = DEFAULT_CONNECTION,
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
        connection: QdrantConnection = DEFAULT_CONNECTION,
        *,
        precisions: tuple[Precision, ...] = (),
        namespace: str = "",
        learned: Learned | None = None,
        added: tuple[Added, ...] = (),
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
            learned: the candidate stage of the index that this is a copy of.
            added: the corpora that are in that index beside the one of the fingerprint.

        Raises:
            IndexNotReady: if there is an index of another checkpoint, corpus or storage.
            IndexUnavailable: if another process is writing it, the place holds something else,
                the disk is full, or the server cannot be reached.
        """
        _require_storage(storage)
        store = store_at(location, connection)
        with writing(store) as keep:
            build = resumed_build(
                store, fingerprint, storage, precisions, namespace, learned, added
            )
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
        connection: QdrantConnection = DEFAULT_CONNECTION,
        *,
        fresh: bool = False,
        others: Others = "replace",
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
            others: what becomes of corpora of other names that it holds, as the caller goes on to
                write: "keep" lets them stay, "replace" and "prune" make it one of this corpus
                alone, "refuse" takes none but those that it has. "prune" refuses an index of
                several, as passages of the others would be taken for such as are gone.
            precisions: the numbers in which passages are going to be encoded, for the record.

        Raises:
            IndexNotReady: if the index has other embeddings or storage, and `fresh` is not set;
                or another corpus.
            IndexUnavailable: as for `create_or_resume`.
        """
        _require_storage(storage)
        store = store_at(location, connection)
        with writing(store) as keep:
            build = next_build(store, fingerprint, storage, precisions, fresh=fresh, others=others)
            index = cls(store, build, store.open_for_writing(build), complete=False)
            keep()
            return index

    @classmethod
    def join(
        cls,
        location: Location,
        invitation: Invitation,
        connection: QdrantConnection = DEFAULT_CONNECTION,
    ) -> Self:
        """Return the index that another process has begun, to write passages beside it.

        Only that process finishes it. When it is gone, writing raises IndexUnavailable. Arguments
        as for `open`; the invitation is that process's.
        """
        store = store_at(location, connection)
        with contextlib.ExitStack() as on_error:
            on_error.callback(store.close)
            engine = store.join(invitation)
            on_error.pop_all()
        return cls(store, invitation.build, engine, complete=False)

    @classmethod
    def open(
        cls,
        location: Location,
        expected: Fingerprint | None = None,
        connection: QdrantConnection = DEFAULT_CONNECTION,
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

    @classmethod
    def finished(
        cls,
        location: Location,
        expected: Fingerprint,
        connection: QdrantConnection = DEFAULT_CONNECTION,
    ) -> Build | None:
        """Return what is recorded about the finished index at `location`; None if it is another.

        An index of several corpora is one of each.

        For who would build it: what a killed build left beside it is removed.

        Args:
            location: as for `open`.
            expected: the checkpoint and corpus it must be made from.
            connection: as for `open`.

        Raises:
            IndexUnavailable: as for `open`.
        """
        try:
            with cls.open(location, None, connection) as index:
                if index.built.holding(expected) is None:
                    return None
                index._store.tidy()
                return index.built
        except IndexNotReady:
            return None

    def upsert(
        self,
        passages: Sequence[Passage],
        embeddings: Sequence[ArrayLike],
        corpora: Sequence[str] | None = None,
    ) -> None:
        """Write passages; one with an id that is there already takes its place.

        What is written when this returns survives the death of the process.

        Args:
            passages: the passages.
            embeddings: for each the unit-norm rows [P, D] of its tokens, without masked ones.
            corpora: for each the name of the corpus that it is of, "" where not known; None for
                the one that is being written.

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
        namespace, learned = self.built.ids_of, self._learned
        corpora = [self.built.written.corpus] * len(rows) if corpora is None else corpora
        for batch in batches(rows):
            points = [point_of(namespace, passages[i], rows[i], learned, corpora[i]) for i in batch]
            self._engine.upsert(points)

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

    @property
    def under_way(self) -> Build | None:
        """What is recorded about a change of this index that is not finished; None without one."""
        return self._store.read().building

    @property
    def learns(self) -> bool:
        """Whether `finish` has use for a learning: the index is large, and has doubled since.

        In a small one means choose candidates well enough. A collection that is searched meanwhile
        keeps what its searches were learned with: `--swap` learns anew.
        """
        learned, in_place = self.built.learned, self.built.base == self.built.place
        if self.complete or (learned is not None and in_place):
            return False
        return is_large(self.count) and (learned is None or self.count >= 2 * learned.passages)

    def finish(
        self,
        *,
        skipped: int = 0,
        kept: int = 0,
        learning: Learning | None = None,
        say: Say = lambda what: None,
    ) -> None:
        """Optimise the index, mark it complete and open it for searching.

        Args:
            skipped: passages of the corpus that was written that are not in it.
            kept: passages in it that are not of that corpus.
            learning: what an index that `learns` learns to choose candidates from; without, it
                chooses as it does.
            say: told how far a server is.

        Raises:
            ValueError: if it does not hold as many passages as that makes.
            IndexUnavailable: if the disk has no room for the optimised copy.
        """
        if self.complete:
            return
        count = self.count
        build = self.built.completed(count, skipped=skipped, kept=kept)
        if count != build.passages:
            raise ValueError(
                f"the index at {self.location} holds {count} of {build.passages} passages"
            )
        if learning is not None and self.learns:
            if build.learned is not None:  # if this is killed half way, means choose
                self._store.begin(self._store.read(), replace(self.built, learned=None))
            learns = learn(self._engine, learning, self.fingerprint.dim, say)
            build = replace(build, learned=learns)
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


def _require_storage(storage: Storage | None) -> None:
    require(storage, Storage, "storage", optional=True, home="retriever.index.passage_index")
