"""Which request is being worked on here: its number, and how long an answer is of use.

    with of_request(number_from(headers.get("x-request-id"))) as request:
        request.give(seconds)
        log.warning("...")                    # the line has the number: see app.machine.logs
        require_wanted()                      # before each step, by app.flow.clock.timed

It is a context variable. The threads that anyio starts for a step, tasks, and the event loop of
the generator's client take it over; a generator whose steps run in any thread is wrapped in
`each_step`.
"""

import contextvars
import math
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from app.errors import CalledOff, OutOfTime

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")

T = TypeVar("T")


@dataclass(slots=True)
class Request:
    """A question that is being answered, or a request of HTTP.

    Attributes:
        number: of it alone, at most 64 letters, digits, ".", "_", ":" and "-".
        private: texts of the user's that no line of the log may have.
        ends: when the answer has to be there, on the clock of `time.monotonic`.
        seconds: that it was given, to be told.
        left: whether who asked has gone.
        stood: whether it stands in the API's line, and is answered though the server is told to
            stop meanwhile.
        key: which of the server's keys it came with, such as "key 1"; "" for the page's, and where
            there are none.
    """

    number: str
    private: set[str] = field(default_factory=set)
    ends: float = math.inf
    seconds: float = math.inf
    left: bool = False
    stood: bool = False
    key: str = ""

    def give(self, seconds: float) -> None:
        """Have the answer be of use for so many seconds from now, where it was not for fewer."""
        ends = time.monotonic() + seconds
        if ends < self.ends:
            self.ends, self.seconds = ends, seconds

    def seconds_left(self) -> float:
        """Return how many seconds there still are; inf without an end."""
        return self.ends - time.monotonic()

    def out_of_time(self) -> OutOfTime:
        """Return the error of an answer that comes too late."""
        return OutOfTime(
            f"There was no answer within {self.seconds:g} s, and the work on it was stopped. Ask "
            "again later, or give it more time."
        )


_CURRENT: contextvars.ContextVar[Request | None] = contextvars.ContextVar("request", default=None)


def new_number() -> str:
    """Return a number for a request, 32 hexadecimal digits."""
    return uuid4().hex


def number_from(given: str | None) -> str:
    """Return the number that a header gives, or a new one where it gives none that can be used."""
    return given if given and _WELL_FORMED.fullmatch(given) else new_number()


def current() -> Request | None:
    """Return the request that is being worked on here; None outside of one."""
    return _CURRENT.get()


def current_number() -> str:
    """Return its number; "" outside of one."""
    request = _CURRENT.get()
    return request.number if request else ""


def ends() -> float:
    """Return when its answer has to be there, on the clock of `time.monotonic`; inf for no end."""
    request = _CURRENT.get()
    return request.ends if request else math.inf


def require_wanted() -> None:
    """Raise where more work on this request is in vain.

    Raises:
        OutOfTime: it would come too late.
        CalledOff: nobody waits for it.
    """
    request = _CURRENT.get()
    if request is None:
        return
    if request.left:
        raise CalledOff("nobody waits for the answer any more")
    if request.seconds_left() <= 0:
        raise request.out_of_time()


def keep_private(*texts: str) -> None:
    """Have no line of the log show these texts while the request is worked on."""
    if request := _CURRENT.get():
        request.private.update(text.strip() for text in texts)


@contextmanager
def of_request(request: Request | str) -> Iterator[Request]:
    """Have what is done inside belong to a request, given as such or by its number."""
    if isinstance(request, str):
        request = Request(request)
    token = _CURRENT.set(request)
    try:
        yield request
    finally:
        _CURRENT.reset(token)


def each_step(request: Request, steps: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield what `steps` does, each step and its closing inside the request, and nothing between.

    Whoever asks for the steps may do so from a thread of its own each time.
    """
    try:
        while True:
            with of_request(request):
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step
    finally:
        with of_request(request):
            steps.close()
