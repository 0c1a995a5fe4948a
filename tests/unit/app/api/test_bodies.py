"""What is read of a request, and what is refused: bounded before it is decoded, fetched never."""

import base64
import contextlib
import io
import json
import struct
import zlib
from functools import partial

import anyio
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message

from app.api import bodies
from app.api.application import Served
from app.api.line import Line, Place
from app.api.problems import Refusal
from app.api.schema import MOST_QUESTION, MOST_SAID, AskRequest
from app.asking.ask import MAX_WAITING
from app.flow.talk import MOST_TURNS
from app.settings import Settings

JSON = {"Content-Type": "application/json"}
QUESTION = "What is the capital of France?"


def refusal(client: TestClient, *, status: int = 422, **request: object) -> str:
    answer = client.post("/v1/ask", **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == status
    return str(problem["detail"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"question": ""}, "The question is empty. Ask something about the picture."),
        ({"question": "  "}, "The question is empty"),
        ({"question": "Thanks!"}, "'Thanks!' is no question. Ask something about the picture."),
        ({"question": "... \U0001f44d"}, "is no question. Ask something about the picture."),
        ({"question": "why " * 200}, "at most 500"),
        ({"question": 5}, "question: send a text"),
        ({"top_k": 21}, "top_k: send a whole number from 1 to 20, or leave it out"),
        ({"top_k": "many"}, "top_k: send a whole number"),
        ({"top_k": True}, "top_k: send a whole number"),
        ({"within_seconds": True}, "within_seconds: send a number of seconds above 0"),
        ({"within_seconds": False}, "within_seconds: send a number of seconds above 0"),
        ({"boxes": [[False, False, True, True]]}, "boxes.0.0: send at most 16 parts"),
        ({"strategy": "guess"}, "strategy: send one of extract, concat"),
        ({"boxes": [[1, 2, 3]]}, "boxes.0: send at most 16 parts"),
        ({"boxes": [[0, 0, 4000, 4000]]}, "4000"),
        ({"boxes": [[0, 0, 10**30, 5]]}, "box (0, 0, 1"),
        ({"boxes": ["1,2,3"]}, "is not left,upper,right,lower"),
        ({"image": None}, "image: send the picture"),
        ({"image": "AAAA"}, "is not a picture"),
        ({"image": "A"}, "is not base64"),
        ({"image": ""}, "is empty"),
        ({"image": "http://127.0.0.1/a.png"}, "addresses are not opened"),
        ({"image": "data:image/png,AAAA"}, "in base64"),
        ({"topk": 3}, "topk: there is no such field; there are question, image, top_k, "),
    ],
)
def test_what_cannot_be_asked_is_said_by_field(
    client: TestClient, encoded: str, change: dict, says: str
) -> None:
    fields = {"question": QUESTION, "image": encoded} | change
    assert says in refusal(client, json=fields)
    assert encoded not in refusal(client, json=fields)


@pytest.mark.parametrize(
    "written",
    [
        lambda text: "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\n",
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: "DATA:image/PNG;Base64," + text,
    ],
)
def test_a_picture_may_be_written_as_programs_write_it(client: TestClient, written) -> None:
    file = io.BytesIO()
    Image.effect_noise((32, 24), 90).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    assert "+" in text and "/" in text
    answer = client.post("/v1/search", json={"question": QUESTION, "image": written(text)})
    assert answer.status_code == 200, answer.text


def test_null_is_a_field_that_is_left_out(client: TestClient, encoded: str) -> None:
    nothing = dict.fromkeys(("top_k", "boxes", "sources", "after"))
    answer = client.post("/v1/search", json={"question": QUESTION, "image": encoded} | nothing)
    assert answer.status_code == 200, answer.text


def test_what_is_missing_is_said(client: TestClient, png: bytes, encoded: str) -> None:
    assert "image: it is missing; send the picture" in refusal(client, json={"question": "a"})
    assert "question: it is missing; send a text" in refusal(client, files={"image": png})
    assert refusal(client, data={"question": ""}, files={"image": png}) == (
        "The question is empty. Ask something about the picture."
    )


@pytest.mark.parametrize("escaped", [True, False])
def test_a_conversation_may_be_as_long_as_its_turns(
    client: TestClient, png: bytes, escaped: bool
) -> None:
    texts = {"question": MOST_QUESTION, "answer": MOST_SAID, "about": MOST_SAID}
    turn = {name: "𝄞" * most for name, most in texts.items()}
    form = {"question": QUESTION, "after": json.dumps([turn] * MOST_TURNS, ensure_ascii=escaped)}
    answer = client.post("/v1/search", data=form, files={"image": png})
    assert answer.status_code == 200, answer.text
    # Of what only says what is talked of, the end is left out.
    longer = [turn | {"answer": "a" * (MOST_SAID + 1), "about": "b" * (MOST_SAID + 1)}]
    assert client.post("/v1/search", json={**form, "after": longer}).status_code == 200
    said = refusal(
        client, data={**form, "after": "[" * 3_000_000}, files={"image": png}, status=413
    )
    assert said.startswith("after is larger than 2 MB: send at most 8 turns")


