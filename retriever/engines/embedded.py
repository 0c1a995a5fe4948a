"""Qdrant's engine in this process, on a directory (qdrant-edge). Only `graph` imports it besides.

One process writes, any number read a finished build. A finished build never changes: changing an
index works on a copy, which takes its place when it is finished, so that whoever searches goes on
searching, and a killed change leaves the index as it was.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from corpus.progress import Say
from retriever.engines.candidates import is_large
from retriever.engines.directory import (
    DirectoryLock,
    ReaderView,
    allocated_bytes,
    build_command,
    check_files,
    copy_sparse,
    drop_others,
    engine_errors,
    is_vacant,
    lock_for_building,
    next_place,
    read_record,
    require_free,
    shard_files,
    tidy,
    write_record,
)
from retriever.engines.interface import (
    KEYWORDS,
    MEAN,
    PREFIXED,
    TOKENS,
    Conditions,
    Engine,
    Invitation,
    Point,
    Room,
    ScoredPoint,
    Search,
    Stage,
)
from retriever.engines.learned import rooms
from retriever.engines.record import Build, Record, Storage
from retriever.errors import IndexUnavailable

# Bytes written for each number of an embedding: 2 as float16, 5 in the write-ahead log.
_BYTES_PER_ELEMENT = 8
# What the engine may touch beyond that: its log comes in pieces of 32 MiB.
_RESERVE_BYTES = 128 * 2**20
# Between flushes the engine keeps the changes of ids and field indexes in memory: about 700 bytes
# a passage. Flushing this often takes no CPU time that can be measured.
_FLUSH_EVERY = 4_096

# Turbo4 is missing in the engine's type stubs.
_DATATYPES = {
    name: getattr(edge.VectorStorageDatatype, name.capitalize())
    for name in ("float32", "float16", "turbo4")
}


class EmbeddedEngine:
    """An open shard: the one being built, or a view of a finished one.

    Args:
        location: of the index, for messages.
        shard: the engine's.
        storage: how tokens are kept.
        view: what is released at the end; None for the shard being built.
        changes: the directory of a shard that holds more than this build has written; None for
            one that it alone has written, or that is only searched.
    """

    time_limit = None
    writers = 1  # the engine takes one write after another

    def __init__(
        self,
        location: Path,
        shard: edge.EdgeShard,
        storage: Storage,
        view: ReaderView | None = None,
        changes: Path | None = None,
    ) -> None:
        self._location, self._shard, self._storage, self._view = location, shard, storage, view
        self._changes = changes
        self._open = True
        self._unflushed = 0

    def count(self, conditions: Conditions | None = None) -> int:
        """Return the exact number of points."""
        with engine_errors(self._location):
            request = edge.CountRequest(exact=True, filter=_filter(conditions))
            return int(self._shard.count(request))

    def values(self, field: str, most: int) -> list[str]:
        """Return what points have in a keyword field, the commonest first."""
        with engine_errors(self._location):
            found = self._shard.facet(edge.FacetRequest(field, limit=most))
        return [str(hit.value) for hit in found.hits if hit.value]

    def retrieve(
        self, point_ids: Sequence[str], payload: Sequence[str] | None, *, vectors: bool = False
    ) -> list[Point]:
        """Return the points that exist, in any order."""
        with engine_errors(self._location):
            wanted = True if payload is None else list(payload)
            return [Point.of(r) for r in self._shard.retrieve(list(point_ids), wanted, vectors)]

    def scroll(
        self, after: str | None, limit: int, payload: Sequence[str] | None, *, vectors: bool
    ) -> tuple[list[Point], str | None]:
        """Return a page of points in the order of ids, and where the next one begins."""
        with engine_errors(self._location):
            records, following = self._shard.scroll(
                edge.ScrollRequest(
                    offset=after,
                    limit=limit,
                    with_payload=True if payload is None else list(payload),
                    with_vector=vectors,
                )
            )
        return [Point.of(r) for r in records], None if following is None else str(following)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; what is written when this returns survives."""
        self._require_room(points)
        with engine_errors(self._location):
            self._shard.update(
                edge.UpdateOperation.upsert_points(
                    [
                        edge.Point(
                            point.id,
                            {name: v.tolist() for name, v in point.vectors.items()},
                            dict(point.payload),
                        )
                        for point in points
                    ]
                )
            )
            self._wrote(len(points))

    def make_room(self, name: str, room: Room) -> None:
        """Let points have a vector of this name; again does nothing.

        Not to be killed: the engine changes its segments first and what it says of them then, and
        loads nothing that disagrees.
        """
        numbers = _DATATYPES[room.numbers]
        with engine_errors(self._location):
            self._shard.update(
                edge.UpdateOperation.create_dense_vector(
                    name, room.size, edge.Distance.Dot, datatype=numbers
                )
            )

    def set_vectors(self, points: Sequence[Point]) -> None:
        """Write vectors of points that are there; what else they have stays."""
        self._require_room(points)
        vectors = [
            edge.PointVectors(point.id, {n: v.tolist() for n, v in point.vectors.items()})
            for point in points
        ]
        with engine_errors(self._location):
            self._shard.update(edge.UpdateOperation.update_vectors(vectors))
            self._wrote(len(points))

    def delete(self, conditions: Conditions) -> None:
        """Remove points."""
        chosen = _filter(conditions)
        assert chosen is not None, "nobody deletes everything"
        with engine_errors(self._location):
            self._shard.update(edge.UpdateOperation.delete_points_by_filter(chosen))

    def query(self, searches: Sequence[Search]) -> list[list[ScoredPoint]]:
        """Return for each search the points with the highest MaxSim."""
        with engine_errors(self._location):
            found = self._shard.query_batch(
                edge.QueryBatchRequest([self._request(search) for search in searches])
            )
        return [
            [ScoredPoint(str(p.id), p.payload or {}, p.score) for p in points] for points in found
        ]

    def state(self) -> str:
        """Return nothing: a finished build is in order."""
        return ""

    def facts(self) -> dict[str, object]:
        """Return nothing: the record says all there is to say."""
        return {}

    def unfit(self, points: int) -> list[str]:
        """Return nothing: the engine takes any search."""
        return []

    def optimise(self, say: Say = lambda what: None) -> None:
        """Merge segments, drop what was removed, make the quantized copy, where there is any.

        The disk holds both versions meanwhile. What was only written is in order as it is.
        """
        with engine_errors(self._location):
            self._shard.flush()
            if self._changes is None and self._storage.quantization is None:
                return
            place = self._changes or self._location
            require_free(self._location, allocated_bytes(place) + _RESERVE_BYTES)
            self._shard.optimize()
            self._shard.flush()

    def close(self) -> None:
        """End the use; again does nothing."""
        if not self._open:
            return
        self._open = False
        try:
            with engine_errors(self._location):
                self._shard.close()
        finally:
            if self._view is not None:
                self._view.release()

    def _require_room(self, points: Sequence[Point]) -> None:
        elements = sum(v.size for point in points for v in point.vectors.values())
        require_free(self._location, elements * _BYTES_PER_ELEMENT + _RESERVE_BYTES)

    def _wrote(self, points: int) -> None:
        self._unflushed += points
        if self._unflushed >= _FLUSH_EVERY:
            self._shard.flush()
            self._unflushed = 0

    def _request(self, search: Search) -> edge.QueryRequest:
        chosen = _filter(search.conditions)
        return edge.QueryRequest(
            limit=search.limit,
            query=edge.Query.Nearest(search.q_QD.tolist(), using=TOKENS),
            prefetches=[self._prefetch(search.before, chosen)] if search.before else None,
            filter=chosen,
            with_payload=True,
            params=self._params(),
        )

    def _prefetch(self, stage: Stage, chosen: edge.Filter | None) -> edge.Prefetch:
        return edge.Prefetch(
            limit=stage.limit,
            query=edge.Query.Nearest(stage.vector.tolist(), using=stage.using),
            prefetches=[self._prefetch(stage.before, chosen)] if stage.before else None,
            filter=chosen,
            params=self._params(quantized=stage.quantized),
        )

    def _params(self, *, quantized: bool = False) -> edge.SearchParams:
        quantization = None
        if self._storage.quantization is not None:
            quantization = edge.QuantizationSearchParams(ignore=not quantized, rescore=False)
        # An index of before has a graph of its means: they are all compared all the same.
        return edge.SearchParams(exact=True, quantization=quantization)


