"""Whose certificates a Qdrant server's clients read, before they connect."""

import ssl
from pathlib import Path

import pytest

from retriever.engines.connection import QdrantConnection
from retriever.engines.server.client import connect


@pytest.fixture(autouse=True)
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the environment's certificates fails."""
    path = tmp_path / "certificates.pem"
    path.write_text("no certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


def test_none_are_read_where_no_tls_is_spoken() -> None:
    for client in connect("http://db:6333", QdrantConnection()):
        client.close()


def test_those_of_the_environment_are_read_for_tls() -> None:
    with pytest.raises(ssl.SSLError):
        connect("https://db:6333", QdrantConnection())
