"""What comes on a socket that is no request, or two at once: a real server, and bytes by hand."""

import errno
import logging
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from app.api.numbering import NumberRequests
from app.web.serving import connections
from app.web.serving.connections import (
    BACKLOG,
    ImpatientProtocol,
    OutOfHandles,
    most_connections,
)
from tests.served_here import served_here

HELLO = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the path and the body."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode() + b"=" + body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with served_here(NumberRequests(echo), http=ImpatientProtocol, lifespan="off") as port:
        yield port


def told(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Return all that is answered to bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def test_a_head_that_does_not_come_is_not_waited_for(port: int) -> None:
    assert told(port) == b""
    assert told(port, b"GET /a HTTP/1.1\r\nHost") == b""
    drop_by_drop = told(port, b"GET /a HTTP/1.1\r\n", *[b"A: b\r\n"] * 2, pause=0.1)
    assert drop_by_drop == b""


def test_the_next_head_has_to_come_too(port: int) -> None:
    answer = told(port, HELLO, b"GET /b HTT", pause=0.1)
    assert answer.count(b"HTTP/1.1 200") == 1 and b"/a=" in answer


def test_a_slow_body_is_for_its_reader(port: int) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    assert b"/a=1234" in told(port, head, b"12", b"34", pause=0.7)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 60",
        b"Content-Length: 5, 60",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: -1",
        b"Content-Length : 5",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding\x0b: chunked",
        b"A: b\x00c\r\nContent-Length: 5",
    ],
)
def test_no_request_hides_behind_another(port: int, head: bytes) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n0\r\n\r\n" + SMUGGLED
    answer = told(port, request)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer
    assert answer.count(b"HTTP/1.1") == 1 and b"/smuggled=" not in answer


def test_so_many_connections_as_there_are_files_to_spare() -> None:
    assert most_connections() >= 16


def test_a_process_without_handles_says_so_once_and_not_with_every_try(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger, once = logging.getLogger("asyncio"), OutOfHandles()
    logger.addFilter(once)
    try:
        # As asyncio does, for each place of the backlog.
        for _ in range(BACKLOG):
            try:
                raise OSError(errno.EMFILE, "Too many open files")
            except OSError:
                logger.exception("socket.accept() out of system resource\nsocket: <socket>")
        logger.error("another thing")
    finally:
        logger.removeFilter(once)
    assert len(caplog.records) == 2 and caplog.messages[1] == "another thing"
    assert "ulimit -n" in caplog.messages[0] and caplog.records[0].exc_info is None


def test_a_body_that_is_not_http_is_one_line_of_the_log(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = told(port, head, b"ZZ\r\n", pause=0.1)
    assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1") == 1
    assert b"/after=" in told(port, HELLO.replace(b"/a ", b"/after "))  # and it still serves
    assert [record.getMessage() for record in caplog.records] == ["Invalid HTTP request received."]
    assert not any(record.exc_info for record in caplog.records)
