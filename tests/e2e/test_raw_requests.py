"""Requests that no client library sends, as bytes to a real server: refused, and it goes on."""

import errno
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from corpus.demo.data import demo_dir

PICTURE = demo_dir() / "examples" / "kenya.png"
BODY = b'{"question": "What?"}'
HIDDEN = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
ASK = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def get(path: bytes, *headers: bytes) -> bytes:
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: localhost", *headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


# By what they are: the bytes, and the statuses that may come; none is for no answer at all.
REFUSED = {
    "two lengths": (ASK + LENGTH + b"Content-Length: 5\r\n\r\n" + BODY, {400}),
    "a length and chunks": (ASK + LENGTH + CHUNKED + b"\r\n" + END + HIDDEN, {400, 422}),
    "chunks, hidden": (
        ASK + b"Transfer-Encoding: xchunked\r\n" + LENGTH + b"\r\n" + BODY,
        {400, 501},
    ),
    "chunks twice": (ASK + CHUNKED + CHUNKED + b"\r\n" + END + HIDDEN, {400, 501}),
    "chunks with a space": (ASK + b"Transfer-Encoding : chunked\r\n\r\n" + END, {400}),
    "chunks of no number": (ASK + CHUNKED + b"\r\nzz\r\n" + BODY, {400}),
    "a negative length": (ASK + b"Content-Length: -1\r\n\r\n" + BODY, {400}),
    "a length with a sign": (ASK + b"Content-Length: +21\r\n\r\n" + BODY, {400}),
    "a length beyond all": (ASK + b"Content-Length: 99999999999999999999\r\n\r\n", {400, 413}),
    "a folded header": (get(b"/healthz", b"X-A: b", b" c: d"), {200, 400}),
    "a header without a colon": (get(b"/healthz", b"nothing"), {400}),
    "a header of nothing": (get(b"/healthz", b": nothing"), {400}),
    "a zero in a header": (get(b"/healthz", b"X-A: b\x00c"), {400}),
    "a long header": (get(b"/healthz", b"X-A: " + b"a" * 200_000), {400, 431}),
    "many headers": (get(b"/healthz", *[b"X-%d: a" % n for n in range(20_000)]), {400, 431}),
    "a long address": (get(b"/" + b"a" * 200_000), {400, 414}),
    "a line alone": (b"GET /healthz\r\n\r\n", {400}),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\n", {400, 404, 405}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), {400}),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    "another's name": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", {421}),
    "two hosts": (get(b"/healthz", b"Host: b"), {400}),
    "a method of its own": (b"BREW /v1/ask HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
    "another's address": (get(b"http://169.254.169.254/latest/meta-data"), {404}),
    "a number with a line": (get(b"/healthz", b"X-Request-ID: a\rSet-Cookie: b"), {200, 400}),
    "a file above": (get(b"/../../../../etc/passwd"), {400, 404}),
    "a file above, hidden": (get(b"/v1/passages/..%2f..%2f..%2fetc%2fpasswd"), {400, 404}),
    "a file by the page": (get(b"/gradio_api/file=/etc/passwd"), {403, 404}),
    "a file by the page, above": (get(b"/gradio_api/file=../../../etc/passwd"), {400, 403, 404}),
    "an address by the page": (get(b"/gradio_api/proxy=http://169.254.169.254/"), {400, 403, 404}),
}


def answers(server: str, sent: bytes) -> list[bytes]:
    """Return the answers to bytes, apart, until the server has no more to say."""
    port, said = int(server.rpartition(":")[2]), b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                said += piece
        except OSError as error:  # refused before all was sent, or even before the end was said
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                raise
    return [b"HTTP/1.1 " + part for part in said.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(server: str, what: str) -> None:
    sent, allowed = REFUSED[what]
    said = answers(server, sent)
    assert len(said) <= 1, f"one request has one answer: {said}"
    statuses = {int(answer.split()[1]) for answer in said}
    assert statuses <= allowed, said
    assert b"root:" not in b"".join(said) and b"Set-Cookie: b" not in b"".join(said)
    assert httpx.get(f"{server}/healthz").status_code == 200


@pytest.mark.slow
def test_who_sends_slowly_keeps_nobody_waiting(server: str) -> None:
    port = int(server.rpartition(":")[2])

    def drip() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(ASK + b"Content-Length: 1000000\r\n\r\n")
            for _ in range(20):
                connection.sendall(b"a")
                time.sleep(0.2)

    with ThreadPoolExecutor(50) as pool:
        dripping = [pool.submit(drip) for _ in range(50)]
        for _ in range(3):
            said = httpx.post(f"{server}/v1/search", json={"question": "What?"}, timeout=30)
            assert said.status_code == 200, said.text
        for sent in dripping:
            sent.result()
    assert httpx.get(f"{server}/healthz").status_code == 200