def test_every_field_has_words_for_what_to_send() -> None:
    assert set(bodies.WANTED) == set(AskRequest.model_fields)


def test_what_is_no_request_is_refused(client: TestClient, png: bytes) -> None:
    assert "The body is not JSON: EOF" in refusal(client, content=b"{", headers=JSON)
    lone = b'{"question": "\\ud800"}'  # half a character
    assert "The body is not JSON" in refusal(client, content=lone, headers=JSON)
    assert "The body is not an object" in refusal(client, content=b"[]", headers=JSON)
    assert "Content-Type ''" in refusal(client, status=415)
    form = {"Content-Type": "multipart/form-data"}
    assert "cannot be read" in refusal(client, status=400, content=b"x", headers=form)
    twice = [("image", png), ("image", png)]
    said = refusal(client, status=400, data={"question": "a"}, files=twice)
    assert said == "The form cannot be read: image and image are files; send one, as image."
    other = [("image", png), ("photo", png)]
    said = refusal(client, status=400, data={"question": "a"}, files=other)
    assert said == "The form cannot be read: image and photo are files; send one, as image."
    said = refusal(client, status=400, files={"": ("flag.png", png)})
    assert said == "The form cannot be read: a part of it has no name; the picture's is image."
    said = refusal(client, status=400, data={"question": "a"}, files={"image": ("", png)})
    assert said.endswith("image is not utf-8; send the picture as a file, with a filename.")
    questions = {"question": ["a", "b"]}
    assert "question: it is there twice" in refusal(client, data=questions, files={"image": png})
    as_file = {"question": ("q.txt", b"What?"), "image": ("", "AAAA")}
    assert "is not a picture" in refusal(client, files=as_file)
    assert "boxes" in refusal(client, data={"question": "a", "boxes": ""}, files={"image": png})


def test_a_part_of_a_form_is_not_taken_for_the_whole(client: TestClient, png: bytes) -> None:
    parts = {"data": {"question": QUESTION}, "files": {"image": ("flag.png", png)}}
    whole = client.build_request("POST", "/v1/search", **parts)
    body, headers = whole.read(), {"Content-Type": whole.headers["content-type"]}
    assert client.post("/v1/search", content=body, headers=headers).status_code == 200
    # No line end after the last boundary, as some write it, and more behind it, which is no part.
    assert client.post("/v1/search", content=body.rstrip(), headers=headers).status_code == 200
    assert client.post("/v1/search", content=body + b"\r\n", headers=headers).status_code == 200
    picture = body.index(png)
    for end in (picture, picture + 9, picture + len(png), body.index(b"filename"), len(body) - 4):
        said = refusal(client, status=400, content=body[:end], headers=headers)
        assert said == "The form cannot be read: it ends before its last boundary."
    latin = body.replace(b"capital", "capitál".encode("latin-1"))
    said = refusal(client, status=400, content=latin, headers=headers)
    assert said == "The form cannot be read: question is not utf-8."


def test_a_body_is_bounded_by_what_it_says_and_by_what_comes(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, png: bytes
) -> None:
    monkeypatch.setattr(bodies, "MAX_IMAGE_BYTES", 1000)
    monkeypatch.setattr(bodies, "_FIELDS_BYTES", 1000)
    large = {"question": "What?", "image": base64.b64encode(bytes(5000)).decode()}
    read = 0

    def chunks():
        nonlocal read
        for chunk in [json.dumps(large).encode()[:1000]] * 1000:
            read += 1
            yield chunk

    assert "larger than" in refusal(client, status=413, json=large)
    assert "larger than" in refusal(client, status=413, content=chunks(), headers=JSON)
    said = refusal(client, status=413, data={"question": "a"}, files={"image": bytes(5000)})
    assert "larger than" in said
    small = client.post("/v1/ask", data={"question": "What?"}, files={"image": png})
    assert small.status_code == 200


