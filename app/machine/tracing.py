"""Traces by OpenTelemetry: a tree of spans for each question.

    POST /v1/ask              a request of the API, below the caller's span where it names one
      receive                 its body
      wait                    for its turn
      question                of whoever asks, the page and the command line too
        rewrite, encode, search, generate        as app.flow.clock.timed names them

Spans have numbers, names of settings and of kinds of errors, and nothing of a user's: no picture,
question, passage, answer or key. The current span of `generate` is passed on to the server that
answers (generator.server.endpoint). Where no traces are asked for, spans keep nothing.
"""

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.errors import InvalidSettings
from app.machine.extras import own_version, require

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
# For a batch, tries again included. A process that ends waits for those that are left, four at
# most, and must not take longer than it is given.
_TIMEOUT_SECONDS = 2.0

tracer: trace.Tracer = trace.NoOpTracer()

Y = TypeVar("Y")
R = TypeVar("R")


def use_traces() -> None:
    """Have this process send traces, where OTEL_EXPORTER_OTLP_ENDPOINT says to whom.

    The SDK reads the other variables of OpenTelemetry; OTEL_TRACES_EXPORTER=none turns them off.

    The provider is not made the process's own: libraries would trace too, requests with their
    addresses and errors with their words.

    Raises:
        MissingExtra: the SDK is not installed.
        InvalidSettings: another protocol than OTLP over HTTP is set.
    """
    asked = any(os.environ.get(name) for name in _ENDPOINTS)
    if not asked or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return
    require("trace")
    for name in _PROTOCOLS:
        if (protocol := os.environ.get(name) or _PROTOCOL) != _PROTOCOL:
            raise InvalidSettings(
                f"{name} is {protocol!r}, and traces are sent by {_PROTOCOL} alone: unset it, and "
                "name the collector's port for that, mostly 4318"
            )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", "kbvqa")
    timeout = None if any(os.environ.get(name) for name in _TIMEOUTS) else _TIMEOUT_SECONDS
    provider = TracerProvider(resource=Resource.create({"service.version": own_version()}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    global tracer
    tracer = provider.get_tracer("kbvqa", own_version())


def caller_of(headers: Mapping[str, str]) -> Context:
    """Return the context that a header `traceparent` gives; an empty one where it gives none."""
    return TraceContextTextMapPropagator().extract(headers, Context())


@contextmanager
def span(
    name: str, caller: Context | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[Span]:
    """Yield a span below the current one, which it becomes only by `inside` or `as_current`.

    An error is noted by its kind, for its words may be the user's.

    Args:
        name: of the span.
        caller: of `caller_of`, below whose span it is instead.
        kind: whether it answers a request of somebody else.
    """
    begun = tracer.start_span(name, caller, kind)
    try:
        yield begun
    except Exception as exc:
        begun.set_status(StatusCode.ERROR, type(exc).__name__)
        raise
    finally:
        begun.end()


@contextmanager
def as_current(begun: Span) -> Iterator[None]:
    """Have a span be the current one. Not around a `yield`, whose next step may be elsewhere."""
    with trace.use_span(begun, record_exception=False, set_status_on_exception=False):
        yield


def inside(begun: Span, steps: Generator[Y, None, R]) -> Generator[Y, None, R]:
    """Yield what `steps` does, each step and its closing inside a span, and nothing between.

    Whoever asks for the steps may do so from a thread of its own each time.
    """
    if not begun.is_recording():
        return (yield from steps)
    try:
        while True:
            with as_current(begun):
                try:
                    step = next(steps)
                except StopIteration as end:
                    result: R = end.value
                    return result
            yield step
    finally:
        with as_current(begun):
            steps.close()
