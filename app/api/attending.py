"""Work that is done while somebody waits for it, and called off when nobody does or time is out."""

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import copy_context
from typing import TypeVar

import anyio
from anyio import to_thread
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from app.machine.request import Request, current

_CLIENT_GONE = 499

T = TypeVar("T")


async def attended(http: HttpRequest, work: Callable[[], Awaitable[Response]]) -> Response:
    """Return what comes of `work`, whose request's body has been read.

    It is cancelled where who asked closes the connection.

    Raises:
        OutOfTime: the request's time is over.
        Exception: what `work` raises.
    """
    request = current() or Request("")
    response, failure = Response(status_code=_CLIENT_GONE), None
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await http.receive())["type"] != "http.disconnect":
                pass
            request.left = True
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            response = await in_time(work())
        except Exception as exc:  # noqa: BLE001 - raised again, outside of the group
            failure = exc
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return response


async def in_time(work: Awaitable[T]) -> T:
    """Return what comes of `work`.

    Raises:
        OutOfTime: the request's time is over, and the work was cancelled.
    """
    request = current() or Request("")
    with anyio.move_on_after(request.seconds_left()):
        return await work
    raise request.out_of_time()


async def steps(events: Generator[T, None, None]) -> AsyncGenerator[T, None]:
    """Yield events that threads make. Closing this closes them, which stops the generator.

    A step of the encoder or the index cannot be interrupted. Where it outlasts the request's time,
    it is left alone, and what comes next is not begun.

    Raises:
        OutOfTime: the request's time is over.
    """
    request, one_by_one = current() or Request(""), threading.Lock()

    def step() -> T | None:
        with one_by_one:
            return next(events, None)

    def close() -> None:
        with one_by_one:
            events.close()

    try:
        while True:
            event = await in_time(to_thread.run_sync(step, abandon_on_cancel=True))
            if event is None:
                return
            yield event
    finally:
        if request.seconds_left() <= 0:  # whoever waits is told now
            threading.Thread(target=copy_context().run, args=(close,), daemon=True).start()
        else:
            request.left = True
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(close)
