"""A collection on a Qdrant server or cluster. The only file that imports Qdrant's client.

    http://host:6333/NAME     NAME is an alias; the collections behind it are NAME-1, NAME-2, ...

Vectors travel by gRPC (a fifth of the bytes of JSON), everything else by REST. Requests that can
be repeated are, while the server is away or busy: all of them can, as a point has one id.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from retriever.engines.interface import (
    KEYWORDS,
    MEAN,
    PREFIXED,
    TOKENS,
    Conditions,
    Engine,
    Point,
    Scored,
    Search,
    Stage,
)
from retriever.engines.retry import Caller, Failure
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index_directory import build_command
from retriever.index_record import (
    SCHEMA_VERSION,
    Build,
    Record,
    Storage,
    record_from_json,
    record_to_json,
)
from retriever.index_settings import Cluster, Connection

_HNSW_EF = 1024
_METADATA = "kbvqa"
_POLL_SECONDS = 0.2
_DEFAULT_PORT = 6333

_FAILURES = (
    ResourceExhaustedResponse,
    ResponseHandlingException,
    UnexpectedResponse,
    grpc.RpcError,
)
# What a status means, REST and gRPC alike; any other is a refusal.
_KINDS: dict[object, Any] = {
    **dict.fromkeys((401, 403, grpc.StatusCode.UNAUTHENTICATED), "key"),
    grpc.StatusCode.PERMISSION_DENIED: "key",
    **dict.fromkeys((404, grpc.StatusCode.NOT_FOUND), "missing"),
    **dict.fromkeys((408, 504, grpc.StatusCode.DEADLINE_EXCEEDED), "slow"),
    **dict.fromkeys((429, 502, 503, grpc.StatusCode.UNAVAILABLE), "away"),
    **dict.fromkeys((grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED), "away"),
}


def connect(base: str, connection: Connection) -> tuple[QdrantClient, QdrantClient]:
    """Return a client that speaks REST and one that speaks gRPC. Neither connects yet."""
    port = urlsplit(base).port or (443 if base.startswith("https") else _DEFAULT_PORT)
    common: dict[str, Any] = {
        "url": base,
        "port": port,
        "grpc_port": connection.grpc_port or port + 1,
        "api_key": connection.api_key,
        "timeout": connection.timeout_seconds,
        "check_compatibility": False,
    }
    with warnings.catch_warnings():
        # A key without TLS is right within one machine or one Compose network.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(**common), QdrantClient(**common, prefer_grpc=True)


class ServerEngine:
    """A collection, open for writing or for searching."""

    def __init__(
        self,
        clients: tuple[QdrantClient, QdrantClient],
        call: Caller,
        collection: str,
        storage: Storage,
    ) -> None:
        (self._rest, self._grpc), self._call = clients, call
        self._collection, self._storage = collection, storage

    def count(self, conditions: Conditions | None = None) -> int:
        """Return the exact number of points."""
        chosen = _filter(conditions)
        found = self._call(
            lambda: self._rest.count(self._collection, count_filter=chosen, exact=True)
        )
        return int(found.count)

    def retrieve(self, point_ids: Sequence[str], payload: Sequence[str] | None) -> list[Point]:
        """Return the points that exist, in any order, without vectors."""
        wanted = True if payload is None else list(payload)
        records = self._call(
            lambda: self._rest.retrieve(self._collection, list(point_ids), with_payload=wanted)
        )
        return [_point(record) for record in records]

    def scroll(
        self, after: str | None, limit: int, payload: Sequence[str] | None, *, vectors: bool
    ) -> tuple[list[Point], str | None]:
        """Return a page of points in the order of ids, and where the next one begins."""
        client = self._grpc if vectors else self._rest
        records, following = self._call(
            lambda: client.scroll(
                self._collection,
                offset=after,
                limit=limit,
                with_payload=True if payload is None else list(payload),
                with_vectors=vectors,
            )
        )
        return [_point(r) for r in records], None if following is None else str(following)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; what is written when this returns survives."""
        structs = [
            models.PointStruct(
                id=point.id,
                vector={name: v.tolist() for name, v in point.vectors.items()},
                payload=dict(point.payload),
            )
            for point in points
        ]
        self._call(lambda: self._grpc.upsert(self._collection, structs, wait=True))

    def delete(self, conditions: Conditions) -> None:
        """Remove points."""
        chosen = _filter(conditions)
        assert chosen is not None, "nobody deletes everything"
        selector = models.FilterSelector(filter=chosen)
        self._call(lambda: self._rest.delete(self._collection, selector, wait=True))

    def query(self, searches: Sequence[Search]) -> list[list[Scored]]:
        """Return for each search the points with the highest MaxSim."""
        requests = [self._request(search) for search in searches]
        answers = self._call(lambda: self._rest.query_batch_points(self._collection, requests))
        return [[Scored(p.payload or {}, p.score) for p in answer.points] for answer in answers]

    def optimise(self) -> None:
        """Wait until the server has merged segments and built the graph, as it does by itself."""
        while True:
            info = self._call(lambda: self._rest.get_collection(self._collection))
            if info.status == models.CollectionStatus.RED:
                raise IndexUnavailable(
                    f"the server cannot optimise {self._collection}: {info.optimizer_status}"
                )
            if info.status != models.CollectionStatus.YELLOW:
                return
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """The store closes the clients: they are shared."""

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
        params = models.SearchParams(hnsw_ef=max(_HNSW_EF, stage.limit))
        return models.Prefetch(
            query=stage.vector.tolist(),
            using=stage.using,
            limit=stage.limit,
            prefetch=self._prefetch(stage.before, chosen) if stage.before else None,
            filter=chosen,
            params=params if stage.using == MEAN else self._params(quantized=stage.quantized),
        )

    def _params(self, *, quantized: bool = False) -> models.SearchParams:
        quantization = None
        if self._storage.quantization is not None:
            quantization = models.QuantizationSearchParams(ignore=not quantized, rescore=False)
        return models.SearchParams(exact=True, quantization=quantization)


