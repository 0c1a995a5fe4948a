"""What Prometheus reads at /metrics.

    kbvqa_http_requests_total{route,method,status}   requests; refusals and errors by status
    kbvqa_questions_total{outcome}                   given, unsure, withheld, found, failed, error,
                                                     away, late, left
    kbvqa_repeated_questions_total                   of these, results that were kept from before
    kbvqa_stage_seconds{stage}                       encode, search, generate, total
    kbvqa_questions_running                          of the page and the API
    kbvqa_api_waiting                                requests of the API in line
    kbvqa_encoder_batches_total{questions}           batches of the encoder, by how many shared them
    kbvqa_index_foreign_points                       met in the index and left out: no passages
    kbvqa_recall_queries                             compared lately with the exact search
    kbvqa_recall_found                               the share of their ten best that was found
    kbvqa_recall_promised                            the share that the index promises
    kbvqa_recall_low                                 1 where that is more, beyond chance

"found" had no answer to write, "failed" is the generator's failure; of both there are passages.
For want of the index nothing was found where it is "away"; "error" is what nobody expected.
"late" was stopped because its time was over, "left" because nobody waited any more.
Of recall there are figures where an index promises one: see KBVQA_RECALL_CHECKS.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.flow.events import Result
from retriever.index.watching import RecallWatch

Ended = Literal["error", "away", "late", "left"]
_WITH_RESULT = ("given", "unsure", "withheld", "found", "failed")

PROBES = ("/healthz", "/readyz", "/metrics")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter("http_requests", "Requests", "route", "method", "status")
        self._questions = self._counter("questions", "Questions that were asked", "outcome")
        for outcome in (*_WITH_RESULT, *get_args(Ended)):
            self._questions.labels(outcome)  # from 0 on, so that the first one is an increase
        self._repeated = Counter(
            "kbvqa_repeated_questions",
            "Questions whose result was kept from before",
            registry=self._registry,
        )
        self._stages = Histogram(
            "kbvqa_stage_seconds",
            "Seconds of the steps of a question",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.running = self._gauge("questions_running", "Questions that are being answered")
        self._waiting = self._gauge("api_waiting", "Requests of the API that wait for their turn")

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"kbvqa_{name}", says, labels, registry=self._registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"kbvqa_{name}", says, registry=self._registry)

    def watch_line(self, waiting: Callable[[], int]) -> None:
        """Have the length of the API's line read from it."""
        self._waiting.set_function(waiting)

    def watch_foreign(self, met: Callable[[], int]) -> None:
        """Have the number of points of the index that are no passages read from it."""
        says = "Points that searches met in the index and left out, as they are no passages"
        self._gauge("index_foreign_points", says).set_function(met)

    def watch_batches(self, sizes: Callable[[], Mapping[int, int]]) -> None:
        """Have {questions: batches} of the encoder read from it."""
        self._registry.register(_Batches(sizes))

    def watch_recall(self, watch: RecallWatch) -> None:
        """Have what was found of the exact search's best read from a watch."""
        queries = self._gauge("recall_queries", "Queries that were compared with the exact search")
        queries.set_function(lambda: watch.seen.queries)
        found = self._gauge("recall_found", "The share of their ten best that was found")
        found.set_function(lambda: watch.seen.recall)
        self._gauge("recall_promised", "The share that the index promises").set(watch.promised)
        low = self._gauge("recall_low", "Whether that is less than is promised, beyond chance")
        low.set_function(lambda: watch.low)

    def asked(self, result: Result) -> None:
        """Count a question that came to an end, and its steps."""
        self._questions.labels(result.outcome).inc()
        if result.repeated:
            self._repeated.inc()
        for stage, milliseconds in result.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def ended(self, outcome: Ended) -> None:
        """Count a question that ended without a result."""
        self._questions.labels(outcome).inc()

    def requested(self, route: str, method: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(route, method if method in _METHODS else "other", status).inc()

    def response(self, request: Request) -> Response:
        """Return what /metrics answers."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


def route_of(scope: Scope) -> str:
    """Return the pattern of a request's address; "page" for what is none of the API's."""
    path: str = scope["path"]
    if path.startswith("/v1/"):
        return str(getattr(scope.get("route"), "path_format", "/v1"))
    return path if path in PROBES else "page"


class _Batches(Collector):
    """How many questions shared a batch of the encoder."""

    def __init__(self, sizes: Callable[[], Mapping[int, int]]) -> None:
        self._sizes = sizes

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the count of each size, as Prometheus's client asks for it."""
        says = "Batches that were encoded, by how many questions shared them"
        family = CounterMetricFamily("kbvqa_encoder_batches", says, labels=["questions"])
        for questions, batches in sorted(self._sizes().items()):
            family.add_metric([str(questions)], batches)
        yield family


class CountRequests:
    """ASGI middleware that counts requests by the pattern of their address, not the address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it by how the answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requested(route_of(scope), scope["method"], message["status"])
            await send(message)

        await self._app(scope, receive, counted)
