"""A question ends when its time is over or nobody waits for it, wherever it is by then."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from app.api import routes
from app.api.application import Served, build_api
from app.api.attending import attended, steps
from app.api.line import Line, SharedPipeline
from app.api.metrics import Metrics
from app.errors import CalledOff, OutOfTime
from app.flow.clock import timed
from app.machine.request import Request, of_request
from app.pipeline import Pipeline
from app.settings import Settings
from app.web.views import views
from corpus.pictures.images import load_image
from corpus.types import Query
from generator.interface import Waiting
from tests.served_here import HERE

QUESTION = "What is the capital of France?"
SHORT = 0.2


class Endless:
    """A generator that works and works; knows whether it began (this may be slow) and stopped."""

    def __init__(self, generator: Any) -> None:
        self.started, self.stopped = threading.Event(), threading.Event()
        generator.stream = self.stream

    def stream(self, prompt: object, **_: object) -> Iterator[Waiting]:
        self.started.set()
        try:
            while True:
                time.sleep(0.01)
                yield Waiting()
        finally:
            self.stopped.set()


def outcomes(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    counted = [line.split() for line in lines if line.startswith("kbvqa_questions_total{")]
    return {name.split('"')[1]: float(count) for name, count in counted if float(count)}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_a_504_and_is_stopped(
    client: TestClient, served: Served, generator: Any, encoded: str, stream: bool
) -> None:
    endless = Endless(generator)
    body = {"question": QUESTION, "image": encoded, "within_seconds": 1.0, "stream": stream}
    answer = client.post("/v1/ask", json=body)
    problem = json.loads(answer.text.split("data: ")[-1]) if stream else answer.json()
    assert problem["status"] == 504 and answer.status_code == (200 if stream else 504)
    assert "There was no answer within 1 s, and the work on it was stopped." in problem["detail"]
    turns = served.pipeline._turns
    assert turns.acquire(timeout=60) and turns.acquire(timeout=60)
    assert endless.stopped.is_set() == endless.started.is_set()
    if endless.started.is_set():
        assert outcomes(client) == {"late": 1.0}


def test_the_server_s_time_counts_where_it_is_shorter(
    pipeline: Pipeline, generator: Any, encoded: str
) -> None:
    Endless(generator)
    body = {"question": QUESTION, "image": encoded, "within_seconds": 3600}
    app = build_api(pipeline, Settings(answer_seconds=SHORT)).app
    with TestClient(app, base_url=HERE) as client:
        answer = client.post("/v1/ask", json=body)
        assert answer.status_code == 504 and "within 0.2 s" in answer.json()["detail"]
        for wrong in (0, -1, 3601, "soon"):
            refused = client.post("/v1/ask", json=body | {"within_seconds": wrong})
            assert refused.status_code == 422
            assert "within_seconds: send a number of seconds" in refused.json()["detail"]


def test_a_step_that_cannot_be_stopped_is_not_waited_for_and_the_next_is_not_begun(
    client: TestClient, served: Served, generator: Any, encoded: str, monkeypatch: Any
) -> None:
    index, free = served.pipeline.index, threading.Event()
    started, ended = threading.Event(), threading.Event()
    assert index is not None
    search = index.search_many

    def slow(*given: Any, **named: Any) -> Any:
        started.set()
        assert free.wait(60)
        try:
            return search(*given, **named)
        finally:
            ended.set()

    monkeypatch.setattr(index, "search_many", slow)
    body = {"question": QUESTION, "image": encoded, "within_seconds": 1.0}
    assert client.post("/v1/ask", json=body).status_code == 504
    assert not ended.is_set(), "it was answered while the search went on"
    free.set()
    turns = served.pipeline._turns
    assert turns.acquire(timeout=60) and turns.acquire(timeout=60)
    assert ended.is_set() == started.is_set()
    assert not generator.asked
    if started.is_set():
        assert outcomes(client) == {"late": 1.0}


def test_the_wait_for_a_turn_is_part_of_the_time(
    client: TestClient, served: Served, generator: Any, encoded: str
) -> None:
    turns = served.pipeline._turns
    assert turns.acquire(timeout=1) and turns.acquire(timeout=1)
    body = {"question": QUESTION, "image": encoded, "within_seconds": SHORT}
    assert client.post("/v1/ask", json=body).status_code == 504
    assert not generator.asked


@pytest.mark.parametrize("address", ["/v1/ask", "/v1/search"])
def test_a_picture_that_is_decoded_for_too_long_is_counted_as_late(
    client: TestClient, encoded: str, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    decoding = threading.Event()

    def slow(picture: bytes) -> None:
        assert decoding.wait(60)

    monkeypatch.setattr(routes, "load_image", slow)
    body = {"question": QUESTION, "image": encoded, "within_seconds": SHORT}
    assert client.post(address, json=body).status_code == 504
    decoding.set()
    assert outcomes(client) == {"late": 1.0}


def disconnected(after: anyio.Event) -> HttpRequest:
    async def receive() -> dict[str, Any]:
        await after.wait()
        return {"type": "http.disconnect"}

    return HttpRequest({"type": "http", "headers": []}, receive)


def test_who_leaves_the_line_makes_room_and_is_not_answered() -> None:
    async def leave() -> None:
        counted: list[str] = []
        line = Line(at_once=1, waiting=1, ended=counted.append)
        left, begun = anyio.Event(), []
        with line.place() as first:
            await first.turn()

            async def second() -> None:
                with line.place() as place:

                    async def work() -> Response:
                        await place.turn()
                        begun.append(place)
                        return Response()

                    gone = await attended(disconnected(left), work)
                    assert gone.status_code == 499

            with of_request("r1") as request:
                async with anyio.create_task_group() as group:
                    group.start_soon(second)
                    await anyio.wait_all_tasks_blocked()
                    assert line.waiting() == 1
                    left.set()
            assert line.waiting() == 0 and request.left and not begun
            assert counted == ["left"]

    anyio.run(leave)


def test_time_in_the_line_is_part_of_it_too() -> None:
    async def wait() -> None:
        counted: list[str] = []
        line = Line(at_once=1, waiting=1, ended=counted.append)
        with line.place() as first, line.place() as place, of_request("r1") as request:
            await first.turn()
            request.give(0.05)

            async def work() -> Response:
                await place.turn()
                return Response()

            with pytest.raises(OutOfTime, match=r"within 0\.05 s"):
                await attended(disconnected(anyio.Event()), work)
        assert line.waiting() == 0 and counted == ["late"]

    anyio.run(wait)


def test_every_outcome_is_there_from_the_beginning_for_an_alert_of_the_first(
    client: TestClient,
) -> None:
    # increase() of a figure that comes into being as 1 is 0.
    said = client.get("/metrics").text
    for outcome in ("given", "unsure", "withheld", "found", "failed", "error", "away", "late"):
        assert f'kbvqa_questions_total{{outcome="{outcome}"}} 0.0' in said


def test_what_work_raises_comes_out_as_it_is() -> None:
    async def fail() -> None:
        async def work() -> Response:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await attended(disconnected(anyio.Event()), work)

    anyio.run(fail)


def test_events_are_closed_after_the_step_that_is_under_way() -> None:
    closed: list[str] = []

    def events() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    async def read_one() -> None:
        coming = steps(events())  # type: ignore[arg-type]
        assert await anext(coming) == 1
        await coming.aclose()

    anyio.run(read_one)
    assert closed == ["closed"]


def test_a_step_is_not_begun_for_nobody() -> None:
    timings: dict[str, float] = {}
    with timed(timings, "alone"):
        pass
    with of_request(Request("r1", left=True)), pytest.raises(CalledOff), timed(timings, "left"):
        raise AssertionError("begun")
    with of_request("r2") as request:
        request.give(100)
        request.give(200)
        assert request.seconds == 100 and request.seconds_left() <= 100
        request.give(-1)
        with pytest.raises(OutOfTime), timed(timings, "late"):
            raise AssertionError("begun")
    assert list(timings) == ["alone"]


def test_a_question_of_the_page_ends_too(pipeline: Pipeline, png: bytes, generator: Any) -> None:
    endless = Endless(generator)
    shared = SharedPipeline(pipeline, Metrics(), SHORT)
    *_, view = views(shared, lambda: load_image(png), QUESTION, 2)
    assert "There was no answer within 0.2 s" in view.answer
    assert endless.stopped.is_set() == endless.started.is_set()


def test_a_server_that_stops_takes_nothing_new(
    client: TestClient, served: Served, encoded: str, png: bytes
) -> None:
    under_way = served.pipeline.run(Query(QUESTION, load_image(png)), 2)
    next(under_way)
    assert served.pipeline.under_way == 1
    assert served.finish(0.0, threading.Event()) == 1
    assert client.get("/readyz").json() == {"ready": False, "missing": [], "stopping": True}
    refused = client.post("/v1/ask", json={"question": QUESTION, "image": encoded})
    assert refused.status_code == 503 and "Retry-After" in refused.headers
    *_, view = views(served.pipeline, lambda: load_image(png), QUESTION, 2)
    assert "is being stopped" in view.answer
    assert list(under_way), "what was under way goes on"
    assert served.finish(60.0, threading.Event()) == 0


def test_who_stands_in_the_line_is_answered_though_the_server_is_stopped(
    served: Served, encoded: str
) -> None:
    async def stop() -> None:
        body = {"question": QUESTION, "image": encoded}
        app = httpx.ASGITransport(served.app)
        async with httpx.AsyncClient(transport=app, base_url=HERE) as client:
            with ExitStack() as places:
                for _ in range(2):
                    await places.enter_context(served.line.place()).turn()
                statuses: list[int] = []

                async def ask() -> None:
                    statuses.append((await client.post("/v1/ask", json=body)).status_code)

                async with anyio.create_task_group() as group:
                    group.start_soon(ask)
                    while not served.line.waiting():
                        await anyio.sleep(0.001)
                    served.finish(0, threading.Event())
                    await ask()
                    assert statuses == [503], "it came later"
                    places.close()
                assert statuses == [503, 200]

    anyio.run(stop)
