"""One tree of spans for each question, without a word of the user's, and passed on."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.application import Served, build_api
from app.api.numbering import HEADER
from app.errors import InvalidSettings, MissingExtra
from app.machine import extras, tracing
from app.pipeline import Pipeline
from app.settings import Settings
from app.web.views import views
from corpus.pictures.images import load_image
from generator.answers.answering import Answering
from generator.answers.plan import AnswerPlan
from generator.errors import GeneratorUnavailable
from generator.server.client import OpenAIGenerator
from tests.integration.generator_server import KEY, MODEL, serve
from tests.served_here import HERE

sdk = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)

MARKER = "zebrafinch-4711"
QUESTION = f"What is the capital of {MARKER}?"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Spans:
    """What was kept, by name."""

    def __init__(self, kept: InMemorySpanExporter) -> None:
        self._kept = kept

    def __call__(self) -> dict[str, Any]:
        every = self._kept.get_finished_spans()
        by_name = {span.name: span for span in every}
        assert len(by_name) == len(every), "each once"
        return by_name

    def tree(self) -> dict[str, str]:
        """Return the name of each span's parent; "" for none, "caller" for the test's."""
        names = {span.context.span_id: span.name for span in self().values()}
        names[int(CALLER, 16)] = "caller"
        return {
            name: names[span.parent.span_id] if span.parent else "" for name, span in self().items()
        }

    def text(self) -> str:
        return "".join(span.to_json() for span in self._kept.get_finished_spans())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    kept, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("test"))
    yield Spans(kept)
    provider.shutdown()


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_is_one_tree_below_its_caller(
    client: TestClient, encoded: str, spans: Spans, stream: bool
) -> None:
    before = [{"question": f"Who is {MARKER}?", "answer": MARKER, "about": "France"}]
    body = {"question": QUESTION, "image": encoded, "stream": stream, "after": before}
    answer = client.post("/v1/ask", json=body, headers={HEADER: "mine-1", **TRACEPARENT})
    assert answer.status_code == 200
    stages = ("rewrite", "encode", "search", "generate")
    assert spans.tree() == {
        "POST /v1/ask": "caller",
        **dict.fromkeys(("receive", "wait", "question"), "POST /v1/ask"),
        **dict.fromkeys(stages, "question"),
    }
    kept = spans()
    assert list(kept) == ["receive", "wait", *stages, "question", "POST /v1/ask"], "as they ended"
    assert {f"{span.context.trace_id:x}" for span in kept.values()} == {TRACE}
    said = json.loads(answer.text.split("data: ")[-1]) if stream else answer.json()
    took, rounded = said["timings_ms"], 0.05
    assert list(took) == [*stages, "total"]
    assert sum(took[stage] for stage in stages) <= took["total"] + len(took) * rounded
    assert kept["question"].attributes == {"kbvqa.request_id": "mine-1", "kbvqa.outcome": "unsure"}
    assert kept["rewrite"].attributes == {"kbvqa.turns": 1}
    assert kept["encode"].attributes["kbvqa.query_rows"] > 1
    assert kept["search"].attributes == {"kbvqa.passages": 4}
    assert kept["generate"].attributes == {"kbvqa.strategy": "concat", "kbvqa.passages_read": 2}
    status = kept["POST /v1/ask"].attributes["http.response.status_code"]
    assert status == 200
    assert MARKER not in spans.text() and "Paris" not in spans.text()


def test_a_failure_is_named_by_its_kind_alone(
    client: TestClient, generator: Any, encoded: str, spans: Spans
) -> None:
    def fail(prompt: object) -> tuple[str, None]:
        raise GeneratorUnavailable(f"{QUESTION} and a key")

    generator.write = fail
    answer = client.post("/v1/ask", json={"question": QUESTION, "image": encoded})
    assert answer.json()["failure"]
    assert spans()["generate"].status.description == "GeneratorUnavailable"
    assert spans()["question"].attributes["kbvqa.outcome"] == "failed"
    assert MARKER not in spans.text() and not any(span.events for span in spans().values())


def test_a_question_of_the_page_is_a_tree_of_its_own(
    served: Served, png: bytes, spans: Spans
) -> None:
    list(views(served.pipeline, lambda: load_image(png), QUESTION, 2))
    stages = dict.fromkeys(("encode", "search", "generate"), "question")
    assert spans.tree() == {"question": "", **stages}
    assert spans()["question"].attributes["kbvqa.request_id"]


def test_probes_and_the_page_are_no_request_of_the_api(client: TestClient, spans: Spans) -> None:
    for path in ("/healthz", "/metrics", "/"):
        client.get(path, headers=TRACEPARENT)
    assert spans() == {}


@pytest.mark.parametrize("traced", [True, False])
def test_the_server_that_answers_is_told_whose_work_it_does(
    pipeline: Pipeline, encoded: str, request: pytest.FixtureRequest, traced: bool
) -> None:
    spans = request.getfixturevalue("spans") if traced else None
    told: list[str | None] = []

    def answer(handler: Any) -> None:
        told.append(handler.headers["traceparent"])
        handler.events(" Paris", " [1]")

    with serve() as server:
        server.answer = answer
        writes = OpenAIGenerator(server.url, MODEL, api_key=KEY)
        assert pipeline.answering is not None
        asked = Answering(writes, AnswerPlan("concat", passages=2), pipeline.answering.calibration)
        shared = build_api(Pipeline(pipeline.encoder, pipeline.index, asked), Settings())
        with TestClient(shared.app, base_url=HERE) as client:
            body = {"question": QUESTION, "image": encoded}
            assert client.post("/v1/ask", json=body).json()["answer"] == "Paris"
            client.post("/v1/ask", json=body, headers=TRACEPARENT)
        writes.close()
    if spans is None:  # who asked is passed on all the same
        assert told == [None, TRACEPARENT["traceparent"]]
        return
    kept = [span for span in spans._kept.get_finished_spans() if span.name == "generate"]
    ids = [(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in kept]
    assert [tuple(str(header).split("-")[1:3]) for header in told] == ids
    assert ids[1][0] == TRACE


def test_what_is_sent_is_ours_alone(
    client: TestClient, encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI would trace each request too, with its address, and MCP's SDK errors' words."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    sent: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setattr(tracing, "tracer", tracing.tracer)  # put back in the end
        address = f"http://127.0.0.1:{collector.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        tracing.use_traces()
        client.get(f"/v1/models?question={MARKER}")
        client.post("/v1/ask", json={"question": QUESTION, "image": encoded})
        names: list[str] = []
        for _ in range(600):
            spans = [span for of in sent for scope in of.scope_spans for span in scope.spans]
            names = sorted(span.name for span in spans)
            if "POST /v1/ask" in names:
                break
            time.sleep(0.05)
        collector.shutdown()
        thread.join()
    stages = ["encode", "generate", "question", "receive", "search", "wait"]
    assert names == sorted(["GET /v1/models", "POST /v1/ask", *stages])
    assert MARKER not in str(sent)
    [service] = {
        a.value.string_value
        for of in sent
        for a in of.resource.attributes
        if a.key == "service.name"
    }
    assert service == "mine"


def test_nothing_is_sent_unless_it_is_said_where(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tracing, "require", asked.append)
    for name in (*tracing._ENDPOINTS, "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    tracing.use_traces()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    tracing.use_traces()
    assert asked == []


def test_what_cannot_be_sent_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidSettings, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'.*4318"):
        tracing.use_traces()
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"kbvqa\[trace\]"):
        tracing.use_traces()


def test_a_collector_that_is_away_keeps_no_process_from_ending(free_tcp_port: int) -> None:
    many = """
from app.machine import tracing
tracing.use_traces()
for number in range(2000):  # four batches
    with tracing.span(str(number)):
        pass
"""
    address = f"http://127.0.0.1:{free_tcp_port}"
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    for name in ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", many], env=environment, check=True, timeout=25)
