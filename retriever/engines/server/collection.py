"""One collection on a Qdrant server: its points, read, written, searched and optimised."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from qdrant_client import QdrantClient, models

from corpus.progress import Say
from retriever.engines.connection import QdrantConnection
from retriever.engines.deadline import seconds_left
from retriever.engines.interface import (
    KEYWORDS,
    PREFIXED,
    TOKENS,
    Conditions,
    Point,
    Room,
    ScoredPoint,
    Search,
    Stage,
)
from retriever.engines.record import Storage
from retriever.engines.server.faults import kind_of
from retriever.engines.server.messages import upsert_message, vectors_message
from retriever.engines.server.retry import Caller
from retriever.engines.server.strict import Limits, least
from retriever.errors import IndexNotReady, IndexUnavailable

# Writes under way at once: docs/measured/index-growth.md.
_WRITERS = 4
_POLL_SECONDS = 0.2
# An optimiser that stands still is woken so often, in the first waits of a connection.
_WAKE_RETRIES = 10
_RED_WAKES = 3


@dataclass(frozen=True, slots=True)
class Shards:
    """How a collection is spread over a cluster.

    Attributes:
        parts: into how many it is cut.
        here: how many of them have a copy on the node that was asked.
        replicas: copies of the part that has the fewest.
    """

    parts: int
    here: int
    replicas: int


class ServerEngine:
    """A collection, open for writing or for searching.

    Attributes:
        time_limit: seconds that a request may take.
        writers: how many threads may write at once.
    """

    writers = _WRITERS

    def __init__(
        self,
        clients: tuple[QdrantClient, QdrantClient],
        call: Caller,
        connection: QdrantConnection,
        collection: str,
        storage: Storage,
        before_write: Callable[[], None],
    ) -> None:
        (self._rest, self._grpc), self._call = clients, call
        self._connection, self._before_write = connection, before_write
        self._collection, self._storage = collection, storage
        info = call(lambda: self._rest.get_collection(collection))
        self._limits = Limits.of(info.config.strict_mode_config)
        self.time_limit = least(connection.timeout_seconds, self._limits.timeout_seconds)

    def count(self, conditions: Conditions | None = None) -> int:
        """Return the exact number of points."""
        count = partial(self._rest.count, self._collection, exact=True, timeout=self.time_limit)
        parts = [_filter(part) for part in self._parts(conditions)]
        return sum(self._call(partial(count, count_filter=chosen)).count for chosen in parts)

    def values(self, field: str, most: int) -> list[str]:
        """Return what points have in a keyword field, the commonest first."""
        most = least(most, self._limits.points)
        ask = partial(self._rest.facet, self._collection, field, limit=most)
        found = self._call(partial(ask, timeout=self.time_limit))
        return [str(hit.value) for hit in found.hits if hit.value]

    def retrieve(
        self, point_ids: Sequence[str], payload: Sequence[str] | None, *, vectors: bool = False
    ) -> list[Point]:
        """Return the points that exist, in any order."""
        client = self._grpc if vectors else self._rest
        records = self._call(
            lambda: client.retrieve(
                self._collection,
                list(point_ids),
                with_payload=True if payload is None else list(payload),
                with_vectors=vectors,
                timeout=self._seconds(),
            )
        )
        return [Point.of(record) for record in records]

    def scroll(
        self, after: str | None, limit: int, payload: Sequence[str] | None, *, vectors: bool
    ) -> tuple[list[Point], str | None]:
        """Return a page of points in the order of ids, and where the next one begins."""
        client = self._grpc if vectors else self._rest
        records, following = self._call(
            lambda: client.scroll(
                self._collection,
                offset=after,
                limit=least(limit, self._limits.points),
                with_payload=True if payload is None else list(payload),
                with_vectors=vectors,
                timeout=self._seconds(),
            )
        )
        return [Point.of(r) for r in records], None if following is None else str(following)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; what is written when this returns survives."""
        for batch in _cut(points, self._limits.written):
            message = upsert_message(self._collection, batch, self.time_limit)
            send = partial(self._grpc.grpc_points.Upsert, message)
            self._write(partial(send, timeout=self._connection.timeout_seconds))

    def make_room(self, name: str, room: Room) -> None:
        """Let points have a vector of this name; again does nothing."""
        info = self._call(lambda: self._rest.get_collection(self._collection))
        there = info.config.params.vectors
        if isinstance(there, dict) and name in there:
            return
        dense = models.DenseVectorConfig(
            size=room.size,
            distance=models.Distance.DOT,
            datatype=models.VectorStorageDatatype(room.numbers),
        )
        new = models.DenseVectorNameConfig(dense=dense)
        create = partial(self._rest.create_vector_name, self._collection, name, new)
        self._write(partial(create, timeout=self.time_limit))

    def set_vectors(self, points: Sequence[Point]) -> None:
        """Write vectors of points that are there; what else they have stays."""
        for batch in _cut(points, self._limits.written):
            message = vectors_message(self._collection, batch, self.time_limit)
            send = partial(self._grpc.grpc_points.UpdateVectors, message)
            self._write(partial(send, timeout=self._connection.timeout_seconds))

    def delete(self, conditions: Conditions) -> None:
        """Remove points."""
        for part in self._parts(conditions):
            chosen = _filter(part)
            assert chosen is not None, "nobody deletes everything"
            selector = models.FilterSelector(filter=chosen)
            delete = partial(self._rest.delete, self._collection, selector, wait=True)
            self._write(partial(delete, timeout=self.time_limit))

    def query(self, searches: Sequence[Search]) -> list[list[ScoredPoint]]:
        """Return for each search the points with the highest MaxSim."""
        for search in searches:
            if problems := self._limits.unfit(_widest(search)):
                raise IndexUnavailable(
                    f"strict mode of the collection {self._collection!r} refuses this search: "
                    f"{'; '.join(problems)}. docs/guide/qdrant.md says which values fit"
                )
        parts = [
            [self._request(replace(search, conditions=c)) for c in self._parts(search.conditions)]
            for search in searches
        ]
        answers: list[models.QueryResponse] = []
        for batch in _cut([request for part in parts for request in part], self._limits.searches):
            answers += self._call(partial(self._found, batch))
        found = iter(answers)
        return [
            _merged([next(found) for _ in part], search.limit)
            for part, search in zip(parts, searches, strict=True)
        ]

    def _found(self, batch: Sequence[models.QueryRequest]) -> list[models.QueryResponse]:
        """Return the answers to a batch; ValueError if they are not whole."""
        ask = self._rest.query_batch_points
        answers: list[models.QueryResponse] = ask(self._collection, batch, timeout=self._seconds())
        # What somebody else wrote may have none; where nothing has one, none were sent.
        found = [answer.points for answer in answers if answer.points]
        payloads = all(any(point.payload for point in points) for points in found)
        if len(answers) != len(batch) or not payloads:
            raise ValueError(f"{len(answers)} answers to {len(batch)} searches, or no payloads")
        return answers

    def state(self) -> str:
        """Return what is not in order with the collection as the server keeps it; "" if all is."""
        info = self._call(lambda: self._rest.get_collection(self._collection))
        status, trouble = _status(info)
        if status == models.CollectionStatus.GREEN:
            return ""
        return (
            f"the collection {self._collection} is not optimised ({status.value}"
            f"{': ' * bool(trouble)}{trouble}; {info.segments_count} segments): searches find the "
            "same, and take longer. `kbvqa index optimise` wakes the server and waits for it"
        )

    def facts(self) -> dict[str, object]:
        """Return how the server keeps the collection: status, segments, shards and replicas."""
        info = self._call(lambda: self._rest.get_collection(self._collection))
        asked = info.config.params.replication_factor or 1
        facts: dict[str, object] = {"status": info.status.value, "segments": info.segments_count}
        with contextlib.suppress(IndexNotReady):  # a proxy that does not pass it on
            shards = self.shards()
            made = f"{shards.replicas}" + f" of {asked} asked for" * (shards.replicas < asked)
            facts |= {"shards": shards.parts, "replicas": made}
        return facts

    def shards(self) -> Shards:
        """Return how the collection is spread over the cluster."""
        info = self._call(lambda: self._rest.collection_cluster_info(self._collection))
        here = {shard.shard_id for shard in info.local_shards}
        copies = [shard.shard_id for shard in (*info.local_shards, *info.remote_shards)]
        fewest = min((copies.count(shard) for shard in set(copies)), default=0)
        return Shards(info.shard_count, len(here), fewest)

    def unfit(self, points: int) -> list[str]:
        """Return what in strict mode refuses searches whose widest step takes so many points."""
        return self._limits.unfit(points)

    def index_fields(self) -> None:
        """Index the payload fields that a filter may name; again does nothing."""
        for field in (*KEYWORDS, PREFIXED):
            schema = models.KeywordIndexParams(
                type=models.KeywordIndexType.KEYWORD, prefix=True if field == PREFIXED else None
            )
            create = partial(self._rest.create_payload_index, self._collection, field, schema)
            self._write(partial(create, wait=True, timeout=self.time_limit))

    def reach(self) -> None:
        """Raise IndexUnavailable where vectors cannot be read, as the gRPC port is another."""
        self._call(lambda: self._grpc.scroll(self._collection, limit=1, with_vectors=True))

    def optimise(self, say: Say = lambda what: None) -> None:
        """Wait until the server has merged segments, as it does by itself.

        After a restart it waits for a write before it goes on ("grey"), and so it does when its
        disk was too full ("red"): an empty change of its settings wakes it.

        Args:
            say: told how far it is.

        Raises:
            IndexUnavailable: it cannot, or nothing has moved for `work_seconds`.
        """
        connection = self._connection
        seen: tuple[object, ...] = ()
        moved = time.monotonic()
        woken, red = 0.0, 0
        while True:
            info = self._call(lambda: self._rest.get_collection(self._collection))
            status, trouble = _status(info)
            if status == models.CollectionStatus.GREEN:
                return
            now = time.monotonic()
            look = (status, info.segments_count, info.indexed_vectors_count)
            if look != seen:
                seen, moved = look, now
                say(
                    f"Optimising: {status.value}, {info.segments_count} segments, "
                    f"{info.indexed_vectors_count or 0:,} vectors indexed"
                )
            if now - moved > connection.work_seconds:
                raise IndexUnavailable(
                    f"the server's optimiser of {self._collection} ({status.value}) has made no "
                    f"progress for {connection.work_seconds} seconds (KBVQA_QDRANT_WORK_SECONDS). "
                    "What is written is kept: the same command goes on waiting"
                )
            asleep = status in (models.CollectionStatus.GREY, models.CollectionStatus.RED)
            if asleep and now - woken > _WAKE_RETRIES * connection.retry_seconds:
                red += status == models.CollectionStatus.RED
                if red > _RED_WAKES:
                    raise IndexUnavailable(_cannot_optimise(self._collection, trouble))
                self._wake()
                woken = now
            time.sleep(min(_POLL_SECONDS, connection.retry_seconds))

    def close(self) -> None:
        """The store closes the clients: they are shared."""

    def _wake(self) -> None:
        nothing = models.OptimizersConfigDiff()
        self._write(
            lambda: self._rest.update_collection(
                self._collection, optimizers_config=nothing, timeout=self.time_limit
            )
        )

    def _write(self, function: Callable[[], object]) -> None:
        def write() -> None:
            self._before_write()
            function()

        self._call(write)

    def _seconds(self) -> int:
        """Return how many seconds a read may take: whole ones, no more than its answer is of use.

        The server is told, and gRPC, which hears of no other end, holds to it.
        """
        wanted = min(seconds_left(), self.time_limit)
        return max(1, math.ceil(wanted))

    def _parts(self, conditions: Conditions | None) -> Iterator[Conditions | None]:
        """Yield conditions with no more ids each than strict mode lets a condition have."""
        if conditions is None or conditions.point_ids is None:
            yield conditions
            return
        for ids in _cut(conditions.point_ids, self._limits.condition) or [()]:
            yield replace(conditions, point_ids=ids)

    def _request(self, search: Search) -> models.QueryRequest:
        chosen = _filter(search.conditions)
        return models.QueryRequest(
            query=search.q_QD.tolist(),
            using=TOKENS,
            prefetch=self._prefetch(search.before, chosen) if search.before else None,
            filter=chosen,
            limit=search.limit,
            with_payload=True,
            params=self._params(),
        )

    def _prefetch(self, stage: Stage, chosen: models.Filter | None) -> models.Prefetch:
        return models.Prefetch(
            query=stage.vector.tolist(),
            using=stage.using,
            limit=stage.limit,
            prefetch=self._prefetch(stage.before, chosen) if stage.before else None,
            filter=chosen,
            params=self._params(quantized=stage.quantized),
        )

    def _params(self, *, quantized: bool = False) -> models.SearchParams:
        quantization = None
        if self._storage.quantization is not None:
            quantization = models.QuantizationSearchParams(ignore=not quantized, rescore=False)
        # A collection of before has a graph of its means: they are all compared all the same.
        return models.SearchParams(exact=True, quantization=quantization)