class DirectoryStore:
    """An index directory. Whoever has a build open goes on with it."""

    moves = False

    def __init__(self, path: Path) -> None:
        self.path, self.location = path, str(path)
        self._lock: DirectoryLock | None = None

    def lock(self) -> None:
        """Become the one process that may change the index; IndexUnavailable if another is."""
        above = (path for path in (self.path, *self.path.parents) if path.is_file())
        if (file := next(above, None)) is not None:
            raise IndexUnavailable(f"{file} is a file, and an index is a directory: name another")
        with engine_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_for_building(self.path)

    def unlock(self) -> None:
        """End that; again does nothing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def close(self) -> None:
        """End the use of the directory."""
        self.unlock()

    def read(self) -> Record:
        """Return the record."""
        return read_record(self.path)

    def vacant(self) -> bool:
        """Return whether the directory is missing or empty; IndexUnavailable if it is another's."""
        with engine_errors(self.path):
            return is_vacant(self.path)

    def new_place(self, build: Build, record: Record) -> str:
        """Return a directory name that no build of the record has."""
        return next_place(record)

    def begin(self, record: Record, build: Build) -> None:
        """Record a build as under way.

        Its place is empty or its own: what a killed build left there would pass for its beginning.
        """
        with engine_errors(self.path):
            require_free(self.path, _RESERVE_BYTES)
            drop_others(self.path, record)
            write_record(self.path, Record(record.finished, build))
            drop_others(self.path, Record(record.finished, build))

    def open_for_writing(self, build: Build) -> Engine:
        """Return the shard that is built. A new one gets its name only when it is complete."""
        with engine_errors(self.path):
            shard = self.path / build.place
            if not shard.exists():
                unnamed = self.path / f"{build.place}.new"
                shutil.rmtree(unnamed, ignore_errors=True)
                if build.base:
                    base = self.path / build.base
                    if not (base / "wal").is_dir():
                        wanted = build.fingerprint
                        anew = build_command(self.path, wanted, build.storage, swap=True)
                        raise IndexUnavailable(
                            f"the index at {self.path} was copied without {build.base}/wal and "
                            f"cannot be changed: build it anew with {anew}"
                        )
                    require_free(self.path, allocated_bytes(base) + _RESERVE_BYTES)
                    shutil.copytree(base, unnamed, copy_function=copy_sparse)
                else:
                    unnamed.mkdir()
                    _create(unnamed, build)
                self._written(unnamed, build).close()
                unnamed.rename(shard)
            return self._written(shard, build)

    def _written(self, shard: Path, build: Build) -> EmbeddedEngine:
        changes = shard if build.base else None
        loaded = edge.EdgeShard.load(str(shard))
        engine = EmbeddedEngine(self.path, loaded, build.storage, changes=changes)
        if is_large(engine.count() + build.written.passages):
            for name, room in rooms(build.fingerprint.dim, build.learned).items():
                engine.make_room(name, room)
        return engine

    def invitation(self, build: Build) -> None:
        """Return nothing: one process writes a directory."""

    def join(self, invitation: Invitation) -> Engine:
        """Not for a directory, which invites nobody."""
        raise ValueError(f"one process writes the index at {self.path}")

    def open_for_search(self, build: Build) -> Engine:
        """Return a view of a finished build.

        A build killed when it was all but finished leaves the one it replaces, and nothing to do
        for the next: so whoever opens the index removes that. Others that search it have views.
        """
        with engine_errors(self.path):
            if self._lock is None:
                self.tidy()
            check_files(self.path, build)
            view = ReaderView.create(self.path, build.place, build.files)
            try:
                shard = edge.EdgeShard.load(str(view.path))
            except BaseException:
                view.release()
                raise
            return EmbeddedEngine(self.path, shard, build.storage, view)

    def tidy(self) -> None:
        """Remove what a killed build left behind, unless a process is building."""
        with engine_errors(self.path):
            tidy(self.path)

    def finish(self, build: Build, engine: Engine) -> Build:
        """Close the engine, make the build the finished one, and drop what it replaces."""
        with engine_errors(self.path):
            engine.close()
            shard = self.path / build.place
            done = replace(build, base="", files=shard_files(shard))
            write_record(self.path, Record(finished=done))
            # The write-ahead log stays: without its numbers, the engine ignores later changes.
            drop_others(self.path, Record(finished=done))
            return done