class ServerStore:
    """The collections behind one name on a server."""

    def __init__(self, url: str, connection: Connection) -> None:
        self.location = url
        base, _, self.name = url.rstrip("/").rpartition("/")
        if not urlsplit(base).netloc or not self.name:
            raise ValueError(f"a server index is named http://host:6333/NAME, got {url!r}")
        self._cluster = connection.cluster
        self._rest, self._grpc = connect(base, connection)
        self._call = Caller(url, connection, _FAILURES, _classify)

    def advice(self) -> str:
        """Return the command that builds an index here."""
        return build_command(self.location)

    def lock(self) -> None:
        """Do nothing: several processes may write one collection."""

    def unlock(self) -> None:
        """Do nothing, for the same reason."""

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()
        self._grpc.close()

    def read(self) -> Record:
        """Return the record in the metadata of the collection that the name stands for."""
        collection = self._behind()
        if collection is None:
            raise IndexNotReady(f"there is no index at {self.location}: run {self.advice()}")
        text = self._metadata(collection)
        if text is None:
            raise IndexUnavailable(
                f"the collection {self.name!r} is not an index of kbvqa: choose another name"
            )
        try:
            record = record_from_json(text)
        except ValueError as exc:
            raise IndexNotReady(
                f"the index at {self.location} was made by another version of kbvqa: build it "
                f"anew under another name with {self.advice()}"
            ) from exc
        for build in (record.finished, record.building):
            if build is not None and build.fingerprint.schema_version != SCHEMA_VERSION:
                raise IndexNotReady(
                    f"the index at {self.location} has schema_version "
                    f"{build.fingerprint.schema_version}, this kbvqa reads {SCHEMA_VERSION}: "
                    f"build it anew under another name with {self.advice()}"
                )
        return record

    def vacant(self) -> bool:
        """Return whether the name is free."""
        return self._behind() is None

    def new_place(self, build: Build, record: Record) -> str:
        """Return the name of a collection: the finished one for a change, else a free one."""
        if build.base:
            return build.base
        number = 1
        while self._exists(place := f"{self.name}-{number}") and not self._orphan(place):
            number += 1
        return place

    def begin(self, record: Record, build: Build) -> None:
        """Record a build as under way; the first one gives the name its meaning."""
        record = Record(record.finished, build)
        collection = self._behind()
        if collection is not None:
            self._write(collection, record)
            return
        if not self._exists(build.place):
            self._create(build, record)
        self._point_name_at(build.place, replacing=False)

    def open_for_writing(self, build: Build) -> Engine:
        """Return the collection that is built, made new where it is missing."""
        if not self._exists(build.place):
            self._create(build, Record(building=build))
        for field in (*KEYWORDS, PREFIXED):
            schema = models.KeywordIndexParams(
                type=models.KeywordIndexType.KEYWORD, prefix=True if field == PREFIXED else None
            )
            create = partial(self._rest.create_payload_index, build.place, field, schema, wait=True)
            self._call(create)
        return self._engine(build.place, build)

    def open_for_search(self, build: Build) -> Engine:
        """Return the finished collection, by its name: a swap takes effect at once."""
        return self._engine(self.name, build)

    def finish(self, build: Build, engine: Engine) -> Build:
        """Make the build the finished one: switch the name to it, and drop what it replaces."""
        done = replace(build, base="")
        self._write(build.place, Record(finished=done))
        before = self._behind()
        if before is not None and before != build.place:
            if before == self.name:
                raise IndexUnavailable(
                    f"{self.name!r} is a collection, not an alias, and cannot be swapped: the new "
                    f"one is {build.place!r}"
                )
            self._point_name_at(build.place, replacing=True)
            self._call(lambda: self._rest.delete_collection(before))
        return done

    def snapshot(self) -> str:
        """Make a snapshot of the collection on the server and return its name."""
        collection = self._behind()
        if collection is None:
            raise IndexNotReady(f"there is no index at {self.location}: run {self.advice()}")
        made = self._call(lambda: self._rest.create_snapshot(collection, wait=True))
        if made is None:
            raise IndexUnavailable(f"the server made no snapshot of {collection}")
        return f"{collection}/{made.name}"

    def _engine(self, collection: str, build: Build) -> ServerEngine:
        return ServerEngine((self._rest, self._grpc), self._call, collection, build.storage)

    def _behind(self) -> str | None:
        """Return the collection that the name stands for."""
        aliases = self._call(self._rest.get_aliases).aliases
        for alias in aliases:
            if alias.alias_name == self.name:
                return str(alias.collection_name)
        return self.name if self._exists(self.name) else None

    def _exists(self, collection: str) -> bool:
        return bool(self._call(lambda: self._rest.collection_exists(collection)))

    def _orphan(self, collection: str) -> bool:
        """Return whether a killed build left this collection behind before it had a name."""
        info = self._call(lambda: self._rest.get_collection(collection))
        return not info.points_count and _METADATA in (info.config.metadata or {})

    def _metadata(self, collection: str) -> str | None:
        info = self._call(lambda: self._rest.get_collection(collection))
        return (info.config.metadata or {}).get(_METADATA)

    def _write(self, collection: str, record: Record) -> None:
        # As one text: the server merges nested metadata with what it has.
        metadata = {_METADATA: record_to_json(record)}
        self._call(lambda: self._rest.update_collection(collection, metadata=metadata))

    def _create(self, build: Build, record: Record) -> None:
        layout = self._cluster
        self._call(
            lambda: self._rest.create_collection(
                build.place,
                vectors_config=_schema(build, layout),
                shard_number=layout.shards,
                replication_factor=layout.replicas,
                write_consistency_factor=layout.write_consistency,
                on_disk_payload=True,
                metadata={_METADATA: record_to_json(record)},
            )
        )

    def _point_name_at(self, collection: str, *, replacing: bool) -> None:
        new = models.CreateAlias(collection_name=collection, alias_name=self.name)
        actions: list[Any] = [models.CreateAliasOperation(create_alias=new)]
        if replacing:
            old = models.DeleteAlias(alias_name=self.name)
            actions.insert(0, models.DeleteAliasOperation(delete_alias=old))
        self._call(lambda: self._rest.update_collection_aliases(actions))


