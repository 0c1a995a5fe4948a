"""The application that is served: the API, the probes and the metrics; the page goes behind it.

served = build_api(pipeline, settings)
gr.mount_gradio_app(served.app, build_page(served.pipeline, settings), "/")
"""

import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from app.api import schema
from app.api.health import Health
from app.api.hosts import KnownHosts
from app.api.keys import Keys, Rates
from app.api.line import Line, SharedPipeline
from app.api.metrics import PROBES, CountRequests, Metrics
from app.api.numbering import NumberRequests
from app.api.problems import Problem, Refusal, documented, handle_problems
from app.api.routes import routes
from app.asking.recall import recall_watch
from app.machine.extras import own_version
from app.machine.request import current
from app.pipeline import Pipeline
from app.settings import Settings

_ABOUT = """\
Ask about a picture what no pixel can tell, and get a short answer with the passages that prove it.
Errors are `application/problem+json`. Every request has a number, which the header `X-Request-ID` \
of its answer gives: yours where you send one, of at most 64 letters, digits, ".", "_", ":" and \
"-"."""


_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Served:
    """An application, and what goes with it.

    Attributes:
        app: to be served.
        pipeline: what the page asks, so that both share the turns and the figures.
        keys: who may ask.
        health: looks at the parts while the application runs.
        line: of the API's requests.
    """

    app: FastAPI
    pipeline: SharedPipeline
    keys: Keys
    health: Health
    line: Line

    def finish(self, seconds: float, hurry: threading.Event) -> int:
        """Answer what is under way and take nothing new, and return how much was not answered.

        Args:
            seconds: that it may take.
            hurry: set where it is not to be waited for any more.
        """
        self.health.stopping = True
        self.line.close()
        self.pipeline.close()
        end = time.monotonic() + seconds
        while (left := max(self.line.under_way, self.pipeline.under_way)) and not hurry.is_set():
            if time.monotonic() > end:
                break
            hurry.wait(_LOOK_SECONDS)
        return left


def build_api(pipeline: Pipeline, settings: Settings) -> Served:
    """Return the application on a pipeline with an index and a generator. Nothing is served yet."""
    metrics, keys = Metrics(), Keys(settings.keys)
    line = Line(settings.concurrent_questions, ended=metrics.ended)
    watch = recall_watch(pipeline, settings)
    shared = SharedPipeline(
        pipeline,
        metrics,
        settings.answer_seconds,
        settings.concurrent_questions,
        repeated=settings.repeated_answers,
        watch=watch,
    )
    health = Health.of(shared)
    metrics.watch_line(line.waiting)
    metrics.watch_batches(lambda: pipeline.encoder.batch_sizes)
    if (index := pipeline.index) is not None:
        metrics.watch_foreign(lambda: index.foreign)
    if watch is not None:
        metrics.watch_recall(watch)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads = to_thread.current_default_thread_limiter()
        threads.total_tokens += settings.concurrent_questions  # each holds one while it is answered
        health.start()
        yield
        health.close()
        if watch is not None:
            watch.close()

    app = FastAPI(
        title="kbvqa",
        version=own_version(),
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # these load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(CountRequests, metrics=metrics),
            Middleware(NumberRequests),
            Middleware(KnownHosts, names=settings.host_names),
        ],
    )
    handle_problems(app)
    rates = Rates(settings.api_requests_per_minute)
    api = routes(shared, settings, line)
    with_key = [Depends(_asks_for(keys))]
    app.include_router(
        api,
        dependencies=[*with_key, Depends(_limit(rates))],
        responses=documented(*([401] if keys else []), 429),
    )
    health_routes = health.routes()
    app.include_router(health_routes)
    probes = APIRouter(dependencies=with_key, tags=["health"])
    probes.add_api_route(
        "/metrics",
        metrics.response,
        summary="Figures for Prometheus",
        response_class=PlainTextResponse,
        responses=documented(401) if keys else None,
    )
    app.include_router(probes)
    unknown = _Unknown([*app.routes, *api.routes, *health_routes.routes, *probes.routes])
    for begin in ("/v1", "//v1"):  # the second as an address that ends in "/" makes it
        app.mount(begin, unknown)
    app.router.routes += [Route(path, unknown) for path in PROBES]  # else the page answers
    app.openapi = lambda: _document(app, settings.root_path)  # type: ignore[method-assign]
    return Served(app, shared, keys, health, line)


def _asks_for(keys: Keys) -> Any:
    """Return a dependency that lets requests with a key pass, and notes whose they are."""
    bearer = HTTPBearer(auto_error=False, description="One of KBVQA_API_KEYS.")

    async def open_to_all(request: Request) -> None:
        request.state.caller = request.client.host if request.client else ""

    async def by_key(
        request: Request,
        given: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    ) -> None:
        number = keys.number(given.credentials) if given else None
        if number is None:
            raise Refusal(
                401,
                "A key is needed here: send one of the server's, as Authorization: Bearer KEY.",
                WWW_Authenticate="Bearer",
            )
        request.state.caller = f"key {number}"
        if asking := current():
            asking.key = request.state.caller

    return by_key if keys else open_to_all


def _limit(rates: Rates) -> Any:
    """Return a dependency that refuses callers who ask too often."""

    async def limit(request: Request) -> None:
        if wait := rates.wait(request.state.caller):
            raise Refusal(429, f"Too many requests: come again in {wait} s.", Retry_After=str(wait))

    return limit


class _Unknown:
    """Answers addresses that there are not, or not by this method.

    Args:
        routes: those that there are.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known: set[str] = set()
        for route in self._routes:
            if isinstance(route, Route) and route.path_regex.match(scope["path"]):
                known |= route.methods or set()
        if known:
            allowed = ", ".join(sorted(known))
            raise Refusal(
                405, f"{scope['method']} is not for this address; send {allowed}.", Allow=allowed
            )
        raise Refusal(404, f"There is no {scope['path']!r:.200}; see /v1/openapi.json.")


def _document(app: FastAPI, root_path: str | None) -> dict[str, Any]:
    """Return the OpenAPI document, with the models that no route names itself."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            servers=[{"url": root_path}] if root_path else None,
            routes=app.routes,
        )
        named = document.setdefault("components", {}).setdefault("schemas", {})
        for model in _NAMED_BY_NO_ROUTE:
            named[model.__name__] = schema.schema_of(model)
        for operations in document["paths"].values():  # parameters are checked by us
            for operation in operations.values():
                _forget_validation(operation)
        for name in ("HTTPValidationError", "ValidationError"):
            named.pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


_NAMED_BY_NO_ROUTE = (
    Problem,
    schema.AskRequest,
    schema.SearchRequest,
    schema.TurnBody,
    schema.FoundBody,
)


def _forget_validation(operation: dict[str, Any]) -> None:
    """Drop FastAPI's own 422, which nothing here answers."""
    said = operation["responses"].get("422", {})
    if "HTTPValidationError" in str(said):
        del operation["responses"]["422"]