def _create(shard: Path, build: Build) -> None:
    """Make an empty shard with the schema of a build."""
    new = edge.EdgeShard.create(str(shard), _schema(build.fingerprint.dim, build.storage))
    for name in KEYWORDS:
        new.update(edge.UpdateOperation.create_field_index(name, edge.KeywordIndexParams()))
    prefixed = edge.KeywordIndexParams(prefix=True)
    new.update(edge.UpdateOperation.create_field_index(PREFIXED, prefixed))
    new.close()


def _schema(dim: int, storage: Storage) -> edge.EdgeConfig:
    quantization: Any = None
    if storage.quantization == "scalar":
        quantization = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, quantile=0.99)
    elif storage.quantization == "binary":
        quantization = edge.BinaryQuantizationConfig()
    tokens = edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Dot,
        multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
        datatype=_DATATYPES[storage.tokens],
        quantization_config=quantization,
    )
    # Cosine, as the dot product with means lost recall@10.
    mean = edge.EdgeVectorParams(size=dim, distance=edge.Distance.Cosine)
    # All vectors are compared, those that get room later too: docs/measured/candidates.md.
    no_graph = edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000)
    # Segments are written anew for graphs and for quantized copies, unless the threshold is 0.
    asked = edge.EdgeOptimizersConfig(indexing_threshold=0 if quantization is None else None)
    return edge.EdgeConfig({TOKENS: tokens, MEAN: mean}, hnsw_config=no_graph, optimizers=asked)


def _filter(conditions: Conditions | None) -> edge.Filter | None:
    if conditions is None:
        return None
    must: list[Any] = [
        edge.FieldCondition(key=name, match=edge.MatchAny(list(values)))
        for name, values in conditions.any_of.items()
    ]
    must += [
        edge.FieldCondition(key=name, match=edge.MatchPrefix(prefix))
        for name, prefix in conditions.prefix.items()
    ]
    if conditions.point_ids is not None:
        must.append(edge.HasIdCondition(set(conditions.point_ids)))
    return edge.Filter(must=must)