def _schema(build: Build, layout: Cluster) -> dict[str, models.VectorParams]:
    quantization: Any = None
    if build.storage.quantization == "scalar":
        quantization = models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=0.99, memory=models.Memory.PINNED
            )
        )
    elif build.storage.quantization == "binary":
        quantization = models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(memory=models.Memory.PINNED)
        )
    tokens = models.VectorParams(
        size=build.fingerprint.dim,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
        datatype=models.Datatype(build.storage.tokens),
        hnsw_config=models.HnswConfigDiff(m=0),
        quantization_config=quantization,
        memory=models.Memory(layout.tokens_memory),
    )
    mean = models.VectorParams(
        size=build.fingerprint.dim,
        distance=models.Distance.COSINE,
        memory=models.Memory("cached" if layout.means_memory == "pinned" else layout.means_memory),
        hnsw_config=models.HnswConfigDiff(memory=models.Memory(layout.means_memory)),
    )
    return {TOKENS: tokens, MEAN: mean}


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


def _point(record: Any) -> Point:
    vectors = record.vector or {}
    return Point(
        str(record.id),
        {name: np.asarray(v, dtype=np.float32) for name, v in vectors.items()},
        record.payload or {},
    )


def _classify(exc: Exception) -> Failure:
    """Return what an exception of the client means."""
    if isinstance(exc, ResourceExhaustedResponse):
        return Failure("away", str(exc), float(exc.retry_after_s))
    if isinstance(exc, ResponseHandlingException):
        text = f"{type(exc.source).__name__}: {exc.source}".splitlines()[0]
        if isinstance(exc.source, ValueError):  # an answer that is not Qdrant's
            return Failure("refused", text)
        return Failure("slow" if "Timeout" in type(exc.source).__name__ else "away", text)
    if isinstance(exc, UnexpectedResponse):
        status: object = exc.status_code
        try:
            text = str(exc.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):
            text = f"{exc.status_code} {exc.reason_phrase}"
    else:
        assert isinstance(exc, grpc.Call)
        status, text = exc.code(), str(exc.details())
    return Failure("full" if "No space left" in text else _KINDS.get(status, "refused"), text)
