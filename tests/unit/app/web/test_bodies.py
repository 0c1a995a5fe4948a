"""What comes to the page as the body of a request: a real server, and bytes by hand."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.api.application import build_api
from app.pipeline import Pipeline
from app.settings import Settings
from app.web.page import build_page
from app.web.serving import bodies, uploads
from app.web.serving.serve import mounted
from app.web.serving.uploads import make_room, own_uploads
from tests.served_here import served_here

MIB = b"a" * (1 << 20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with own_uploads() as folder:
        yield folder


@pytest.fixture
def port(pipeline: Pipeline, folder: Path) -> Iterator[int]:
    settings = Settings()
    api = build_api(pipeline, settings)
    app = mounted(api, build_page(api.pipeline, settings), settings, folder)
    with served_here(app, http="h11") as port:
        yield port


def post(path: str, kind: str) -> bytes:
    """Return the head of a request whose body never ends."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return head.encode() + b"Content-Length: 9999999999\r\n\r\n"


def status(connection: socket.socket) -> int:
    return int(connection.recv(4096).split()[1])


def sent(port: int, head: bytes, part: bytes, most: int = 100) -> tuple[int, int]:
    """Return the status that a body is answered with, and how many parts of it were sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head)
        connection.settimeout(0.05)
        for count in range(most):
            try:
                connection.sendall(part)
                return status(connection), count
            except TimeoutError:
                continue
            except OSError:
                return 413, count  # it was answered, and closed before we looked
        return 0, most


FORM = "multipart/form-data; boundary=B"
FIELD = b'--B\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
FILE = b'--B\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
TEXTS = [
    ("/gradio_api/queue/join", "application/json", b'{"data": "'),
    ("/gradio_api/upload", FORM, FIELD),
]


@pytest.mark.parametrize(("path", "kind", "begin"), TEXTS)
def test_what_is_no_file_fills_no_memory(
    port: int, monkeypatch: pytest.MonkeyPatch, path: str, kind: str, begin: bytes
) -> None:
    monkeypatch.setattr(bodies, "MOST_FORM_BYTES", 8 << 20)
    answered, parts = sent(port, post(path, kind) + begin, MIB)
    assert (answered, parts < 16) == (413, True)


@pytest.mark.parametrize(("path", "kind", "begin"), TEXTS)
def test_a_body_that_does_not_come_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch, path: str, kind: str, begin: bytes
) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.3)
    answered, _ = sent(port, post(path, kind) + begin, b"a")
    assert answered == 408


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def test_bodies_that_come_together_have_one_bound(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_HELD_BYTES", 3 << 20)
    path, kind, begin = TEXTS[0]
    head = post(path, kind) + begin
    with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
        other.sendall(head + MIB + MIB)
        assert until(lambda: sent(port, head, MIB, most=3)[0] == 503)
    whole = head.replace(b"9999999999", b"%d" % (len(begin) + len(MIB)))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(whole + MIB)  # there is room again
        assert status(connection) == 422  # it is not JSON


def test_an_upload_that_is_cut_is_no_error_of_the_server(
    port: int, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(post("/gradio_api/upload", FORM) + FILE + MIB)
        assert until(lambda: len(list(folder.iterdir())) > 0)
    assert until(lambda: "POST page: " in caplog.text)
    assert "POST page: 499" in caplog.text
    assert not [line for line in caplog.records if line.levelno >= logging.ERROR]


def test_films_are_not_taken(port: int) -> None:
    for path in ("/gradio_api/process_recording", "/gradio_api/process_recording/"):
        assert sent(port, post(path, FORM), FILE)[0] == 404


def test_the_oldest_uploads_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = tmp_path / "tmpxyz"
    cut.write_bytes(b"a" * 50)
    whole = [tmp_path / name / "a.png" for name in "0123"]
    for path in whole:
        path.parent.mkdir()
        path.write_bytes(b"a" * 50)
    for age, path in enumerate([cut, *whole]):
        os.utime(path, (age, age))
    monkeypatch.setattr(uploads, "MOST_KEPT_BYTES", 180)
    make_room(tmp_path)
    assert sorted(tmp_path.rglob("*.png")) == whole[1:] and not cut.exists()
    assert not whole[0].parent.exists()
    monkeypatch.setattr(uploads, "MOST_KEPT_FILES", 2)
    make_room(tmp_path)
    assert sorted(tmp_path.rglob("*.png")) == whole[2:]
    make_room(tmp_path / "none")