def _status(info: models.CollectionInfo) -> tuple[models.CollectionStatus, str]:
    """Return the status of a collection, and what its optimiser complains of."""
    error = getattr(info.optimizer_status, "error", None)
    return info.status, str(error or "")


def _cannot_optimise(collection: str, trouble: str) -> str:
    if kind_of(500, trouble) == "full":
        return (
            f"the server has no room on its disk to optimise {collection}: {trouble}. Make room "
            "and run the same command again: what is written is kept"
        )
    reason = trouble or "it gives no reason; its log does, and a full disk is the usual one"
    return (
        f"the server cannot optimise {collection} (red): {reason}. What is written is kept: run "
        "the same command again when that is mended"
    )


def _widest(search: Search) -> int:
    """Return the most points that a step of a search takes."""
    widest, stage = search.limit, search.before
    while stage is not None:
        widest, stage = max(widest, stage.limit), stage.before
    return widest


def _merged(answers: Sequence[models.QueryResponse], limit: int) -> list[ScoredPoint]:
    """Return the best points of one search that was asked in parts."""
    points = [
        ScoredPoint(str(p.id), p.payload or {}, p.score)
        for answer in answers
        for p in answer.points
    ]
    if len(answers) > 1:
        points.sort(key=lambda point: -point.score)
    return points[:limit]


def _cut(items: Sequence[Any], size: int | None) -> list[Sequence[Any]]:
    """Return items in runs of at most a size; None for one run of them all."""
    if size is None:
        return [items]
    return [items[start : start + size] for start in range(0, len(items), size)]


def _filter(conditions: Conditions | None) -> models.Filter | None:
    if conditions is None:
        return None
    must: list[Any] = [
        models.FieldCondition(key=name, match=models.MatchAny(any=list(values)))
        for name, values in conditions.any_of.items()
    ]
    must += [
        models.FieldCondition(key=name, match=models.MatchPrefix(prefix=prefix))
        for name, prefix in conditions.prefix.items()
    ]
    if conditions.point_ids is not None:
        must.append(models.HasIdCondition(has_id=list(conditions.point_ids)))
    return models.Filter(must=must)
