"""How long a step takes."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span

from app.machine.request import require_wanted
from app.machine.tracing import span

log = logging.getLogger(__name__)


@contextmanager
def timed(timings: dict[str, float], step: str) -> Iterator[Span]:
    """Note, log and trace the milliseconds of wall time that a step takes, also where it fails.

    Yields:
        The span of the step, for what is counted in it.

    Raises:
        OutOfTime, CalledOff: the step is not begun, for nobody needs it: see app.machine.request.
    """
    require_wanted()
    started = time.perf_counter()
    try:
        with span(step) as begun:
            yield begun
    finally:
        taken = timings[step] = milliseconds_since(started)
        log.info("%s took %.1f ms", step, taken, extra={"stage": step, "ms": taken})


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 1)
