"""`kbvqa web` asked from elsewhere: by a real server on the tiny pipeline, and by what is none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.api.application import build_api
from app.asking.remote import ask_server
from app.asking.report import result_as_json
from app.errors import InvalidSettings, ServerRefused, ServerUnavailable
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.errors import InvalidImage
from corpus.pictures.images import load_image
from corpus.types import Query
from tests.served_here import served_here

KEY = "0123456789abcdef"
FIELDS: dict[str, Any] = {"question": "What is the capital of France?", "top_k": 2}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (32, 24), "red").save(tmp_path / "a.png")
    return tmp_path / "a.png"


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with served_here(app) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_server_says_what_its_pipeline_does(pipeline: Pipeline, picture: Path) -> None:
    query = Query(FIELDS["question"], load_image(picture), boxes=((0, 0, 8, 8),))
    here = json.loads(json.dumps(result_as_json(pipeline.ask(query, 2))))
    with serving(build_api(pipeline, Settings()).app) as url:
        there = ask_server(f"{url}/", picture, FIELDS | {"boxes": query.boxes})
        found = ask_server(url, picture, FIELDS | {"boxes": query.boxes}, answer=False)
        with pytest.raises(ServerRefused, match="The question is empty"):
            ask_server(url, picture, FIELDS | {"question": " "})
        with pytest.raises(ServerRefused, match="is not a picture"):
            ask_server(url, Path(__file__), FIELDS)
    del here["timings_ms"], there["timings_ms"], there["request_id"]
    assert there == here
    assert found["hits"] == here["hits"] and "answer" not in found


def test_passages_are_found_without_a_picture(pipeline: Pipeline) -> None:
    with serving(build_api(pipeline, Settings()).app) as url:
        fields = FIELDS | {"boxes": (), "after": '[{"question": "Where?"}]', "sources": []}
        found = ask_server(url, None, fields, answer=False)
        with pytest.raises(ServerRefused, match="image: it is missing"):
            ask_server(url, None, FIELDS)
    assert found["hits"] and "answer" not in found


def test_a_key_opens_it(pipeline: Pipeline, picture: Path) -> None:
    settings = Settings(api_keys=KEY, api_requests_per_minute=1)
    with serving(build_api(pipeline, settings).app) as url:
        with pytest.raises(ServerRefused, match=r"A key is needed.*\. Set KBVQA_API_KEYS"):
            ask_server(url, picture, FIELDS)
        assert ask_server(url, picture, FIELDS, key=KEY)["answer"] == "Paris"
        with pytest.raises(ServerRefused, match=r"come again in \d+ s\.$"):
            ask_server(url, picture, FIELDS, key=KEY)


FOUND: dict[str, Any] = {
    "hits": [dict.fromkeys(("passage_id", "title", "section", "url", "text"), "a")],
    "seen": "",
    "boxes": [],
    "notes": [],
    "timings_ms": {},
    "checkpoint": "c",
    "answer": None,
}
FOUND["hits"][0]["score"] = 1


@contextmanager
def other(body: bytes, **headers: str) -> Iterator[str]:
    """Give the address of a server that says this to whatever it is asked, once."""

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        thread.join()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>",
        b"[1]",
        b'{"hello": 1}',
        b"\xff",
        b"[" * 100_000,
        b'{"hits": [], "answer": null}',
        json.dumps(FOUND | {"hits": [{"passage_id": "a"}]}).encode(),
        json.dumps(FOUND | {"hits": [FOUND["hits"][0] | {"score": "high"}]}).encode(),
        json.dumps(FOUND | {"timings_ms": {"total": None}}).encode(),
        json.dumps(FOUND | {"answer": "Paris"}).encode(),
    ],
    ids=range(10),
)
def test_what_is_no_kbvqa_is_said(picture: Path, body: bytes) -> None:
    with other(body) as url, pytest.raises(ServerUnavailable, match="status 200, and not as"):
        ask_server(url, picture, FIELDS)


def test_more_than_is_known_of_a_result_is_kept(picture: Path) -> None:
    with other(json.dumps(FOUND | {"later": 1}).encode()) as url:
        assert ask_server(url, picture, FIELDS) == FOUND | {"later": 1}


def test_an_answer_that_is_not_packed_as_it_says_is_no_kbvqa_s(picture: Path) -> None:
    unpacked = json.dumps(FOUND).encode()
    said = pytest.raises(ServerUnavailable, match="another program, or a proxy")
    with other(unpacked, Content_Encoding="gzip") as url, said:
        ask_server(url, picture, FIELDS)


def test_what_cannot_be_asked_is_not_sent(picture: Path, tmp_path: Path) -> None:
    ported = ("http://:80", "http://h:x")
    named = ("http://", "http://[::1", "http://..", f"http://{'a' * 70}.net", "http://xn--a")
    for url in ("ftp://127.0.0.1", *ported, *named, "http://a\0b"):
        with pytest.raises(InvalidSettings, match="is no server"):
            ask_server(url, picture, FIELDS)
    with pytest.raises(InvalidImage, match="does not exist"):
        ask_server("http://127.0.0.1:9", tmp_path / "none.png", FIELDS)
    with pytest.raises(ServerUnavailable, match="Is `kbvqa web` running"):
        ask_server("http://127.0.0.1:9", picture, FIELDS)
