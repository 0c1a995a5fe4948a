"""TLS between the index and a Qdrant server: the stand-in with a certificate of its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from retriever.building.tools import verify_index
from retriever.engines.connection import QdrantConnection
from retriever.errors import IndexUnavailable
from retriever.index.passage_index import PassageIndex
from tests.index_cases import ids, make_fingerprint, make_passages, random_embeddings
from tests.integration.qdrant_server import StandIn

COUNT = 12
PASSAGES, EMBEDDINGS = make_passages(COUNT), random_embeddings(COUNT)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


@pytest.fixture
def server(authority: trustme.CA, tmp_path: Path) -> Iterator[StandIn]:
    (tmp_path / "tls").mkdir()
    certificate = authority.issue_cert("127.0.0.1")
    running = StandIn(tmp_path / "tls", "secret", certificate)
    yield running
    running.stop()


def connection(server: StandIn, ca_file: Path | None) -> QdrantConnection:
    return QdrantConnection("secret", ca_file, server.grpc_port, attempts=2, retry_seconds=0.01)


def build(url: str, connection: QdrantConnection) -> None:
    with PassageIndex.create(url, make_fingerprint(COUNT), connection=connection) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish()


def test_an_index_is_built_and_searched_over_tls(server: StandIn, ca_file: Path) -> None:
    url = f"{server.url}/zoo"
    assert url.startswith("https://")
    build(url, connection(server, ca_file))
    with PassageIndex.open(url, connection=connection(server, ca_file)) as index:
        assert ids(index.search(EMBEDDINGS[3], 1, mode="exact")) == ["p003"]
        assert verify_index(index) == [], "vectors come back by gRPC"
    assert {"upsert", "query", "scroll vectors"} <= set(server.operations)


def test_a_certificate_of_an_unknown_authority_is_refused(
    server: StandIn, ca_file: Path, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "another.pem"))
    for trusted in (None, tmp_path / "another.pem"):
        with pytest.raises(IndexUnavailable, match=r"not trusted: .*Set KBVQA_QDRANT_CA_FILE to"):
            build(f"{server.url}/zoo", connection(server, trusted))
    assert server.operations == [], "the key went nowhere"


def test_a_certificate_for_another_name_is_refused(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    server = StandIn(tmp_path, "secret", authority.issue_cert("qdrant.example"))
    try:
        with pytest.raises(IndexUnavailable, match=r"IP address mismatch.*as its certificate does"):
            build(f"{server.url}/zoo", connection(server, ca_file))
        assert server.operations == []
    finally:
        server.stop()


def test_grpc_checks_the_certificate_too(
    authority: trustme.CA, server: StandIn, ca_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "impostor").mkdir()
    impostor = StandIn(tmp_path / "impostor", None, trustme.CA().issue_cert("127.0.0.1"))
    try:
        elsewhere = replace(connection(server, ca_file), grpc_port=impostor.grpc_port)
        with pytest.raises(IndexUnavailable, match=r"not trusted: .*Set KBVQA_QDRANT_CA_FILE to"):
            build(f"{server.url}/zoo", elsewhere)
        assert impostor.operations == []
    finally:
        impostor.stop()


def test_plain_http_to_a_server_with_tls_is_explained(server: StandIn) -> None:
    url = f"{server.url}/zoo".replace("https", "http")
    with pytest.raises(
        IndexUnavailable, match=r"cannot be reached, 2 times: .*without TLS, as http"
    ):
        build(url, connection(server, None))


def test_tls_to_a_server_without_is_explained(stand_in: StandIn) -> None:
    url = f"{stand_in.url}/zoo".replace("http", "https")
    with pytest.raises(IndexUnavailable, match=r"does not speak TLS there: .*begins with http://"):
        build(url, connection(stand_in, None))


def test_tls_to_a_grpc_port_without_is_explained(
    server: StandIn, stand_in: StandIn, ca_file: Path
) -> None:
    elsewhere = replace(connection(server, ca_file), grpc_port=stand_in.grpc_port)
    with pytest.raises(
        IndexUnavailable, match=r"does not speak TLS there: .*KBVQA_QDRANT_GRPC_PORT"
    ):
        build(f"{server.url}/zoo", elsewhere)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff"])
def test_a_file_without_certificates_is_named(
    server: StandIn, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IndexUnavailable, match=r"KBVQA_QDRANT_CA_FILE: .*ca\.pem cannot be used"):
        build(f"{server.url}/zoo", connection(server, path))
