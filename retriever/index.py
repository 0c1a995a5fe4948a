"""The passage index: token embeddings of passages in Qdrant multivectors, searched by MaxSim.

The engine (qdrant-edge) runs in this process on a directory. A search takes two stages: the
passages whose mean row is nearest to the mean of the query rows, then MaxSim on those; the exact
mode scores every passage. One process builds an index; any number read a finished one.

Shapes: Q query tokens · P passage tokens · D embedding dim
"""

import contextlib
import os
import shutil
import uuid
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, Self

import numpy as np
import qdrant_edge
from numpy.typing import ArrayLike, NDArray

from corpus.types import Hit, Passage
from retriever.embeddings import batches, unit_rows
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index_directory import (
    SHARD,
    DirectoryLock,
    Fingerprint,
    ReaderView,
    Record,
    allocated_bytes,
    build_command,
    check_files,
    disk_full,
    is_vacant,
    lock_for_building,
    read_record,
    require_free,
    require_same,
    shard_files,
    write_record,
)

__all__ = ["Fingerprint", "PassageIndex", "SearchMode"]

SearchMode = Literal["two-stage", "exact"]

_HNSW_EF = 1024
_SCROLL = 1_000
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "kbvqa:passage")

# Bytes written for each number of an embedding: 2 as float16, 5 in the write-ahead log.
_BYTES_PER_ELEMENT = 8
# What the engine may touch beyond that: its log comes in pieces of 32 MiB.
_RESERVE_BYTES = 128 * 2**20


