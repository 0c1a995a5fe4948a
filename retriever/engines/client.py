"""A Qdrant server or cluster through Qdrant's client. The only file that imports it.

Vectors travel by gRPC (a fifth of the bytes of JSON), everything else by REST. Requests that can
be repeated are, while the server is away or busy: nearly all can, as a point has one id.
"""

import ssl
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
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
from retriever.errors import IndexUnavailable
from retriever.index_record import Storage
from retriever.index_settings import Cluster, Connection

_HNSW_EF = 1024
_METADATA = "kbvqa"  # the key of our text in the metadata of a collection
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
    """Return a client that speaks REST and one that speaks gRPC. Neither connects yet.

    Raises:
        IndexUnavailable: the file of certificates cannot be used.
    """
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
        return (
            QdrantClient(**common, **_trusting(connection.ca_file)),
            QdrantClient(**common, **_trusting(connection.ca_file), prefer_grpc=True),
        )


def _trusting(ca_file: Path | None) -> dict[str, Any]:
    """Return the arguments that let a client trust the certificates in a file."""
    if ca_file is None:
        return {}
    try:
        trusted = ca_file.read_bytes()
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # as ssl.SSLError is
        raise IndexUnavailable(
            f"KBVQA_QDRANT_CA_FILE: {ca_file} cannot be used as certificates in PEM: {exc}"
        ) from exc
    return {"verify": context, "grpc_options": {"root_certificates": trusted}}


class QdrantServer:
    """One server: its collections and their names, in calls that are tried again.

    Args:
        base: http(s)://host:port.
        location: what messages call it.
        connection: key, time limits and so on.

    Every method raises IndexUnavailable if the server cannot be used, IndexNotReady where a
    collection is gone.
    """

    def __init__(self, base: str, location: str, connection: Connection) -> None:
        self._rest, self._grpc = connect(base, connection)
        self._call = Caller(location, connection, _FAILURES, _classify)

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()
        self._grpc.close()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        found = self._call(self._rest.get_aliases).aliases
        return {str(alias.alias_name): str(alias.collection_name) for alias in found}

    def exists(self, collection: str) -> bool:
        """Return whether there is a collection of this name, or an alias."""
        return bool(self._call(lambda: self._rest.collection_exists(collection)))

    def text(self, collection: str) -> str | None:
        """Return what `write_text` wrote; None where it never did."""
        info = self._call(lambda: self._rest.get_collection(collection))
        return (info.config.metadata or {}).get(_METADATA)

    def write_text(self, collection: str, text: str) -> None:
        """Keep a text with a collection."""
        # As one text: the server merges nested metadata with what it has.
        metadata = {_METADATA: text}
        self._call(lambda: self._rest.update_collection(collection, metadata=metadata))

    def create(
        self, collection: str, dim: int, storage: Storage, layout: Cluster, text: str
    ) -> None:
        """Make an empty collection for embeddings [P, dim], with a text."""

        def make() -> None:
            if not self._rest.collection_exists(collection):  # by a try whose answer was lost
                self._rest.create_collection(
                    collection,
                    vectors_config=_schema(dim, storage, layout),
                    shard_number=layout.shards,
                    replication_factor=layout.replicas,
                    write_consistency_factor=layout.write_consistency,
                    on_disk_payload=True,
                    metadata={_METADATA: text},
                )

        self._call(make)

    def index_fields(self, collection: str) -> None:
        """Index the payload fields that a filter may name; again does nothing."""
        for field in (*KEYWORDS, PREFIXED):
            schema = models.KeywordIndexParams(
                type=models.KeywordIndexType.KEYWORD, prefix=True if field == PREFIXED else None
            )
            create = partial(self._rest.create_payload_index, collection, field, schema, wait=True)
            self._call(create)

    def point_alias(self, alias: str, collection: str, *, replacing: bool) -> None:
        """Let an alias stand for a collection, at once for everybody."""
        new = models.CreateAlias(collection_name=collection, alias_name=alias)
        actions: list[Any] = [models.CreateAliasOperation(create_alias=new)]
        if replacing:
            old = models.DeleteAlias(alias_name=alias)
            actions.insert(0, models.DeleteAliasOperation(delete_alias=old))
        self._call(lambda: self._rest.update_collection_aliases(actions))

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        self._call(lambda: self._rest.delete_collection(collection))

    def snapshot(self, collection: str) -> str:
        """Make a snapshot of a collection on the server and return its name."""
        # Asked again, it would make another one.
        made = self._call(lambda: self._rest.create_snapshot(collection, wait=True), repeat=False)
        if made is None:
            raise IndexUnavailable(f"the server made no snapshot of {collection}")
        return str(made.name)

    def engine(self, collection: str, storage: Storage) -> Engine:
        """Return the points of a collection."""
        return ServerEngine((self._rest, self._grpc), self._call, collection, storage)


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
                limit=limit,
                with_payload=True if payload is None else list(payload),
                with_vectors=vectors,
            )
        )
        return [Point.of(r) for r in records], None if following is None else str(following)

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


def _schema(dim: int, storage: Storage, layout: Cluster) -> dict[str, models.VectorParams]:
    quantization: Any = None
    if storage.quantization == "scalar":
        quantization = models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=0.99, memory=models.Memory.PINNED
            )
        )
    elif storage.quantization == "binary":
        quantization = models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(memory=models.Memory.PINNED)
        )
    tokens = models.VectorParams(
        size=dim,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
        datatype=models.Datatype(storage.tokens),
        hnsw_config=models.HnswConfigDiff(m=0),
        quantization_config=quantization,
        memory=models.Memory(layout.tokens_memory),
    )
    mean = models.VectorParams(
        size=dim,
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


def _classify(exc: Exception) -> Failure:
    """Return what an exception of the client means."""
    if isinstance(exc, ResourceExhaustedResponse):
        return Failure("away", str(exc), float(exc.retry_after_s))
    if isinstance(exc, ResponseHandlingException):
        text = f"{type(exc.source).__name__}: {exc.source}".splitlines()[0]
        if isinstance(exc.source, ValueError):  # an answer that is not Qdrant's
            return Failure("refused", text)
        kind: Any = "slow" if "Timeout" in type(exc.source).__name__ else "away"
        return Failure(_tls_kind(text) or kind, text)
    if isinstance(exc, UnexpectedResponse):
        status: object = exc.status_code
        try:
            text = str(exc.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):
            text = f"{exc.status_code} {exc.reason_phrase}"
    else:
        assert isinstance(exc, grpc.Call)
        status, text = exc.code(), str(exc.details())
    if "No space left" in text:
        return Failure("full", text)
    return Failure(_tls_kind(text) or _KINDS.get(status, "refused"), text)


def _tls_kind(text: str) -> Any:
    """Return what is wrong with TLS; None where nothing is."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "untrusted"
    return "plain" if "WRONG_VERSION_NUMBER" in text else None
