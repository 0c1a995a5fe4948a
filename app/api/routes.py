"""The addresses below /v1: ask, search, passages, models."""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import JSONResponse, Response, StreamingResponse

from app.api import schema
from app.api.attending import attended, steps
from app.api.bodies import body_of, read_request
from app.api.line import Line, Place
from app.api.problems import Refusal, documented, problem_of
from app.asking.ask import run
from app.asking.report import found_as_json, result_as_json, search_as_json
from app.asking.why import explain
from app.flow.events import Event, Found, Piece, Result
from app.flow.retrieval import require_sources
from app.machine.extras import own_version
from app.machine.request import current
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.pictures.images import load_image
from corpus.types import Box, Query

_Report = Callable[[Result], dict[str, Any]]

_SENT = (400, 408, 413, 415, 422, 500, 503, 504)


def routes(pipeline: Pipeline, settings: Settings, line: Line) -> APIRouter:
    """Return the addresses on a pipeline with an index and a generator."""
    router = APIRouter(prefix="/v1")
    usual = settings.top_k

    async def placed(request: Request) -> AsyncIterator[Place]:
        with line.place(request.state.caller) as place:
            yield place

    InLine = Annotated[Place, Depends(placed)]

    @router.post(
        "/ask",
        tags=["questions"],
        summary="Answer a question about a picture",
        description=f"One JSON object, or events as they happen. {schema.EVENTS}",
        response_model=schema.AskBody,
        responses={200: _STREAMED, **documented(*_SENT)},
        openapi_extra=body_of(schema.AskRequest),
    )
    async def ask(request: Request, place: InLine) -> Response:
        asked = await read_request(request, schema.AskRequest, place.hold)
        _limit(asked, settings)

        async def work() -> Response:
            await place.turn()
            streams = asked.stream or "text/event-stream" in request.headers.get("accept", "")
            with line.counted():
                query = await _query(asked)
                if streams:  # a status is sent before anything is looked for
                    assert pipeline.index is not None
                    check = partial(require_sources, pipeline.index, asked.sources)
                    await to_thread.run_sync(check, abandon_on_cancel=True)
            report = partial(_report, pipeline, query, asked)
            events = run(pipeline, query, asked.top_k or usual, asked.strategy, **_held(asked))
            if streams:
                sent = _sent(events, report)
                return StreamingResponse(sent, media_type="text/event-stream", headers=_LIVE)
            return await _whole(events, report)

        return await attended(request, work)

    @router.post(
        "/search",
        tags=["questions"],
        summary="Find passages for a question, with or without a picture",
        response_model=schema.SearchBody,
        responses=documented(*_SENT),
        openapi_extra=body_of(schema.SearchRequest),
    )
    async def search(request: Request, place: InLine) -> Response:
        asked = await read_request(request, schema.SearchRequest, place.hold)
        _limit(asked, settings)

        async def work() -> Response:
            await place.turn()
            with line.counted():
                query = await _query(asked)
            events = run(pipeline, query, asked.top_k or usual, answer=False, **_held(asked))
            return await _whole(events, partial(_report, pipeline, query, asked))

        return await attended(request, work)

    @router.get(
        "/passages/{id:path}",
        tags=["passages"],
        summary="A passage of the index",
        response_model=schema.PassageBody,
        responses=documented(404, 503),
    )
    def passage(id: Annotated[str, InPath(description="As hits have it.")]) -> dict[str, Any]:
        assert pipeline.index is not None
        try:
            [found] = pipeline.index.get([id])
        except ValueError as exc:
            raise Refusal(404, f"There is no passage {id!r:.200} in the index.") from exc
        return asdict(found)

    @router.get("/models", tags=["models"], summary="The models in use, and what is searched")
    def models() -> schema.ModelsBody:
        assert pipeline.index is not None and pipeline.answering is not None
        index, answering = pipeline.index, pipeline.answering
        return schema.ModelsBody(
            version=own_version(),
            checkpoint=pipeline.encoder.checkpoint.id,
            generator=answering.generator.name,
            strategy=answering.plan.strategy,
            uncalibrated=answering.uncalibrated or None,
            index=schema.IndexBody(
                passages=index.count,
                corpus=index.fingerprint.corpus,
                sources=index.sources(),
            ),
        )

    return router


_LIVE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_STREAMED = {
    "description": "The answer, or why there is none, and the passages",
    "content": {"text/event-stream": {"schema": schema.EVENT}},
}


def _limit(asked: schema.SearchRequest, settings: Settings) -> None:
    """Have the request end when it is no longer wanted, or the server gives it no more time."""
    if request := current():
        request.give(min(asked.within_seconds or math.inf, settings.answer_seconds))


async def _query(asked: schema.SearchRequest) -> Query:
    """Return a request as a query, its picture decoded."""
    picture = None
    if asked.image is not None:
        picture = await to_thread.run_sync(load_image, asked.image, abandon_on_cancel=True)
    boxes: list[Box] = [(box[0], box[1], box[2], box[3]) for box in asked.boxes]
    return Query(asked.question.strip(), picture, boxes=tuple(boxes))


def _held(asked: schema.SearchRequest) -> dict[str, Any]:
    """Return what a search is held to, and what was said before, as `app.asking.ask` takes it."""
    return {"sources": asked.sources, "after": [turn.turn() for turn in asked.after]}


def _report(
    pipeline: Pipeline, query: Query, asked: schema.SearchRequest, result: Result
) -> dict[str, Any]:
    """Return a result as it is sent."""
    whys = explain(pipeline, query, result.retrieval) if asked.why else None
    as_json = result_as_json if isinstance(asked, schema.AskRequest) else search_as_json
    return as_json(result, whys)


async def _whole(events: Generator[Event, None, None], report: _Report) -> Response:
    """Return the result in which events end."""
    async with aclosing(steps(events)) as coming:
        async for event in coming:
            if isinstance(event, Result):
                return JSONResponse(await to_thread.run_sync(report, event))
    raise RuntimeError("the events ended without a result")


async def _sent(
    events: Generator[Event, None, None], report: _Report
) -> AsyncGenerator[bytes, None]:
    """Yield events as they are sent. A generator that fails is in the result."""
    try:
        async with aclosing(steps(events)) as coming:
            async for event in coming:
                match event:
                    case Found(retrieval):
                        yield _event("found", found_as_json(retrieval))
                    case Piece(text):
                        yield _event("piece", {"text": text})
                    case Result():
                        yield _event("result", await to_thread.run_sync(report, event))
                    case _:
                        yield b": waiting\n\n"
    except Exception as exc:  # noqa: BLE001 - the edge: the answer has begun
        yield _event("problem", problem_of(exc).model_dump())


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
