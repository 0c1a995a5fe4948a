"""Turns: a few questions are answered at a time, of the page and the API together.

served = SharedPipeline(pipeline, metrics)      # what the page and the API ask
with line.place() as place:                     # of the API
    place.hold(len(chunk))                      # of the body, as it comes
    await place.turn()                          # refused where the line is long
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import anyio

from app.api.metrics import Ended, Metrics
from app.api.problems import FAULTS_OF_CALLERS, RETRY_SECONDS, Refusal
from app.api.repeats import Repeats, key_of
from app.asking.ask import MAX_WAITING
from app.asking.recall import WatchedPipeline
from app.errors import CalledOff, OutOfTime, Stopping
from app.flow.clock import milliseconds_since
from app.flow.events import Event, Found, Result
from app.machine.memory import GiveBack
from app.machine.request import current, current_number, require_wanted
from app.machine.tracing import span
from app.pipeline import Pipeline
from corpus.types import Query
from generator.answers.answer import Strategy
from generator.interface import Waiting
from generator.rewriting import Turn
from retriever.errors import RetrieverError
from retriever.index.watching import RecallWatch

_LOOK_SECONDS = 0.1
MOST_HELD_BYTES = 1 << 29  # of all bodies at once
MOST_RETRY_SECONDS = 300
_WEIGHT = 0.1  # of the newest turn, in the mean of how long turns last


class SharedPipeline(WatchedPipeline):
    """A pipeline that answers a few questions at a time, and counts what came of them.

    Args:
        pipeline: what is shared.
        metrics: told of every question.
        seconds: that a question may take, the wait for its turn included.
        repeated: results that are kept to be given again; see app.api.repeats.
        at_once: questions that are answered at the same time; the others yield `Waiting`.
        watch: offered the queries that are searched for; None for no watch.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: Metrics,
        seconds: float = math.inf,
        at_once: int = 2,
        repeated: int = 0,
        watch: RecallWatch | None = None,
    ) -> None:
        super().__init__(pipeline, watch)
        self._metrics, self._seconds = metrics, seconds
        self._turns, self._repeats = threading.Semaphore(at_once), Repeats(repeated)
        self._lock, self._under_way, self._closed = threading.Lock(), 0, False
        self._give_back = GiveBack()

    @property
    def under_way(self) -> int:
        """Return how many questions are answered or wait for their turn here."""
        with self._lock:
            return self._under_way

    def close(self) -> None:
        """Take no more questions; those that were taken are answered, as are those in the line."""
        self._closed = True

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a question as under way.

        Raises:
            Stopping: no more are taken.
        """
        request = current()
        if self._closed and not (request and request.stood):
            raise _stopping()
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def run(
        self,
        query: Query,
        top_k: int = 5,
        *,
        retrieval: bool = True,
        answer: bool = True,
        strategy: Strategy | None = None,
        sources: Sequence[str] = (),
        after: Sequence[Turn] = (),
    ) -> Generator[Event, None, None]:
        """Yield what happens, as `Pipeline.run` does, after `Waiting` while others are ahead.

        Raises:
            OutOfTime: it took too long; what was under way has been stopped.
            Stopping: the server takes no more questions.
        """
        how: dict[str, Any] = {
            "retrieval": retrieval,
            "answer": answer,
            "strategy": strategy,
            "sources": tuple(sources),
            "after": tuple(after),
        }
        with self._counted():
            if not self._repeats:
                yield from self._in_turn(query, top_k, **how)
            else:
                yield from self._perhaps_again(query, top_k, how)

    def _perhaps_again(
        self, query: Query, top_k: int, how: dict[str, Any]
    ) -> Generator[Event, None, None]:
        """Yield what came of the same before, else what happens now."""
        began = time.perf_counter()
        try:
            key = key_of(self, query, top_k, **how)
        except RetrieverError:
            self._metrics.ended("away")
            raise
        known = self._repeats.get(key)
        if known is not None:
            times = {"total": milliseconds_since(began)}
            again = replace(known, timings_ms=times, request_id=current_number(), repeated=True)
            self._metrics.asked(again)
            found = again.retrieval
            yield Found(replace(found, hits=found.hits[:top_k]))
            yield again
            return
        with closing(self._in_turn(query, top_k, **how)) as events:
            for event in events:
                if isinstance(event, Result):
                    self._repeats.keep(key, event)
                yield event

    def _in_turn(self, query: Query, top_k: int, **how: Any) -> Generator[Event, None, None]:
        if request := current():
            request.give(self._seconds)
        try:
            while not self._turns.acquire(timeout=_LOOK_SECONDS):
                require_wanted()
                yield Waiting()
        except (OutOfTime, CalledOff, GeneratorExit):
            self._metrics.ended(_unanswered())
            raise
        self._metrics.running.inc()
        answered = False
        try:
            with closing(super().run(query, top_k, **how)) as events:
                for event in events:
                    if isinstance(event, Result):
                        answered = True
                        self._metrics.asked(event)
                    else:
                        require_wanted()
                    yield event
        except FAULTS_OF_CALLERS:
            raise  # the status of the request counts it
        except (OutOfTime, CalledOff, GeneratorExit):
            if not answered:
                self._metrics.ended(_unanswered())
            raise
        except RetrieverError:
            self._metrics.ended("away")
            raise
        except Exception:
            self._metrics.ended("error")
            raise
        finally:
            self._metrics.running.dec()
            self._turns.release()
            self._give_back()


def _stopping() -> Stopping:
    return Stopping("The server is being stopped. Ask again in a minute.")


def _unanswered() -> Ended:
    """Return why a question was given up: its time was over, or who asked has gone."""
    request = current()
    late = request is not None and not request.left and request.seconds_left() <= 0
    return "late" if late else "left"


class Line:
    """The requests of the API: so many have their turn, so many wait, further ones are refused.

    A request stands in it once its body is whole: one that is slow to come keeps nobody out. Who
    asks much keeps nobody else waiting: callers have their turns one after the other, and where the
    line is full, the latest request of whoever has most in it makes room for one who has less. Used
    on one event loop.

    Args:
        at_once: requests that have their turn.
        waiting: that wait for it.
        most_bytes: of the bodies of all requests, those that are still coming too.
        clock: in seconds; how long turns last tells who is refused when to come again.
        ended: told what became of a request that was given up in the line, or before it was asked.
    """

    def __init__(
        self,
        at_once: int = 2,
        waiting: int = MAX_WAITING,
        most_bytes: int = MOST_HELD_BYTES,
        clock: Callable[[], float] = time.monotonic,
        ended: Callable[[Ended], object] = lambda outcome: None,
    ) -> None:
        self._at_once, self._most = at_once, at_once + waiting
        self._called = 0
        self._waiting: dict[str, deque[Place]] = {}  # by caller, whose turn is next first
        self._clock, self._seconds = clock, 0.0
        self._held, self._most_held = 0, most_bytes
        self._closed, self._ended = False, ended

    @property
    def under_way(self) -> int:
        """Return how many requests have their turn or wait for it."""
        return self._called + self.waiting()

    def close(self) -> None:
        """Take no more requests; those in the line have their turn."""
        self._closed = True

    def waiting(self) -> int:
        """Return how many wait for their turn."""
        return sum(map(len, list(self._waiting.values())))

    @contextmanager
    def place(self, caller: str = "") -> Iterator["Place"]:
        """Give a request of a caller what it needs to stand in the line.

        Raises:
            Refusal: it is too long already.
            Stopping: it is closed.
        """
        self._check(caller)
        place = Place(self, caller)
        try:
            yield place
        finally:
            self._held -= place.held
            if place.called:
                self._called -= 1
                self._learn(self._clock() - place.began)
                self._call()

    async def turn(self, place: "Place") -> None:
        """See `Place.turn`."""
        if (crowding := self._check(place.caller)) is not None:
            crowding.refused = True
            crowding.moved.set()
            self._leave(crowding)
        self._waiting.setdefault(place.caller, deque()).append(place)
        if request := current():
            request.stood = True
        self._call()
        try:
            with self.counted(), span("wait"):
                await place.moved.wait()
        except BaseException:
            if not place.called:
                self._leave(place)
            raise
        if place.refused:
            raise self._crowded("Others wait who asked for less")

    def _call(self) -> None:
        """Give those who wait the turns that are free, one to each caller before the next."""
        while self._called < self._at_once and self._waiting:
            caller = next(iter(self._waiting))
            places = self._waiting.pop(caller)
            place = places.popleft()
            if places:
                self._waiting[caller] = places  # behind the others
            self._called += 1
            place.called, place.began = True, self._clock()
            place.moved.set()

    def _leave(self, place: "Place") -> None:
        """Take a request out of those that wait, if it is there."""
        places = self._waiting.get(place.caller, deque())
        if place in places:
            places.remove(place)
            if not places:
                del self._waiting[place.caller]

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request as late or left if it is given up inside: no pipeline has it yet."""
        try:
            yield
        except anyio.get_cancelled_exc_class():
            self._ended(_unanswered())
            raise

    def hold(self, place: "Place", size: int) -> None:
        """See `Place.hold`."""
        if self._held + size > self._most_held:
            raise self._crowded(f"The requests that came hold {self._held / 2**20:,.0f} MiB")
        self._held += size
        place.held += size

    def _check(self, caller: str) -> "Place | None":
        """Return the request whose place one of a caller may take; None where there is room.

        Raises:
            Refusal: there is no room.
            Stopping: the line is closed.
        """
        if self._closed:
            raise _stopping()
        if self.under_way < self._most:
            return None
        most = max(self._waiting.values(), key=len, default=deque[Place]())
        if len(most) <= len(self._waiting.get(caller, ())) + 1:
            raise self._crowded(f"{self.under_way} requests are answered or wait")
        return most[-1]

    def _learn(self, seconds: float) -> None:
        """Take into the mean how long a turn lasted."""
        before = self._seconds or seconds
        self._seconds = before + _WEIGHT * (seconds - before)

    def _crowded(self, what: str) -> Refusal:
        """Return the refusal of a request for which there is no room, with the time until then."""
        rounds = self.under_way / self._at_once
        seconds = math.ceil(rounds * self._seconds) or RETRY_SECONDS
        seconds = min(seconds, MOST_RETRY_SECONDS)
        detail = f"{what}: come again in {seconds} s."
        return Refusal(429, detail, Retry_After=str(seconds))


class Place:
    """One request's place in the line, and the bytes of its body.

    Attributes:
        caller: whose request it is.
        called: whether it is its turn.
        refused: whether another took its place in the line.
        moved: set when it is one of both.
        began: when its turn did, by the line's clock.
        held: bytes.
    """

    def __init__(self, line: Line, caller: str) -> None:
        self._line, self.caller = line, caller
        self.called, self.refused, self.moved = False, False, anyio.Event()
        self.began, self.held = 0.0, 0

    def hold(self, size: int) -> None:
        """Count so many bytes, until it leaves.

        Raises:
            Refusal: all bodies together are too large.
        """
        self._line.hold(self, size)

    async def turn(self) -> None:
        """Stand in the line until it is this request's turn, which lasts until it leaves.

        Raises:
            Refusal: the line is too long, or another's request took its place.
        """
        await self._line.turn(self)
