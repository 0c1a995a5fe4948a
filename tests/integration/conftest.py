"""The homes of an index: the embedded engine, qdrant-client's local mode, a server.

The server is a stand-in on loopback, and a real one besides where KBVQA_TEST_QDRANT_URL is set
(with KBVQA_TEST_QDRANT_API_KEY and KBVQA_TEST_QDRANT_GRPC_PORT where they are needed). Tests that
stop and start it run where KBVQA_TEST_QDRANT_NODE is a command that does, given "stop" or "start"
as its last argument.
"""

import os
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from qdrant_client import QdrantClient
from qdrant_client.conversions.conversion import GrpcToRest

from retriever.engines.connection import QdrantConnection
from retriever.engines.server import client as qdrant
from tests.integration.qdrant_server import StandIn

REAL = os.environ.get("KBVQA_TEST_QDRANT_URL")
NODE = os.environ.get("KBVQA_TEST_QDRANT_NODE")
BACKENDS = ["embedded", "local", "wire", *(["server"] if REAL else [])]


class Home(NamedTuple):
    """A free place for an index, and how to connect to it."""

    backend: str
    location: str
    connection: QdrantConnection


class _Local(QdrantClient):
    """Local mode, which takes the messages that a server is sent."""

    @property
    def grpc_points(self) -> Any:
        return self

    def Upsert(self, message: Any, timeout: int) -> None:
        points = [GrpcToRest.convert_point_struct(point) for point in message.points]
        self.upsert(message.collection_name, points)

    def UpdateVectors(self, message: Any, timeout: int) -> None:
        points = [GrpcToRest.convert_point_vectors(point) for point in message.points]
        self.update_vectors(message.collection_name, points)


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    (tmp_path / "server").mkdir()
    running = StandIn(tmp_path / "server")
    yield running
    running.stop()


@pytest.fixture(params=BACKENDS)
def home(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    if request.param == "embedded":
        yield Home("embedded", str(tmp_path / "index"), QdrantConnection())
    elif request.param == "local":
        client = _Local(":memory:")
        monkeypatch.setattr(qdrant, "connect", lambda base, connection: (client, client))
        with monkeypatch.context() as patch:
            patch.setattr(client, "close", lambda: None)  # each index closes its own
            yield Home("local", "http://local/zoo", QdrantConnection())
        client.close()
    elif request.param == "wire":
        running: StandIn = request.getfixturevalue("stand_in")
        connection = QdrantConnection(grpc_port=running.grpc_port, attempts=2, retry_seconds=0.01)
        yield Home("wire", f"{running.url}/zoo", connection)
    else:
        with real_home() as real:
            yield real


@contextmanager
def real_home() -> Iterator[Home]:
    """Yield a free name on the real server; what was made there goes afterwards."""
    port = os.environ.get("KBVQA_TEST_QDRANT_GRPC_PORT")
    connection = QdrantConnection(
        api_key=os.environ.get("KBVQA_TEST_QDRANT_API_KEY"), grpc_port=int(port) if port else None
    )
    name = f"kbvqa-test-{uuid.uuid4().hex[:12]}"
    try:
        yield Home("server", f"{REAL}/{name}", connection)
    finally:
        rest, _ = qdrant.connect(str(REAL), connection)
        for collection in rest.get_collections().collections:
            if collection.name.startswith(name):
                rest.delete_collection(collection.name)


class Server(NamedTuple):
    """A server that can be stopped, and a free name on it."""

    home: Home
    stop: Callable[[], object]
    start: Callable[[], object]


@pytest.fixture(params=["wire", *(["server"] if REAL and NODE else [])])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "wire":
        running: StandIn = request.getfixturevalue("stand_in")
        home = Home("wire", f"{running.url}/zoo", QdrantConnection(grpc_port=running.grpc_port))
        yield Server(home, running.stop, running.start)
        return
    command = shlex.split(str(NODE))
    with real_home() as home:
        run = partial(subprocess.run, check=True)
        yield Server(home, lambda: run([*command, "stop"]), lambda: run([*command, "start"]))
