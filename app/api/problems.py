"""Errors as application/problem+json (RFC 9457): what went wrong, and what to do about it.

    {"type": "about:blank", "title": "Unprocessable Content", "status": 422,
     "detail": "The question is empty. Ask something about the picture.",
     "request_id": "7d3a5c..."}

Expected failures are mapped here once. Whatever else happens is a line in the log and a 500 that
says nothing of the inside.
"""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.asking.ask import SOMETHING_WENT_WRONG
from app.errors import InvalidQuestion, OutOfTime, Stopping
from app.machine.request import current_number
from corpus.errors import ImageTooLarge, InvalidImage, KbvqaError
from retriever.errors import InvalidQuery, RetrieverError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
FAULTS_OF_CALLERS = (InvalidQuestion, InvalidImage, InvalidQuery)

_NO_MEMORY = (
    "The server has not enough memory for this now. Send a smaller picture, or ask again later."
)

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(default="about:blank", description="Always about:blank: the status says it.")
    title: str = Field(description="The name of the status.", examples=["Unprocessable Content"])
    status: int = Field(description="The status of HTTP.", examples=[422])
    detail: str = Field(
        description="What is wrong, and what to do about it.",
        examples=["The question is empty. Ask something about the picture."],
    )
    request_id: str = Field(
        default="", description="The number of the request, under which the log has more."
    )


class Refusal(HTTPException):
    """A request that is not carried out: its status, why, and headers that belong to it."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(status, detail, named or None)


def problem_of(exc: Exception) -> Problem:
    """Return what to say of an error; one that nobody expected is logged."""
    match exc:
        case HTTPException():
            return _problem(exc.status_code, str(exc.detail))
        case ImageTooLarge():
            return _problem(413, str(exc))
        case _ if isinstance(exc, FAULTS_OF_CALLERS):
            return _problem(422, str(exc))
        case OutOfTime():
            return _problem(504, str(exc))
        case RetrieverError() | Stopping():  # the index is away, or was replaced by another
            return _problem(503, str(exc))
        case KbvqaError():
            return _problem(500, str(exc))
        case _ if _lacks_memory(exc):
            log.warning("not enough memory for a request: %s", exc)
            return _problem(503, _NO_MEMORY)
    log.error("a request failed", exc_info=exc)
    return _problem(500, SOMETHING_WENT_WRONG)


def _lacks_memory(exc: Exception) -> bool:
    """Return whether an error says that there was no memory: Python's, or torch's."""
    torchs = isinstance(exc, RuntimeError) and "can't allocate memory" in str(exc)
    return torchs or isinstance(exc, MemoryError)


def handle_problems(app: FastAPI) -> None:
    """Have an application answer expected errors as problems; others come to NumberRequests."""

    def answer(request: Request, exc: Exception) -> JSONResponse:
        return problem_response(exc)

    for kind in (HTTPException, KbvqaError):
        app.add_exception_handler(kind, answer)


def problem_response(exc: Exception) -> JSONResponse:
    """Return what answers a request that ended in an error."""
    headers = dict(getattr(exc, "headers", None) or {})
    problem = problem_of(exc)
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_SECONDS))
    return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an operation says in the OpenAPI document of its errors."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def _problem(status: int, detail: str) -> Problem:
    phrase = HTTPStatus(status).phrase
    return Problem(title=phrase, status=status, detail=detail, request_id=current_number())