def test_a_picture_that_is_a_little_too_large_is_as_one_that_is_much_too_large(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.pictures.images.MAX_IMAGE_BYTES", 1000)
    picture = bytes(1001)
    by_form = {"data": {"question": "What?"}, "files": {"image": picture}}
    by_json = {"question": "What?", "image": base64.b64encode(picture).decode()}
    for request in (by_form, {"json": by_json}, {"json": by_json | {"stream": True}}):
        assert "the picture is larger than" in refusal(client, status=413, **request)


def test_a_picture_of_too_many_pixels_is_not_decoded(client: TestClient) -> None:
    """100 gigapixels, in a hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 100_000, 1_000_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    bomb = b"\x89PNG\r\n\x1a\n" + data
    said = refusal(client, data={"question": "What?"}, files={"image": bomb})
    assert "more than 64 megapixels" in said


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.01)
    headers = [(b"content-type", b"application/json")]
    request = Request({"type": "http", "headers": headers}, receive=anyio.sleep_forever)
    with pytest.raises(Refusal, match="was not there") as refused:
        anyio.run(bodies.read_request, request, AskRequest, int)
    assert refused.value.status_code == 408


def test_addresses_that_there_are_not_are_problems_too(served: Served, client: TestClient) -> None:
    for path in ("/v1/nothing", "/v1/", "/v1/passages/", "/v1/passages/p:none", "//v1/models"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    served.app.mount("/", PlainTextResponse("of the page", 404))
    for method, path, allowed in (
        ("GET", "/v1/ask", "POST"),
        ("TRACE", "/v1/models", "GET"),
        ("POST", "/v1/openapi.json", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("BREW", "/readyz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert f"send {allowed}" in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_long_line_refuses() -> None:
    anyio.run(_long_line)


async def _long_line() -> None:
    line = Line(at_once=1, waiting=1)
    with line.place() as first, line.place() as second, line.place() as late:
        await first.turn()
        async with anyio.create_task_group() as waits:
            waits.start_soon(second.turn)
            await anyio.wait_all_tasks_blocked()
            assert line.waiting() == 1
            with pytest.raises(Refusal, match="2 requests are answered or wait") as full:
                await late.turn()
            assert full.value.status_code == 429 and full.value.headers == {"Retry-After": "5"}
            with pytest.raises(Refusal), line.place():
                raise AssertionError("it is not even read")
            waits.cancel_scope.cancel()
    assert line.waiting() == 0
    with line.place() as next_one:
        await next_one.turn()


def test_who_is_refused_hears_how_long_the_line_takes() -> None:
    anyio.run(_a_line_that_learns)


async def _a_line_that_learns() -> None:
    now = [0.0]
    line = Line(at_once=2, waiting=2, clock=lambda: now[0])
    with line.place() as first:
        await first.turn()
        now[0] += 4.0
    with contextlib.ExitStack() as places, line.place() as late:
        two = [places.enter_context(line.place()) for _ in range(4)]
        async with anyio.create_task_group() as waits:
            for place in two:
                waits.start_soon(place.turn)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Refusal, match=r"come again in 8 s\.") as full:  # two rounds of 4 s
                await late.turn()
            assert full.value.headers == {"Retry-After": "8"}
            waits.cancel_scope.cancel()
    line = Line(at_once=1, waiting=0, clock=lambda: now[0])
    with line.place() as slow:
        await slow.turn()
        now[0] += 9999.0
    with line.place() as again:
        await again.turn()
        with pytest.raises(Refusal, match="300 s"), line.place():
            raise AssertionError("it is not even read")


def test_requests_that_do_not_come_keep_nobody_out(served: Served, png: bytes) -> None:
    """More than there are places send the first byte of a body, and no more."""
    sent: list[int] = []

    async def ask(app: ASGIApp, body: bytes, *, whole: bool) -> None:
        bodies = iter([{"type": "http.request", "body": body, "more_body": not whole}])

        async def receive() -> Message:
            if (part := next(bodies, None)) is None:
                await anyio.sleep_forever()
            return part or {}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.append(message["status"])

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": headers}
        await app({**scope, "query_string": b"", "client": ("127.0.0.1", 1)}, receive, send)

    async def crowd() -> None:
        async with anyio.create_task_group() as slow:
            for _ in range(MAX_WAITING + Settings().concurrent_questions + 1):
                slow.start_soon(partial(ask, served.app, b"{", whole=False))
            await anyio.wait_all_tasks_blocked()
            await ask(served.app, json.dumps({"question": QUESTION}).encode(), whole=True)
            slow.cancel_scope.cancel()

    anyio.run(crowd)
    assert sent == [200]


def test_all_bodies_together_are_bounded() -> None:
    line = Line(most_bytes=10)
    with line.place() as first, line.place() as second:
        first.hold(6)
        second.hold(4)
        with pytest.raises(Refusal, match="hold 0 MiB: come again") as full:
            first.hold(1)
        assert full.value.status_code == 429
    with line.place() as later:
        later.hold(10)


def test_what_is_read_is_held(served: Served, client: TestClient, monkeypatch, png: bytes) -> None:
    monkeypatch.setattr(Place, "hold", lambda place, size: _full(size))
    assert refusal(client, status=503, json={"question": "What?"}) == "full"
    asked = {"data": {"question": "What?"}, "files": {"image": png}}
    assert refusal(client, status=503, **asked) == "full"


def test_a_full_line_is_a_problem(
    served: Served, client: TestClient, monkeypatch: pytest.MonkeyPatch, encoded: str
) -> None:
    monkeypatch.setattr(Line, "place", _full)
    said = refusal(client, status=503, json={"question": "What?", "image": encoded})
    assert said == "full"


def _full(*_: object) -> None:
    raise Refusal(503, "full")
