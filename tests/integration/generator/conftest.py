"""A server of the OpenAI protocol on a free port."""

from collections.abc import Iterator

import pytest

from tests.integration.generator_server import Server, serve


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture
def says_nairobi(server: Server) -> None:
    server.answer = lambda handler: handler.events("Nai", "robi")
