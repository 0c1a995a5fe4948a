"""How long a step takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(timings: dict[str, float], step: str) -> Iterator[None]:
    """Note the milliseconds of wall time that a step takes, also where it fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[step] = milliseconds_since(started)


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 1)
