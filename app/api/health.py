"""Whether the process lives, and whether it can answer: for orchestrators and health checks.

    GET /healthz   200 {"status": "ok"}
    GET /readyz    200 {"ready": true, "missing": [], "stopping": false}
                   200 {"ready": true, "missing": ["generator"], "stopping": false}
                   503 {"ready": false, "missing": ["index"], "stopping": false}
    HEAD of both   the same without the body

Without the generator passages are found, and answers say why they are not written: that is of use,
and a generator that all apps share would take all of them away. Without the index nothing is found.
What exactly is wrong is for the log: it may name addresses inside the network.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.pipeline import Pipeline
from corpus.errors import KbvqaError
from retriever.engines.deadline import wanted_until
from retriever.index.passage_index import PassageIndex

CHECKED_EVERY_SECONDS = 20.0
LOOK_SECONDS = 10.0  # after which an index that does not answer is away
_NEEDED = "index"

log = logging.getLogger(__name__)


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether questions are taken, and what is missing of what answers them."""

    ready: bool = Field(examples=[True])
    missing: list[str] = Field(
        description='Of "index" and "generator"; without the latter there are passages alone.',
        examples=[[]],
    )
    stopping: bool = Field(
        default=False, description="Whether the server was told to stop, and takes no questions."
    )


class Health:
    """Looks at the parts now and then, in a thread of its own, so that /readyz answers at once.

    Args:
        parts: by name, what raises a KbvqaError while the part is away.
        every: seconds between two looks.

    Attributes:
        stopping: whether the server is about to stop.
    """

    def __init__(
        self, parts: Mapping[str, Callable[[], object]], every: float = CHECKED_EVERY_SECONDS
    ) -> None:
        self._parts, self._every = parts, every
        self._missing: tuple[str, ...] = ()
        self.stopping = False
        self._ended = threading.Event()

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Health":
        """Return the health of what a pipeline asks."""
        parts: dict[str, Callable[[], object]] = {}
        if (index := pipeline.index) is not None:
            parts["index"] = lambda: _answers(index)
        if (generator := pipeline.generator) is not None:
            parts["generator"] = generator.health
        return cls(parts)

    @property
    def readiness(self) -> Readiness:
        """Return how the parts were when they were last looked at."""
        ready = _NEEDED not in self._missing and not self.stopping
        return Readiness(ready=ready, missing=list(self._missing), stopping=self.stopping)

    def check(self) -> None:
        """Look at the parts now; what has changed is logged."""
        missing = []
        for name, look in self._parts.items():
            try:
                look()
            except KbvqaError as exc:
                missing.append(name)
                if name not in self._missing:
                    log.warning("the %s is away: %s", name, exc)
            else:
                if name in self._missing:
                    log.warning("the %s is back", name)
        self._missing = tuple(missing)

    def routes(self) -> APIRouter:
        """Return /healthz and /readyz, by GET and by HEAD, as some checkers send."""
        router = APIRouter(tags=["health"])

        @router.get("/healthz", summary="Whether the process lives")
        def healthz() -> Alive:
            return Alive()

        @router.get(
            "/readyz",
            summary="Whether questions are taken",
            response_model=Readiness,
            responses={503: {"model": Readiness, "description": "The index is away, or it stops"}},
        )
        def readyz() -> JSONResponse:
            now = self.readiness
            return JSONResponse(now.model_dump(), status_code=200 if now.ready else 503)

        for path, answer in (("/healthz", healthz), ("/readyz", readyz)):
            router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
        return router

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._watch, name="health", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.check()
            self._ended.wait(self._every)


def _answers(index: PassageIndex) -> None:
    """Raise a RetrieverError where the index does not answer in time."""
    with wanted_until(time.monotonic() + LOOK_SECONDS):
        _ = index.count
