"""How long a step takes."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.machine.request import require_wanted

log = logging.getLogger(__name__)


@contextmanager
def timed(timings: dict[str, float], step: str) -> Iterator[None]:
    """Note, and log, the milliseconds of wall time that a step takes, also where it fails.

    Raises:
        OutOfTime, CalledOff: the step is not begun, for nobody needs it: see app.machine.request.
    """
    require_wanted()
    started = time.perf_counter()
    try:
        yield
    finally:
        taken = timings[step] = milliseconds_since(started)
        log.info("%s took %.1f ms", step, taken, extra={"stage": step, "ms": taken})


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 1)
