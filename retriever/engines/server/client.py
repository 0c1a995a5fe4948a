"""A Qdrant server or cluster through Qdrant's client: its collections and their names.

Vectors are written and read by gRPC (a fifth of the bytes of JSON); searches, payloads and
everything else go by REST. Requests that can be repeated are, while the server is away or busy:
nearly all can, as a point has one id.
"""

import logging
import ssl
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from retriever.engines.connection import Cluster, QdrantConnection
from retriever.engines.deadline import seconds_left
from retriever.engines.interface import MEAN, TOKENS
from retriever.engines.record import Storage
from retriever.engines.server.collection import ServerEngine
from retriever.engines.server.faults import Failure, kind_of, seconds_asked, tls_kind
from retriever.engines.server.retry import Caller
from retriever.errors import IndexNotReady, IndexUnavailable

logger = logging.getLogger(__name__)

OLDEST, TESTED = (1, 19), (1, 19)

# Keys of our texts in the metadata of a collection. Texts, as the server merges what is nested.
_RECORD, _LEASE = "kbvqa", "kbvqa-lease"
_DEFAULT_PORT = 6333
_CONFLICT = 409
_RETRY_AFTER = "retry-after"
_LEAST_SECONDS = 0.001  # 0 would be no limit

# The client checks what a server answers by asserting, and reads JSON with nothing around it.
_GARBLED = (AssertionError, ValueError)
_FAILURES = (
    ResourceExhaustedResponse,
    ResponseHandlingException,
    UnexpectedResponse,
    grpc.RpcError,
    *_GARBLED,
)


def connect(base: str, connection: QdrantConnection) -> tuple[QdrantClient, QdrantClient]:
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
        rest = QdrantClient(**common, **_trusting(base, connection.ca_file))
        other = QdrantClient(**common, **_trusting(base, connection.ca_file), prefer_grpc=True)
    rest.http.client.add_middleware(_sent)
    return rest, other


def _sent(request: Any, send: Callable[[Any], Any]) -> Any:
    """Send a request, and wait for no part of the answer longer than anybody needs it.

    That ends what is given up (`in_time`). How long a busy server asks to be left alone is told in
    seconds, or not at all: the client takes no other spelling.
    """
    left = max(seconds_left(), _LEAST_SECONDS)
    limits = request.extensions["timeout"]
    request.extensions["timeout"] = {
        step: left if limit is None else min(limit, left) for step, limit in limits.items()
    }
    answer = send(request)
    seconds = seconds_asked(answer.headers.pop(_RETRY_AFTER, ""))
    if seconds is not None:
        answer.headers[_RETRY_AFTER] = str(seconds)
    return answer


