"""A stand-in for a Qdrant server: REST and gRPC on loopback, answered by the embedded engine.

Every request is validated by the models that qdrant-client generates from Qdrant's own API, which
forbid unknown fields, so that a request a server would refuse for its form is refused here. What
it does not show: a server's limits, TLS, clustering, and how its planner works.
"""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import grpc
import qdrant_edge as edge
from pydantic import BaseModel, ValidationError
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import points_pb2, points_service_pb2_grpc


@dataclass
class Refusal(Exception):
    """An error answer: a status and a text, or no answer at all where the status is 0."""

    status: int
    text: str = ""


GRPC_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


@dataclass
class Collection:
    request: models.CreateCollection
    shard: edge.EdgeShard
    metadata: dict[str, Any]
    indexes: dict[str, Any] = field(default_factory=dict)


class StandIn:
    """A server. `fault(operation)` is called before each operation and may raise or sleep."""

    def __init__(self, directory: Path, api_key: str | None = None) -> None:
        self.directory, self.api_key = directory, api_key
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.fault: Callable[[str], None] = lambda operation: None
        self.operations: list[str] = []
        self.lock = threading.Lock()
        self.port = self.grpc_port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same ports as before."""
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4))
        points_service_pb2_grpc.add_PointsServicer_to_server(_Points(self), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        self._grpc.start()

    def stop(self) -> None:
        """Stop listening; what was written stays."""
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(0).wait()

    def begin(self, operation: str, key: str | None) -> None:
        self.operations.append(operation)
        self.fault(operation)
        if self.api_key is not None and key != self.api_key:
            raise Refusal(403, "Forbidden: Invalid api-key")

    def collection(self, name: str) -> Collection:
        try:
            return self.collections[self.aliases.get(name, name)]
        except KeyError:
            raise Refusal(404, f"Not found: Collection `{name}` doesn't exist!") from None

    def create(self, name: str, request: models.CreateCollection) -> bool:
        if name in self.collections or name in self.aliases:
            raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
        assert isinstance(request.vectors, dict)
        path = self.directory / name
        path.mkdir()
        vectors = {n: _vector_params(params) for n, params in request.vectors.items()}
        shard = edge.EdgeShard.create(str(path), edge.EdgeConfig(vectors=vectors))
        self.collections[name] = Collection(request, shard, dict(request.metadata or {}))
        return True

    def drop(self, name: str) -> bool:
        self.collections.pop(name).shard.close()
        shutil.rmtree(self.directory / name)
        return True

    def change_aliases(self, request: models.ChangeAliasesOperation) -> bool:
        for action in request.actions:
            if isinstance(action, models.CreateAliasOperation):
                if action.create_alias.alias_name in self.collections:
                    raise Refusal(400, "Wrong input: a collection has this name")
                self.collection(action.create_alias.collection_name)
                self.aliases[action.create_alias.alias_name] = action.create_alias.collection_name
            elif isinstance(action, models.DeleteAliasOperation):
                self.aliases.pop(action.delete_alias.alias_name, None)
        return True

    def upsert(self, name: str, points: list[models.PointStruct]) -> None:
        collection = self.collection(name)
        vectors = collection.request.vectors
        assert isinstance(vectors, dict)
        for point in points:
            assert isinstance(point.vector, dict)
            for vector_name, vector in point.vector.items():
                rows: Any = vector if isinstance(vector[0], list) else [vector]  # type: ignore[index]
                for row in rows:
                    if len(row) != (size := vectors[vector_name].size):
                        text = f"expected dim: {size}, got {len(row)}"
                        raise Refusal(400, f"Wrong input: Vector dimension error: {text}")
        new = [edge.Point(str(p.id), p.vector, p.payload) for p in points]
        collection.shard.update(edge.UpdateOperation.upsert_points(new))

    def info(self, name: str) -> dict[str, Any]:
        collection = self.collection(name)
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "points_count": collection.shard.count(edge.CountRequest(exact=True)),
            "payload_schema": {},
            "config": {
                "params": {"vectors": collection.request.model_dump(mode="json")["vectors"]},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "metadata": collection.metadata,
            },
        }

    def scroll(self, name: str, request: models.ScrollRequest) -> tuple[list[Any], Any]:
        records, following = self.collection(name).shard.scroll(
            edge.ScrollRequest(
                offset=None if request.offset is None else str(request.offset),
                limit=request.limit,
                filter=_filter(request.filter),
                with_payload=request.with_payload,  # type: ignore[arg-type]
                with_vector=bool(request.with_vector),
            )
        )
        return list(records), following


class _Handler(BaseHTTPRequestHandler):
    server_state: StandIn
    routes: ClassVar[list[tuple[str, str, str, type[BaseModel] | None]]] = [
        ("GET", r"/aliases", "aliases", None),
        ("POST", r"/collections/aliases", "change_aliases", models.ChangeAliasesOperation),
        ("GET", r"/collections/([^/]+)/exists", "exists", None),
        ("GET", r"/collections/([^/]+)", "info", None),
        ("PUT", r"/collections/([^/]+)", "create", models.CreateCollection),
        ("PATCH", r"/collections/([^/]+)", "patch", models.UpdateCollection),
        ("DELETE", r"/collections/([^/]+)", "drop", None),
        ("PUT", r"/collections/([^/]+)/index", "index", models.CreateFieldIndex),
        ("POST", r"/collections/([^/]+)/snapshots", "snapshot", None),
        ("POST", r"/collections/([^/]+)/points", "retrieve", models.PointRequest),
        ("POST", r"/collections/([^/]+)/points/count", "count", models.CountRequest),
        ("POST", r"/collections/([^/]+)/points/scroll", "scroll", models.ScrollRequest),
        ("POST", r"/collections/([^/]+)/points/delete", "delete", models.FilterSelector),
        (
            "POST",
            r"/collections/([^/]+)/points/query/batch",
            "query",
            models.QueryRequestBatch,
        ),
    ]

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        path = self.path.partition("?")[0]
        try:
            for method, pattern, operation, model in self.routes:
                match = re.fullmatch(pattern, path)
                if method == self.command and match:
                    self.server_state.begin(operation, self.headers.get("api-key"))
                    if length > 32 * 2**20:
                        raise Refusal(413, "Payload too large")
                    request = model.model_validate_json(body) if model else None
                    with self.server_state.lock:
                        result = getattr(self, f"do_{operation}")(request, *match.groups())
                    return self._send(200, {"result": result, "status": "ok", "time": 0.0})
            raise Refusal(404, f"no route {self.command} {path}")
        except ValidationError as exc:
            return self._send(400, {"status": {"error": f"Format error in JSON body: {exc}"}})
        except Refusal as refusal:
            if refusal.status == 0:
                self.close_connection = True
                self.connection.close()
                return None
            return self._send(refusal.status, {"status": {"error": refusal.text}})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_aliases(self, request: None) -> Any:
        pairs = self.server_state.aliases.items()
        return {"aliases": [{"alias_name": a, "collection_name": c} for a, c in pairs]}

    def do_change_aliases(self, request: models.ChangeAliasesOperation) -> Any:
        return self.server_state.change_aliases(request)

    def do_exists(self, request: None, name: str) -> Any:
        return {
            "exists": self.server_state.aliases.get(name, name) in self.server_state.collections
        }

    def do_info(self, request: None, name: str) -> Any:
        return self.server_state.info(name)

    def do_create(self, request: models.CreateCollection, name: str) -> Any:
        return self.server_state.create(name, request)

    def do_patch(self, request: models.UpdateCollection, name: str) -> Any:
        self.server_state.collection(name).metadata.update(request.metadata or {})
        return True

    def do_drop(self, request: None, name: str) -> Any:
        return self.server_state.drop(name)

    def do_index(self, request: models.CreateFieldIndex, name: str) -> Any:
        collection = self.server_state.collection(name)
        schema = request.field_schema
        assert isinstance(schema, models.KeywordIndexParams)
        params = edge.KeywordIndexParams(prefix=schema.prefix)
        new = edge.UpdateOperation.create_field_index(request.field_name, params)
        collection.shard.update(new)
        collection.indexes[request.field_name] = schema
        return {"operation_id": 0, "status": "completed"}

    def do_snapshot(self, request: None, name: str) -> Any:
        self.server_state.collection(name)
        return {"name": f"{name}-2026.snapshot", "size": 1, "creation_time": None, "checksum": None}

    def do_retrieve(self, request: models.PointRequest, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        ids = [str(id) for id in request.ids]
        records = shard.retrieve(ids, request.with_payload, False)  # type: ignore[arg-type]
        return [{"id": str(r.id), "payload": r.payload} for r in records]

    def do_count(self, request: models.CountRequest, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        chosen = edge.CountRequest(exact=bool(request.exact), filter=_filter(request.filter))
        return {"count": shard.count(chosen)}

    def do_scroll(self, request: models.ScrollRequest, name: str) -> Any:
        records, following = self.server_state.scroll(name, request)
        return {
            "points": [
                {"id": str(r.id), "payload": r.payload, "vector": r.vector} for r in records
            ],
            "next_page_offset": None if following is None else str(following),
        }

    def do_delete(self, request: models.FilterSelector, name: str) -> Any:
        chosen = _filter(request.filter)
        assert chosen is not None
        shard = self.server_state.collection(name).shard
        shard.update(edge.UpdateOperation.delete_points_by_filter(chosen))
        return {"operation_id": 0, "status": "completed"}

    def do_query(self, request: models.QueryRequestBatch, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        batch = edge.QueryBatchRequest([_query(search) for search in request.searches])
        return [
            {
                "points": [
                    {"id": str(p.id), "version": 0, "score": p.score, "payload": p.payload}
                    for p in points
                ]
            }
            for points in shard.query_batch(batch)
        ]


class _Points(points_service_pb2_grpc.PointsServicer):  # type: ignore[misc]
    def __init__(self, state: StandIn) -> None:
        self.state = state

    def Upsert(self, request: Any, context: Any) -> Any:
        def write() -> Any:
            points = [GrpcToRest.convert_point_struct(point) for point in request.points]
            self.state.upsert(request.collection_name, points)
            completed = points_pb2.UpdateResult(status=points_pb2.UpdateStatus.Completed)
            return points_pb2.PointsOperationResponse(result=completed)

        return self._answer("upsert", context, write)

    def Scroll(self, request: Any, context: Any) -> Any:
        def read() -> Any:
            wanted = models.ScrollRequest(
                offset=GrpcToRest.convert_point_id(request.offset)
                if request.HasField("offset")
                else None,
                limit=request.limit,
                with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
                with_vector=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            )
            records, following = self.state.scroll(request.collection_name, wanted)
            response = points_pb2.ScrollResponse()
            for r in records:
                record = models.Record(id=str(r.id), payload=r.payload, vector=r.vector)
                response.result.append(_retrieved(record))
            if following is not None:
                offset = RestToGrpc.convert_extended_point_id(str(following))
                response.next_page_offset.CopyFrom(offset)
            return response

        return self._answer("scroll vectors", context, read)

    def _answer(self, operation: str, context: Any, function: Callable[[], Any]) -> Any:
        try:
            self.state.begin(operation, dict(context.invocation_metadata()).get("api-key"))
            with self.state.lock:
                return function()
        except Refusal as refusal:
            context.abort(GRPC_CODES[refusal.status or 503], refusal.text)


def _retrieved(record: models.Record) -> Any:
    assert isinstance(record.vector, dict)
    vectors = points_pb2.NamedVectorsOutput()
    for name, value in record.vector.items():
        rows: Any = value if isinstance(value[0], list) else None
        if rows is None:
            vectors.vectors[name].dense.data.extend(value)
        else:
            for row in rows:
                vectors.vectors[name].multi_dense.vectors.add().data.extend(row)
    return points_pb2.RetrievedPoint(
        id=RestToGrpc.convert_extended_point_id(record.id),
        payload=RestToGrpc.convert_payload(record.payload or {}),
        vectors=points_pb2.VectorsOutput(vectors=vectors),
    )


def _vector_params(params: models.VectorParams) -> edge.EdgeVectorParams:
    multi = None
    if params.multivector_config is not None:
        multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    hnsw = None
    if params.hnsw_config is not None and params.hnsw_config.m is not None:
        hnsw = edge.HnswIndexConfig(
            m=params.hnsw_config.m, ef_construct=100, full_scan_threshold=10_000
        )
    quantization: Any = None
    if isinstance(params.quantization_config, models.ScalarQuantization):
        quantization = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, quantile=0.99)
    elif isinstance(params.quantization_config, models.BinaryQuantization):
        quantization = edge.BinaryQuantizationConfig()
    datatype = params.datatype or models.Datatype.FLOAT32
    return edge.EdgeVectorParams(
        size=params.size,
        distance=getattr(edge.Distance, params.distance.value),
        multivector_config=multi,
        datatype=getattr(edge.VectorStorageDatatype, datatype.value.capitalize()),
        hnsw_config=hnsw,
        quantization_config=quantization,
    )


def _filter(chosen: models.Filter | None) -> edge.Filter | None:
    if chosen is None:
        return None
    assert chosen.should is None and chosen.must_not is None and isinstance(chosen.must, list)
    must: list[Any] = []
    for condition in chosen.must:
        if isinstance(condition, models.HasIdCondition):
            must.append(edge.HasIdCondition({str(id) for id in condition.has_id}))  # type: ignore[union-attr]
        elif isinstance(condition, models.FieldCondition):
            match: Any
            if isinstance(condition.match, models.MatchPrefix):
                match = edge.MatchPrefix(condition.match.prefix)
            else:
                assert isinstance(condition.match, models.MatchAny)
                match = edge.MatchAny(list(condition.match.any))  # type: ignore[arg-type]
            must.append(edge.FieldCondition(key=condition.key, match=match))
        else:
            raise Refusal(400, f"the stand-in does not know {condition}")
    return edge.Filter(must=must)


def _params(params: models.SearchParams | None) -> edge.SearchParams | None:
    if params is None:
        return None
    quantization = None
    if (wanted := params.quantization) is not None:
        quantization = edge.QuantizationSearchParams(
            ignore=bool(wanted.ignore), rescore=wanted.rescore
        )
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef, exact=bool(params.exact), quantization=quantization
    )


def _nearest(query: Any, using: str | None) -> edge.Query:
    return edge.Query.Nearest(
        query.nearest if isinstance(query, models.NearestQuery) else query, using=using
    )


def _prefetch(prefetch: models.Prefetch) -> edge.Prefetch:
    assert prefetch.limit is not None
    inner = prefetch.prefetch
    inners = inner if isinstance(inner, list) else [inner] if inner is not None else []
    return edge.Prefetch(
        limit=prefetch.limit,
        query=_nearest(prefetch.query, prefetch.using),
        prefetches=[_prefetch(p) for p in inners] or None,
        filter=_filter(prefetch.filter),
        params=_params(prefetch.params),
    )


def _query(request: models.QueryRequest) -> edge.QueryRequest:
    assert request.limit is not None
    inner = request.prefetch
    inners = inner if isinstance(inner, list) else [inner] if inner is not None else []
    return edge.QueryRequest(
        limit=request.limit,
        query=_nearest(request.query, request.using),
        prefetches=[_prefetch(p) for p in inners] or None,
        filter=_filter(request.filter),
        with_payload=bool(request.with_payload),
        params=_params(request.params),
    )


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
