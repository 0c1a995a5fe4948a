"""The homes of an index: the embedded engine, qdrant-client's local mode, a server.

The server is a stand-in on loopback, and a real one besides where KBVQA_TEST_QDRANT_URL is set
(with KBVQA_TEST_QDRANT_API_KEY and KBVQA_TEST_QDRANT_GRPC_PORT where they are needed).
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from qdrant_client import QdrantClient

from retriever.engines import client as qdrant
from retriever.index_settings import Connection
from tests.integration.qdrant_server import StandIn

REAL = os.environ.get("KBVQA_TEST_QDRANT_URL")
BACKENDS = ["embedded", "local", "wire", *(["server"] if REAL else [])]


class Home(NamedTuple):
    """A free place for an index, and how to connect to it."""

    backend: str
    location: str
    connection: Connection


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
        yield Home("embedded", str(tmp_path / "index"), Connection())
    elif request.param == "local":
        client = QdrantClient(":memory:")
        monkeypatch.setattr(qdrant, "connect", lambda base, connection: (client, client))
        with monkeypatch.context() as patch:
            patch.setattr(client, "close", lambda: None)  # each index closes its own
            yield Home("local", "http://local/zoo", Connection())
        client.close()
    elif request.param == "wire":
        running: StandIn = request.getfixturevalue("stand_in")
        connection = Connection(grpc_port=running.grpc_port, attempts=2, retry_seconds=0.01)
        yield Home("wire", f"{running.url}/zoo", connection)
    else:
        yield from _real_home()


def _real_home() -> Iterator[Home]:
    port = os.environ.get("KBVQA_TEST_QDRANT_GRPC_PORT")
    connection = Connection(
        api_key=os.environ.get("KBVQA_TEST_QDRANT_API_KEY"), grpc_port=int(port) if port else None
    )
    name = f"kbvqa-test-{uuid.uuid4().hex[:12]}"
    yield Home("server", f"{REAL}/{name}", connection)
    rest, _ = qdrant.connect(str(REAL), connection)
    for collection in rest.get_collections().collections:
        if collection.name.startswith(name):
            rest.delete_collection(collection.name)