def _trusting(base: str, ca_file: Path | None) -> dict[str, Any]:
    """Return the arguments that let a client trust the certificates in a file."""
    if ca_file is None:
        # Where no TLS is spoken nobody is trusted: to read whom the system trusts takes a while.
        spoken = base.startswith("https")
        return {} if spoken else {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
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

    def __init__(self, base: str, location: str, connection: QdrantConnection) -> None:
        self._base, self._connection = base, connection
        self._rest, self._grpc = connect(base, connection)
        self._call = Caller(location, connection, _FAILURES, _classify)
        self._location, self._version_known = location, False

    def be_patient(self, patient: bool) -> None:
        """Wait long for a server that is away, as a build does, or not."""
        self._call.patient = patient

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()
        self._grpc.close()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        self._require_version()
        found = self._call(self._rest.get_aliases).aliases
        return {str(alias.alias_name): str(alias.collection_name) for alias in found}

    def exists(self, collection: str) -> bool:
        """Return whether there is a collection of this name, or an alias."""
        return bool(self._call(lambda: self._rest.collection_exists(collection)))

    def text(self, collection: str) -> str | None:
        """Return what `write_text` wrote; None where it never did."""
        info = self._call(lambda: self._rest.get_collection(collection))
        return (info.config.metadata or {}).get(_RECORD)

    def write_text(self, collection: str, text: str) -> None:
        """Keep a text with a collection."""
        self._call(self._describing(collection, {_RECORD: text}))

    def lease(self, collection: str) -> str | None:
        """Return what `write_lease` wrote last; None where it never did."""
        info = self._call(lambda: self._rest.get_collection(collection), hurried=True)
        return (info.config.metadata or {}).get(_LEASE)

    def write_lease(self, collection: str, text: str) -> None:
        """Keep the text of a lease with a collection."""
        self._call(self._describing(collection, {_LEASE: text}), hurried=True)

    def create(
        self, collection: str, dim: int, storage: Storage, layout: Cluster, text: str, lease: str
    ) -> bool:
        """Make an empty collection for embeddings [P, dim], with a text and a lease.

        Returns:
            Whether it was made now: False where there is one of this name already.
        """

        def make() -> bool:
            if self._rest.collection_exists(collection):
                return False
            try:
                self._rest.create_collection(
                    collection,
                    vectors_config=_schema(dim, storage, layout),
                    # All vectors are compared, those that get room later too: no graph.
                    hnsw_config=models.HnswConfigDiff(m=0),
                    shard_number=layout.shards,
                    replication_factor=layout.replicas,
                    write_consistency_factor=layout.write_consistency,
                    on_disk_payload=True,
                    metadata={_RECORD: text, _LEASE: lease},
                    timeout=self._connection.timeout_seconds,
                )
            except UnexpectedResponse as exc:
                if exc.status_code != _CONFLICT:
                    raise
                return False
            return True

        return self._call(make)

    def point_alias(self, alias: str, collection: str, *, replacing: bool) -> None:
        """Let an alias stand for a collection, at once for everybody."""
        new = models.CreateAlias(collection_name=collection, alias_name=alias)
        actions: list[Any] = [models.CreateAliasOperation(create_alias=new)]
        if replacing:
            old = models.DeleteAlias(alias_name=alias)
            actions.insert(0, models.DeleteAliasOperation(delete_alias=old))
        timeout = self._connection.timeout_seconds
        point = partial(self._rest.update_collection_aliases, actions, timeout=timeout)
        self._done(point, lambda: self.aliases().get(alias) == collection)

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        timeout = self._connection.timeout_seconds
        drop = partial(self._rest.delete_collection, collection, timeout=timeout)
        self._done(drop, lambda: not self.exists(collection))

    def snapshot(self, collection: str) -> str:
        """Make a snapshot of a collection on the server and return its name; this takes long."""
        patient = replace(self._connection, timeout_seconds=self._connection.work_seconds)
        rest, other = connect(self._base, patient)
        call = Caller(self._location, patient, _FAILURES, _classify)
        try:
            # Asked again, it would make another one.
            made = call(lambda: rest.create_snapshot(collection, wait=True), repeat=False)
        finally:
            rest.close()
            other.close()
        if made is None:
            raise IndexUnavailable(f"the server made no snapshot of {collection}")
        return str(made.name)

    def engine(
        self, collection: str, storage: Storage, before_write: Callable[[], None] = lambda: None
    ) -> ServerEngine:
        """Return the points of a collection.

        Args:
            collection: its own name, no alias: what it holds must not change under a search.
            storage: how it is kept.
            before_write: called before each write; raises where it must not be.
        """
        clients = (self._rest, self._grpc)
        return ServerEngine(
            clients, self._call, self._connection, collection, storage, before_write
        )

    def _describing(self, collection: str, metadata: dict[str, str]) -> Callable[[], object]:
        timeout = self._connection.timeout_seconds
        return partial(self._rest.update_collection, collection, metadata=metadata, timeout=timeout)

    def _done(self, function: Callable[[], object], there: Callable[[], bool]) -> None:
        """Call a function; an error does not count if what was wanted is there all the same."""
        try:
            self._call(function)
        except IndexUnavailable:
            if not there():
                raise

    def _require_version(self) -> None:
        """Raise IndexUnavailable, once, if the server is too old for what is asked of it."""
        if self._version_known:
            return
        try:
            version = str(self._call(self._rest.info).version)
        except IndexNotReady:  # a proxy that does not pass it on
            version = "unknown"
        numbers = version.split(".")[:2]
        found = tuple(int(n) for n in numbers) if all(n.isdigit() for n in numbers) else ()
        oldest, tested = (".".join(map(str, v)) for v in (OLDEST, TESTED))
        if not found:
            logger.warning(
                "the Qdrant server of %s does not say its version (%s); %s is needed",
                *(self._location, version, oldest),
            )
        elif found < OLDEST:
            raise IndexUnavailable(
                f"the Qdrant server of {self._location} is of version {version}: {oldest} or newer "
                "is needed, as older ones ignore where vectors are kept and know no filter by the "
                "beginning of a title. Update the server"
            )
        elif found > TESTED:
            logger.warning(
                "the Qdrant server of %s is of version %s, newer than the tested %s",
                *(self._location, version, tested),
            )
        self._version_known = True


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
        quantization_config=quantization,
        memory=models.Memory(layout.tokens_memory),
    )
    mean = models.VectorParams(
        size=dim,
        distance=models.Distance.COSINE,
        memory=models.Memory(layout.means_memory),
    )
    return {TOKENS: tokens, MEAN: mean}


def _classify(exc: Exception) -> Failure:
    """Return what an exception of the client means."""
    if isinstance(exc, _GARBLED):
        return Failure("garbled", f"{type(exc).__name__}: {exc}".splitlines()[0])
    if isinstance(exc, ResourceExhaustedResponse):
        return Failure("busy", str(exc), exc.retry_after_s)
    if isinstance(exc, ResponseHandlingException):
        text = f"{type(exc.source).__name__}: {exc.source}".splitlines()[0]
        if isinstance(exc.source, _GARBLED):
            return Failure("garbled", text)
        kind: Any = "slow" if "Timeout" in type(exc.source).__name__ else "away"
        return Failure(tls_kind(text) or kind, text)
    if isinstance(exc, UnexpectedResponse):
        try:
            text = str(exc.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):
            # Not Qdrant's JSON: what checks keys, or a proxy, answers in plain text.
            said = exc.content.decode("utf-8", "replace").strip()[:200]
            text = f"{exc.status_code} {exc.reason_phrase}{': ' * bool(said)}{said}"
        kind = kind_of(exc.status_code or 0, text)
        asked = exc.headers.get(_RETRY_AFTER)
        if kind == "away" and asked is not None:
            return Failure("busy", text, int(asked))
        return Failure(kind, text)
    assert isinstance(exc, grpc.Call)
    text = str(exc.details())
    return Failure(kind_of(exc.code().name, text), text)
