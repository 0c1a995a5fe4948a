"""A stand-in for a Qdrant server: REST and gRPC on loopback, answered by the embedded engine.

Every request is validated by the models that qdrant-client generates from Qdrant's own API, which
forbid unknown fields, so that a request a server would refuse for its form is refused here. Its
errors, strict mode, optimiser and snapshots are as a real Qdrant 1.19.0 was seen to have them
(`qdrant_answers`). What it does not show: other limits, and how a server's planner works.
"""

import json
import re
import ssl
import threading
from collections.abc import Callable
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
import qdrant_edge as edge
from pydantic import BaseModel, ValidationError
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import points_pb2, points_service_pb2_grpc

from tests.integration.qdrant_answers import GRPC_CODES, Refusal, check_timeout
from tests.integration.qdrant_requests import edge_filter, edge_query, grpc_record
from tests.integration.qdrant_state import State

if TYPE_CHECKING:
    import trustme


class StandIn(State):
    """A server, on loopback and free ports unless others are given."""

    def __init__(
        self,
        directory: Path,
        api_key: str | None = None,
        certificate: "trustme.LeafCert | None" = None,
        *,
        read_only_api_key: str | None = None,
        address: str = "127.0.0.1",
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(directory, api_key, read_only_api_key)
        self.certificate, self.address = certificate, address
        self.port, self.grpc_port = ports
        self.start()

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same ports as before."""
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = ThreadingHTTPServer((self.address, self.port), handler)
        self.port = self._http.server_port
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.certificate.configure_cert(context)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4))
        points_service_pb2_grpc.add_PointsServicer_to_server(_Points(self), self._grpc)
        address = f"{self.address}:{self.grpc_port}"
        if self.certificate is None:
            self.grpc_port = self._grpc.add_insecure_port(address)
        else:
            key = self.certificate.private_key_pem.bytes()
            chain = b"".join(pem.bytes() for pem in self.certificate.cert_chain_pems)
            credentials = grpc.ssl_server_credentials([(key, chain)])
            self.grpc_port = self._grpc.add_secure_port(address, credentials)
        self._grpc.start()

    def stop(self) -> None:
        """Stop listening; what was written stays."""
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(0).wait()


class _Handler(BaseHTTPRequestHandler):
    server_state: StandIn
    routes: ClassVar[list[tuple[str, str, str, type[BaseModel] | None]]] = [
        ("GET", r"/", "version", None),
        ("GET", r"/readyz", "ready", None),
        ("GET", r"/aliases", "aliases", None),
        ("GET", r"/collections", "list", None),
        ("POST", r"/collections/aliases", "change_aliases", models.ChangeAliasesOperation),
        ("GET", r"/collections/([^/]+)/exists", "exists", None),
        ("GET", r"/collections/([^/]+)", "info", None),
        ("PUT", r"/collections/([^/]+)", "create", models.CreateCollection),
        ("PATCH", r"/collections/([^/]+)", "patch", models.UpdateCollection),
        ("DELETE", r"/collections/([^/]+)", "drop", None),
        ("PUT", r"/collections/([^/]+)/index", "index", models.CreateFieldIndex),
        ("PUT", r"/collections/([^/]+)/vectors/([^/]+)", "vector", models.DenseVectorNameConfig),
        ("GET", r"/collections/([^/]+)/cluster", "cluster", None),
        ("POST", r"/collections/([^/]+)/snapshots", "snapshot", None),
        ("GET", r"/collections/([^/]+)/snapshots/([^/]+)", "download", None),
        ("POST", r"/collections/([^/]+)/snapshots/upload", "upload", None),
        ("POST", r"/collections/([^/]+)/points", "retrieve", models.PointRequest),
        ("POST", r"/collections/([^/]+)/points/count", "count", models.CountRequest),
        ("POST", r"/collections/([^/]+)/points/scroll", "scroll", models.ScrollRequest),
        ("POST", r"/collections/([^/]+)/facet", "facet", models.FacetRequest),
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
        self.body = body = self.rfile.read(length)
        path, _, parameters = self.path.partition("?")
        timeout = re.search(r"timeout=(\d+)", parameters)
        seconds = int(timeout[1]) if timeout else None
        try:
            for method, pattern, operation, model in self.routes:
                match = re.fullmatch(pattern, path)
                if method == self.command and match:
                    self.server_state.begin(operation, self.headers.get("api-key"), seconds)
                    if length > 32 * 2**20:
                        raise Refusal(413, "Payload too large")
                    request = model.model_validate_json(body) if model else None
                    with self.server_state.lock:
                        self.server_state.check(operation, match.groups(), request, seconds)
                        result = getattr(self, f"do_{operation}")(request, *match.groups())
                    if operation in ("version", "download"):
                        return self._send(200, result)
                    return self._send(200, {"result": result, "status": "ok", "time": 0.0})
            raise Refusal(404, f"no route {self.command} {path}")
        except ValidationError as exc:
            return self._send(400, {"status": {"error": f"Format error in JSON body: {exc}"}})
        except Refusal as refusal:
            if refusal.status == 0:
                self.close_connection = True
                self.connection.close()
                return None
            answer = {"status": {"error": refusal.text}}
            return self._send(refusal.status, answer, refusal.retry_after)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _send(self, status: int, answer: dict[str, Any], retry_after: str = "") -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_version(self, request: None) -> Any:
        title = "qdrant - vector search engine"
        return {"title": title, "version": self.server_state.version}

    def do_ready(self, request: None) -> Any:
        return "all shards are ready"

    def do_list(self, request: None) -> Any:
        return {"collections": [{"name": name} for name in self.server_state.collections]}

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
        return self.server_state.patch(name, request)

    def do_cluster(self, request: None, name: str) -> Any:
        return self.server_state.cluster(name)

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

    def do_vector(self, request: models.DenseVectorNameConfig, name: str, vector: str) -> Any:
        self.server_state.add_vector(name, vector, request.dense)
        return {"operation_id": 0, "status": "completed"}

    def do_snapshot(self, request: None, name: str) -> Any:
        name = self.server_state.snapshot(name)
        return {"name": name, "size": 1, "creation_time": None, "checksum": None}

    def do_download(self, request: None, name: str, snapshot: str) -> Any:
        assert snapshot in self.server_state.snapshots
        return {"snapshot": snapshot}  # stands for its bytes

    def do_upload(self, request: None, name: str) -> Any:
        kept = re.search(rb'"snapshot": "([^"]+)"', self.body)
        assert kept is not None
        return self.server_state.recover(name, kept[1].decode())

    def do_retrieve(self, request: models.PointRequest, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        ids = [str(id) for id in request.ids]
        records = shard.retrieve(ids, request.with_payload, False)  # type: ignore[arg-type]
        return [{"id": str(r.id), "payload": r.payload} for r in records]

    def do_count(self, request: models.CountRequest, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        chosen = edge.CountRequest(exact=bool(request.exact), filter=edge_filter(request.filter))
        return {"count": shard.count(chosen)}

    def do_facet(self, request: models.FacetRequest, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        found = shard.facet(edge.FacetRequest(request.key, limit=request.limit or 10))
        return {"hits": [{"value": hit.value, "count": hit.count} for hit in found.hits]}

    def do_scroll(self, request: models.ScrollRequest, name: str) -> Any:
        records, following = self.server_state.scroll(name, request)
        return {
            "points": [
                {"id": str(r.id), "payload": r.payload, "vector": r.vector} for r in records
            ],
            "next_page_offset": None if following is None else str(following),
        }

    def do_delete(self, request: models.FilterSelector, name: str) -> Any:
        chosen = edge_filter(request.filter)
        assert chosen is not None
        shard = self.server_state.collection(name).shard
        shard.update(edge.UpdateOperation.delete_points_by_filter(chosen))
        return {"operation_id": 0, "status": "completed"}

    def do_query(self, request: models.QueryRequestBatch, name: str) -> Any:
        shard = self.server_state.collection(name).shard
        batch = edge.QueryBatchRequest([edge_query(search) for search in request.searches])
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
            check_timeout(self.state.collection(request.collection_name).strict, timeout)
            points = [GrpcToRest.convert_point_struct(point) for point in request.points]
            self.state.upsert(request.collection_name, points)
            completed = points_pb2.UpdateResult(status=points_pb2.UpdateStatus.Completed)
            return points_pb2.PointsOperationResponse(result=completed)

        timeout = request.timeout if request.HasField("timeout") else None
        return self._answer("upsert", context, write, timeout)

    def UpdateVectors(self, request: Any, context: Any) -> Any:
        def write() -> Any:
            check_timeout(self.state.collection(request.collection_name).strict, timeout)
            points = [GrpcToRest.convert_point_vectors(point) for point in request.points]
            self.state.set_vectors(request.collection_name, points)
            completed = points_pb2.UpdateResult(status=points_pb2.UpdateStatus.Completed)
            return points_pb2.PointsOperationResponse(result=completed)

        timeout = request.timeout if request.HasField("timeout") else None
        return self._answer("set vectors", context, write, timeout)

    def Get(self, request: Any, context: Any) -> Any:
        def read() -> Any:
            shard = self.state.collection(request.collection_name).shard
            ids = [str(GrpcToRest.convert_point_id(id_)) for id_ in request.ids]
            payload = GrpcToRest.convert_with_payload_selector(request.with_payload)
            response = points_pb2.GetResponse()
            for r in shard.retrieve(ids, payload, True):
                record = models.Record(id=str(r.id), payload=r.payload, vector=r.vector)
                response.result.append(grpc_record(record))
            return response

        timeout = request.timeout if request.HasField("timeout") else None
        return self._answer("retrieve vectors", context, read, timeout)

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
                response.result.append(grpc_record(record))
            if following is not None:
                offset = RestToGrpc.convert_extended_point_id(str(following))
                response.next_page_offset.CopyFrom(offset)
            return response

        timeout = request.timeout if request.HasField("timeout") else None
        return self._answer("scroll vectors", context, read, timeout)

    def _answer(
        self, operation: str, context: Any, function: Callable[[], Any], timeout: int | None
    ) -> Any:
        try:
            key = dict(context.invocation_metadata()).get("api-key")
            self.state.begin(operation, key, timeout)
            with self.state.lock:
                return function()
        except Refusal as refusal:
            if refusal.retry_after:
                context.set_trailing_metadata([("retry-after", refusal.retry_after)])
            context.abort(GRPC_CODES[refusal.status or 503], refusal.text)
