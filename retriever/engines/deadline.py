"""Until when anybody waits for what a server of an index is asked: no request outlasts that.

    with wanted_until(time.monotonic() + 10):
        index.search(rows, top_k=5)

A context variable, so that it holds in this thread or task alone.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

_T = TypeVar("_T")

_UNTIL: ContextVar[float] = ContextVar("wanted_until", default=math.inf)


@contextmanager
def wanted_until(moment: float) -> Iterator[None]:
    """Have requests made inside end by a moment on the clock of `time.monotonic`.

    One inside another: the earlier moment counts.
    """
    token = _UNTIL.set(min(moment, _UNTIL.get()))
    try:
        yield
    finally:
        _UNTIL.reset(token)


def seconds_left() -> float:
    """Return how many seconds there still are; inf where nobody set an end."""
    return _UNTIL.get() - time.monotonic()


def in_time(request: Callable[[], _T]) -> _T:
    """Return what a request returns, waiting no longer than anybody needs it.

    Clients of HTTP bound each wait for the network, and none of them what is before the first (a
    name is looked up) or the sum of many: so where there is an end, the request has a thread of its
    own. One that is given up goes on there until limits of its own end it, and nobody hears of it.

    Raises:
        TimeoutError: the end has come. Before the request is made, if it had come by then.
    """
    left = seconds_left()
    if left == math.inf:
        return request()
    if left <= 0:
        raise TimeoutError
    answer: Future[_T] = Future()

    def make() -> None:
        try:
            answer.set_result(request())
        except BaseException as exc:  # noqa: BLE001 - whoever waits raises it
            answer.set_exception(exc)

    threading.Thread(target=copy_context().run, args=(make,), daemon=True).start()
    return answer.result(left)