class PassageIndex:
    """An index on disk, open for building or for searching.

        with PassageIndex.create_or_resume(location, fingerprint) as index:
            index.upsert(passages, embeddings)
            index.finish()
        with PassageIndex.open(location, fingerprint) as index:
            hits = index.search(q_QD, top_k=5)

    Threads may share one: the engine answers one query at a time, as it holds the GIL.
    """

    def __init__(
        self,
        location: Path,
        record: Record,
        shard: qdrant_edge.EdgeShard,
        hold: DirectoryLock | ReaderView,
    ) -> None:
        """Not for callers: use `create`, `create_or_resume` or `open`."""
        self._location, self._record = location, record
        self._attach(shard, hold)

    @classmethod
    def create(cls, location: Path, fingerprint: Fingerprint) -> Self:
        """Return a new, empty index, open for building.

        Raises:
            IndexUnavailable: if `location` is not an empty directory, or the disk is full.
        """
        if location.exists() and not is_vacant(location):
            raise IndexUnavailable(f"{location} is not empty: choose another directory")
        return cls.create_or_resume(location, fingerprint)

    @classmethod
    def create_or_resume(cls, location: Path, fingerprint: Fingerprint) -> Self:
        """Return the index at `location`, open for building: a new one, or an unfinished one.

        Nothing that `upsert` returned from is lost when a build is killed: ask `passage_ids` what
        is there. A finished index comes back open for searching, with `complete` set.

        Raises:
            IndexNotReady: if there is an index of another checkpoint or corpus.
            IndexUnavailable: if another process is building it, the directory holds something
                else, or the disk is full.
        """
        with _engine_errors(location), contextlib.ExitStack() as on_error:
            location.mkdir(parents=True, exist_ok=True)
            lock = lock_for_building(location)
            on_error.callback(lock.release)
            if is_vacant(location):
                require_free(location, _RESERVE_BYTES)
                write_record(location, Record(fingerprint))
            record = read_record(location)
            require_same(location, record, fingerprint)
            if not record.complete:
                shard = _load_or_create_shard(location, fingerprint.dim)
                on_error.pop_all()
                return cls(location, record, shard, lock)
        return cls.open(location, fingerprint)

    @classmethod
    def open(cls, location: Path, expected: Fingerprint | None = None) -> Self:
        """Return the finished index at `location`, open for searching.

        Args:
            location: the directory of the index.
            expected: the checkpoint and corpus it must be made from; None takes any.

        Raises:
            IndexNotReady: if it is missing, unfinished, or made from something else.
            IndexUnavailable: if it is damaged.
        """
        record = read_record(location)
        if expected is not None:
            require_same(location, record, expected)
        if not record.complete:
            raise IndexNotReady(
                f"the index at {location} is not finished: run {build_command(location)}, "
                "which goes on where it stopped"
            )
        return cls(location, record, *_load_view(location, record))

    def close(self) -> None:
        """End the use of the index; again does nothing."""
        with _engine_errors(self._location):
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def fingerprint(self) -> Fingerprint:
        """What the index is made from."""
        return self._record.fingerprint

    @property
    def complete(self) -> bool:
        """Whether it is finished. A finished index takes no more passages."""
        return self._record.complete

    @property
    def count(self) -> int:
        """The number of passages in it now."""
        with self._engine() as shard:
            return int(shard.count(qdrant_edge.CountRequest(exact=True)))

    def passage_ids(self) -> set[str]:
        """Return the ids of the passages in it, so that a build can go on where it stopped."""
        ids: set[str] = set()
        offset = None
        with self._engine() as shard:
            while True:
                records, offset = shard.scroll(
                    qdrant_edge.ScrollRequest(offset=offset, limit=_SCROLL, with_payload=["id"])
                )
                ids.update((record.payload or {})["id"] for record in records)
                if offset is None:
                    return ids

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Return the passages with these ids, in this order.

        Raises:
            ValueError: if one is not in the index.
        """
        ids = list(ids)
        with self._engine() as shard:
            records = shard.retrieve([self._point_id(id) for id in ids], True, False)
        found = {passage.id: passage for passage in map(_passage, records)}
        if missing := [id for id in ids if id not in found]:
            raise ValueError(f"no passage {missing[0]!r} in the index at {self._location}")
        return [found[id] for id in ids]

    def upsert(self, passages: Sequence[Passage], embeddings: Sequence[ArrayLike]) -> None:
        """Write passages; one with an id that is there already takes its place.

        What is written when this returns survives the death of the process.

        Args:
            passages: the passages.
            embeddings: for each the unit-norm rows [P, D] of its tokens, without masked ones.

        Raises:
            ValueError: if an embedding is not such a matrix (nothing is written then), or the
                index is finished.
            IndexUnavailable: if the disk is full.
        """
        if self.complete:
            raise ValueError(f"the index at {self._location} is finished and cannot be changed")
        if len(passages) != len(embeddings):
            raise ValueError(f"{len(passages)} passages and {len(embeddings)} embeddings")
        rows = [
            unit_rows(embedding, self.fingerprint.dim, f"passage {passage.id!r}")
            for passage, embedding in zip(passages, embeddings, strict=True)
        ]
        with self._engine() as shard:
            for batch in batches(rows):
                elements = sum(rows[i].size for i in batch)
                require_free(self._location, elements * _BYTES_PER_ELEMENT + _RESERVE_BYTES)
                points = [self._point(passages[i], rows[i]) for i in batch]
                shard.update(qdrant_edge.UpdateOperation.upsert_points(points))

    def finish(self) -> None:
        """Optimise the index, mark it complete and open it for searching.

        Raises:
            ValueError: if it does not hold as many passages as its fingerprint says.
            IndexUnavailable: if the disk has no room for the optimised copy.
        """
        if self.complete:
            return
        if (count := self.count) != self.fingerprint.passages:
            raise ValueError(
                f"the index at {self._location} holds {count} of "
                f"{self.fingerprint.passages} passages"
            )
        with self._engine() as shard:
            shard.flush()
            require_free(self._location, allocated_bytes(self._location / SHARD) + _RESERVE_BYTES)
            shard.optimize()
            shard.flush()
            shard.close()
            self._record = Record(self.fingerprint, True, shard_files(self._location))
            write_record(self._location, self._record)
            # The log is of no use once every passage is in the segments.
            shutil.rmtree(self._location / SHARD / "wal", ignore_errors=True)
        self.close()
        self._attach(*_load_view(self._location, self._record))

    def search(
        self, q_QD: ArrayLike, top_k: int, mode: SearchMode = "two-stage", candidates: int = 200
    ) -> list[Hit]:
        """Return the passages with the highest MaxSim, best first, equal scores by passage id.

        Fewer than `top_k` come back only from an index that has fewer.

        Args:
            q_QD: the query embedding. All-zero rows are dropped.
            top_k: how many hits.
            mode: "two-stage", or "exact" to score every passage.
            candidates: how many passages the first stage hands to the second. It is raised to
                `top_k`, so that below that `top_k` does not change which passages come first.

        Raises:
            ValueError: if `q_QD` is not a matrix of finite unit-norm rows [Q, D], or a number is
                not positive.
        """
        if mode not in ("two-stage", "exact"):
            raise ValueError(f"mode must be 'two-stage' or 'exact', got {mode!r}")
        if top_k < 1 or candidates < 1:
            raise ValueError(f"top_k and candidates must be >= 1, got {top_k} and {candidates}")
        q = np.asarray(q_QD, dtype=np.float32)
        if q.ndim == 2:
            q = q[(q != 0).any(axis=1)]
        q = unit_rows(q, self.fingerprint.dim, "the query")
        prefetches = None if mode == "exact" else [_nearest_means(q, max(candidates, top_k))]
        limit = top_k + 1
        while True:
            request = qdrant_edge.QueryRequest(
                limit=limit,
                query=qdrant_edge.Query.Nearest(q.tolist(), using="tokens"),
                prefetches=prefetches,
                with_payload=True,
                params=qdrant_edge.SearchParams(exact=True),
            )
            with self._engine() as shard:
                points = shard.query(request)
            # Equal scores at the cut come in any order: ask until the next score is lower.
            if len(points) < limit or points[-1].score < points[top_k - 1].score:
                break
            limit *= 2
        hits = [Hit(_passage(point), point.score) for point in points]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))[:top_k]

    def _attach(self, shard: qdrant_edge.EdgeShard, hold: DirectoryLock | ReaderView) -> None:
        self._shard = shard
        # Also runs at the exit of the interpreter, and when an index is dropped unclosed.
        self._finalizer = weakref.finalize(self, _release, shard, hold, os.getpid())

    @contextlib.contextmanager
    def _engine(self) -> Iterator[qdrant_edge.EdgeShard]:
        if not self._finalizer.alive:
            raise ValueError(f"the index at {self._location} is closed")
        with _engine_errors(self._location):
            yield self._shard

    def _point_id(self, passage_id: str) -> str:
        """Return the same id for the same passage of the same corpus, every time."""
        corpus = uuid.uuid5(_NAMESPACE, self.fingerprint.corpus)
        return str(uuid.uuid5(corpus, passage_id))

    def _point(self, passage: Passage, p_PD: NDArray[np.float32]) -> qdrant_edge.Point:
        vectors = {"tokens": p_PD.tolist(), "mean": p_PD.mean(axis=0).tolist()}
        return qdrant_edge.Point(self._point_id(passage.id), vectors, asdict(passage))


def _passage(point: qdrant_edge.Record | qdrant_edge.ScoredPoint) -> Passage:
    return Passage(**(point.payload or {}))


def _release(shard: qdrant_edge.EdgeShard, hold: DirectoryLock | ReaderView, owner: int) -> None:
    if os.getpid() != owner:  # a fork: the index is the parent's
        return
    try:
        shard.close()
    finally:
        hold.release()


def _load_or_create_shard(location: Path, dim: int) -> qdrant_edge.EdgeShard:
    """Return the shard that is built. A new one gets its name only when it can be loaded."""
    shard = location / SHARD
    if not shard.exists():
        unnamed = location / f"{SHARD}.new"
        shutil.rmtree(unnamed, ignore_errors=True)
        unnamed.mkdir()
        qdrant_edge.EdgeShard.create(str(unnamed), _schema(dim)).close()
        unnamed.rename(shard)
    return qdrant_edge.EdgeShard.load(str(shard))


def _schema(dim: int) -> qdrant_edge.EdgeConfig:
    tokens = qdrant_edge.EdgeVectorParams(
        size=dim,
        distance=qdrant_edge.Distance.Dot,
        multivector_config=qdrant_edge.MultiVectorConfig(qdrant_edge.MultiVectorComparator.MaxSim),
        datatype=qdrant_edge.VectorStorageDatatype.Float16,
        # m=0 is no HNSW: on token vectors it took 48 CPU-seconds for 250 passages.
        hnsw_config=qdrant_edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10),
    )
    # Cosine, as the dot product with means lost recall@10: 0.81 instead of 0.99.
    mean = qdrant_edge.EdgeVectorParams(size=dim, distance=qdrant_edge.Distance.Cosine)
    return qdrant_edge.EdgeConfig(vectors={"tokens": tokens, "mean": mean})


def _load_view(location: Path, record: Record) -> tuple[qdrant_edge.EdgeShard, ReaderView]:
    with _engine_errors(location):
        check_files(location, record)
        view = ReaderView.create(location, record)
        try:
            return qdrant_edge.EdgeShard.load(str(view.path)), view
        except BaseException:
            view.release()
            raise


def _nearest_means(q_QD: NDArray[np.float32], limit: int) -> qdrant_edge.Prefetch:
    return qdrant_edge.Prefetch(
        limit=limit,
        query=qdrant_edge.Query.Nearest(q_QD.mean(axis=0).tolist(), using="mean"),
        params=qdrant_edge.SearchParams(hnsw_ef=max(_HNSW_EF, limit)),
    )


@contextlib.contextmanager
def _engine_errors(location: Path) -> Iterator[None]:
    """Raise IndexUnavailable for what the engine, or the disk below it, raises.

    The engine raises bare `Exception`, or pyo3's PanicException, which is no Exception at all.
    """
    try:
        yield
    except BaseException as exc:
        panic = type(exc).__name__ == "PanicException"
        if not (panic or isinstance(exc, OSError) or type(exc) is Exception):
            raise
        if "No space left" in str(exc):
            raise IndexUnavailable(disk_full(location)) from exc
        advice = (
            ""
            if isinstance(exc, OSError)
            else (f". If it stays so, remove {location} and run {build_command(location)}")
        )
        raise IndexUnavailable(
            f"the index at {location} cannot be used: {'damaged, ' * panic}{exc}{advice}"
        ) from exc
