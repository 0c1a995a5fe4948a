"""An event loop in a thread of its own: plain functions on one side, coroutines on the other."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from generator.interface import Waiting, Work

HEARTBEAT_S = 0.2

_T = TypeVar("_T")


class Background:
    """Runs coroutines; the loop starts with the first and starts again after `close`.

    Args:
        opened: called on the loop when it starts.
        closing: called on the loop before it stops.
    """

    def __init__(
        self,
        opened: Callable[[], Coroutine[Any, Any, None]],
        closing: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._opened, self._closing = opened, closing
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, work: Coroutine[Any, Any, _T]) -> "Future[_T]":
        """Return the future of `work`; cancelling it calls the work off."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def while_waiting(self, work: Coroutine[Any, Any, _T]) -> Work[_T]:
        """Return the result of `work`; closing this calls it off."""
        future = self.submit(work)
        try:
            while True:
                try:
                    return future.result(HEARTBEAT_S)
                except FutureTimeout:
                    if future.done():
                        raise
                    yield Waiting()
        finally:
            future.cancel()

    def close(self) -> None:
        """Stop the loop and its thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._closing(), loop).result(timeout=5)
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(loop,), daemon=True).start()
                asyncio.run_coroutine_threadsafe(self._opened(), loop).result()
                self._loop = loop
            return self._loop


async def together(works: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return the results of the works in their order; the first failure ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as exc:
        raise exc.exceptions[0] from None
    return [task.result() for task in tasks]


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(_rest())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(_rest())
    loop.close()


async def _rest() -> None:
    """Wait for what is under way, such as the closing of a stream that was left half read."""
    await asyncio.sleep(0)
    while rest := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0)  # what it closed may have left more to close
