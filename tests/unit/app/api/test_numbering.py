"""Every request has a number, and no line of the log has what was asked."""

import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.application import Served
from app.api.numbering import HEADER
from app.feedback.store import FeedbackStore
from app.machine.logs import JsonFormatter, TextFormatter
from app.pipeline import Pipeline
from app.web.keeping import area
from app.web.views import views
from corpus.pictures.images import load_image
from generator.rewriting import Turn

MARKER = "zebrafinch-4711"
QUESTION = f"What is the capital of {MARKER}?"


class Lines(logging.Handler):
    """What would be written of the log, in both forms."""

    def __init__(self) -> None:
        super().__init__()
        self.json: list[dict[str, Any]] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.json.append(json.loads(JsonFormatter().format(record)))
        self.text += TextFormatter().format(record) + json.dumps(self.json[-1])

    def of(self, **known: object) -> list[dict[str, Any]]:
        return [line for line in self.json if known.items() <= line.items()]


@pytest.fixture
def lines() -> Any:
    handler, root = Lines(), logging.getLogger()
    ours = [logging.getLogger(name) for name in ("app", "generator", "retriever", "corpus")]
    root.addHandler(handler)
    for logger in ours:
        logger.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    for logger in ours:
        logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_s_number_is_in_its_answer_and_on_every_line_of_its_stages(
    client: TestClient, encoded: str, lines: Lines, stream: bool
) -> None:
    body = {"question": QUESTION, "image": encoded, "stream": stream}
    answer = client.post("/v1/ask", json=body, headers={HEADER: "mine-1"})
    assert answer.headers[HEADER] == "mine-1"
    said = json.loads(answer.text.split("data: ")[-1]) if stream else answer.json()
    assert said["request_id"] == "mine-1"
    stages = {line["stage"] for line in lines.of(request_id="mine-1") if "stage" in line}
    assert stages == {"encode", "search", "generate"}
    [last] = lines.of(route="/v1/ask")
    assert last["request_id"] == "mine-1" and last["status"] == 200 and last["ms"] > 0
    assert len(lines.json) == len(lines.of(request_id="mine-1"))


def test_without_a_number_of_use_one_is_made(client: TestClient, encoded: str) -> None:
    body = {"question": QUESTION, "image": encoded}
    made = [client.post("/v1/ask", json=body, headers={HEADER: "a b"}) for _ in range(2)]
    numbers = {answer.headers[HEADER] for answer in made}
    assert len(numbers) == 2 and {answer.json()["request_id"] for answer in made} == numbers
    found = client.post("/v1/search", json=body)
    assert found.json()["request_id"] == found.headers[HEADER]


def test_a_problem_has_it_too(client: TestClient, encoded: str) -> None:
    for path, body in (
        ("/v1/ask", {"question": "", "image": encoded}),
        ("/v1/nothing", {}),
        ("/v1/ask", {"question": 5}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code >= 400
        assert answer.json()["request_id"] == answer.headers[HEADER]


def test_what_nobody_expected_is_under_its_number_and_is_counted(
    client: TestClient, served: Served, monkeypatch: Any, encoded: str, lines: Lines
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"no rows for {QUESTION!r}")

    monkeypatch.setattr(served.pipeline.index, "search_many", broken)
    body = {"question": QUESTION, "image": encoded}
    answer = client.post("/v1/ask", json=body, headers={HEADER: "mine-2"})
    assert answer.status_code == 500 and answer.json()["request_id"] == "mine-2"
    assert answer.headers[HEADER] == "mine-2"
    [line] = lines.of(level="error")
    assert line["request_id"] == "mine-2" and "RuntimeError: no rows for" in line["exception"]
    assert MARKER not in lines.text
    streamed = client.post("/v1/ask", json=body | {"stream": True}, headers={HEADER: "mine-3"})
    assert '"request_id": "mine-3"' in streamed.text and MARKER not in lines.text
    counted = client.get("/metrics").text
    assert 'kbvqa_http_requests_total{method="POST",route="/v1/ask",status="500"} 1.0' in counted


def test_no_line_says_what_was_asked(client: TestClient, encoded: str, lines: Lines) -> None:
    before = [{"question": QUESTION, "answer": MARKER, "about": MARKER}]
    for body in (
        {"question": QUESTION, "image": encoded},
        {"question": QUESTION + " why" * 100, "image": encoded, "top_k": 2},
        {"question": "and its river?", "image": encoded, "after": before},
        {"question": QUESTION, "image": MARKER},
        {"question": QUESTION, "image": encoded, "boxes": [[0, 0, 9999, 9999]]},
        {"question": QUESTION, "image": encoded, "sources": [MARKER]},
        {"question": QUESTION, "image": encoded, MARKER: MARKER},
        {"question": QUESTION, "image": encoded, "stream": True, "why": True},
    ):
        client.post("/v1/ask", json=body)
    client.get(f"/v1/passages/{MARKER}")
    client.get(f"/{MARKER}?{MARKER}")
    assert lines.json and MARKER not in lines.text


def test_a_question_of_the_page_has_a_number_of_its_own(
    pipeline: Pipeline, png: bytes, lines: Lines, monkeypatch: Any
) -> None:
    after = (Turn(QUESTION, "Paris", "France"),)
    numbers = set()
    for _ in range(2):
        *_, view = views(pipeline, lambda: load_image(png), QUESTION, 2, after=after)
        assert view.record is not None
        numbers.add(number := view.record["request_id"])
        assert len(lines.of(request_id=number, stage="search")) == 1
    assert len(numbers) == 2
    monkeypatch.setattr(pipeline.index, "search_many", lambda *_, **__: {}[QUESTION])
    *_, view = views(pipeline, lambda: load_image(png), QUESTION, 2)
    [line] = lines.of(level="error")
    assert line["request_id"] in view.answer and "KeyError" in line["exception"]
    assert MARKER not in lines.text


def test_an_opinion_that_is_not_kept_is_not_in_the_log(tmp_path: Any, lines: Lines) -> None:
    store = FeedbackStore(tmp_path / "f")
    record = {"id": "0" * 32, "question": QUESTION, "answer": "Paris"}

    def broken(opinion: Any) -> None:
        raise RuntimeError(f"{opinion}")

    store.add = broken  # type: ignore[method-assign]
    said = {"verdict": "down", "reason": f"no {MARKER}!"}
    area._said(lambda: store.add(area._opinion(record, **said)), "thanks")
    [line] = lines.of(level="error")
    assert "RuntimeError" in line["exception"] and MARKER not in lines.text
