"""Until when anybody waits for what a server of an index is asked: no request outlasts that.

    with wanted_until(time.monotonic() + 10):
        index.search(rows, top_k=5)

A context variable, so that it holds in this thread or task alone.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
