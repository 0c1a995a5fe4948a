"""A number for every request: in its answer, in its errors, and in the log's lines about it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.metrics import PROBES, route_of
from app.api.problems import Refusal, problem_response
from app.flow.clock import milliseconds_since
from app.machine.request import number_from, of_request
from app.machine.tracing import as_current, caller_of, span

HEADER = "X-Request-ID"

log = logging.getLogger(__name__)


class NumberRequests:
    """ASGI middleware that numbers requests, by their header where it has a number of use.

    An error that nothing inside has answered is answered here, where its line in the log still has
    the number.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        headers = Headers(scope=scope)
        with of_request(number_from(headers.get(HEADER))) as request, _traced(scope) as traced:

            async def numbered(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    MutableHeaders(scope=message)[HEADER] = request.number
                await send(message)

            try:
                _require_one_length(headers)
                await self._app(scope, receive, numbered)
            except Exception as exc:
                if status:  # it has begun: the connection is all there is to close
                    raise
                asked = HttpRequest(scope, receive)
                await problem_response(exc)(asked.scope, receive, numbered)
            finally:
                _say(scope, status, milliseconds_since(began))
                traced.update_name(f"{scope['method']} {route_of(scope)}")
                traced.set_attributes(
                    {"kbvqa.request_id": request.number, "http.response.status_code": status}
                )


@contextmanager
def _traced(scope: Scope) -> Iterator[Span]:
    """Yield the current span of a request of the API; one that keeps nothing for any other."""
    if not scope["path"].startswith("/v1/"):
        yield INVALID_SPAN
        return
    caller = caller_of(Headers(scope=scope))
    with span("request", caller, SpanKind.SERVER) as begun, as_current(begun):
        yield begun


def _require_one_length(headers: Headers) -> None:
    """Refuse a body whose length is given in two ways: a proxy in front may have read the other.

    Raises:
        Refusal: it is.
    """
    if "transfer-encoding" in headers and "content-length" in headers:
        raise Refusal(
            400, "Send Content-Length or Transfer-Encoding, not both.", Connection="close"
        )


def _say(scope: Scope, status: int, taken: float) -> None:
    """Log how a request was answered; probes are not worth a line."""
    if scope["path"] in PROBES:
        return
    said = {"method": scope["method"], "route": route_of(scope), "status": status, "ms": taken}
    log.info("%(method)s %(route)s: %(status)d in %(ms).1f ms", said, extra=said)
