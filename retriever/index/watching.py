"""Whether searches find what the index promises, for the queries that are really asked.

    offer      rows of a query that was searched for; most are not taken
    a process  searches for them again, and compares with the exact scan
    seen       the share of the ten best that was found, of the last queries

A scan holds the interpreter of its process, so that it has one of its own, at the lowest priority,
which is started with the first query and ends with who started it, at the latest after the scan
that it is at. It rests 99 times as long as it worked. Of a query it has the rows alone, of one
query at a time, in memory.

Shapes: Q query tokens · D embedding dim
"""

import logging
import math
import multiprocessing
import os
import queue
import signal
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from corpus.errors import KbvqaError
from corpus.types import Hit
from retriever.engines.connection import DEFAULT_CONNECTION, QdrantConnection
from retriever.engines.interface import Vector
from retriever.errors import IndexUnavailable
from retriever.index.builds import Location
from retriever.index.learning import TOP_K
from retriever.index.passage_index import PassageIndex

SHARE = 0.01  # of the time that is spent on it
FEWEST, LATEST = 20, 200  # queries that a judgement is of

_AFTER_FAILURE_SECONDS = 600.0
_EQUAL = 1e-4  # how far two scores of the same rows may be apart
_NICENESS = 19
_ERRORS = 2  # standard errors that recall must be below what is promised

log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What was seen of the last queries.

    Attributes:
        queries: how many of them were compared, at most `LATEST`.
        recall: the share of their ten best that was found; not a number before the first.
        error: its standard error; not a number before the second.
    """

    queries: int
    recall: float
    error: float


class RecallWatch:
    """Compares a few of the queries that are asked with the exact scan. For any thread.

    Args:
        location: of the index.
        promised: the share of the ten best that is to be found.
        candidates: of the searches that are compared.
        connection: for a server.
        share: of the time that may be spent on it, above 0.
        compared: called after each query, in a thread of the watch's.
    """

    def __init__(
        self,
        location: Location,
        promised: float,
        candidates: int,
        connection: QdrantConnection = DEFAULT_CONNECTION,
        share: float = SHARE,
        compared: "Callable[[RecallWatch], object]" = lambda watch: None,
    ) -> None:
        self.promised, self._told = promised, compared
        self._asks, self._share = (location, candidates, connection), share
        self._found: deque[float] = deque(maxlen=LATEST)
        self._lock = threading.Lock()
        self._taken: queue.Queue[Vector | None] = queue.Queue()  # one at most, and the end
        self._due, self._low, self._closed = 0.0, False, False
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of(
        cls,
        index: PassageIndex,
        candidates: int,
        connection: QdrantConnection = DEFAULT_CONNECTION,
        share: float = SHARE,
        compared: "Callable[[RecallWatch], object]" = lambda watch: None,
    ) -> "RecallWatch | None":
        """Return a watch of an open index; None where it promises nothing, or looks at all."""
        learned = index.built.learned
        if not share or learned is None or candidates >= index.count:
            return None
        return cls(index.location, learned.wanted, candidates, connection, share, compared)

    @property
    def seen(self) -> Seen:
        """What was seen of the last queries."""
        with self._lock:
            found = list(self._found)
        recall = statistics.fmean(found) if found else math.nan
        error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
        return Seen(len(found), recall, error)

    @property
    def low(self) -> bool:
        """Whether less is found than is promised, by more than chance."""
        queries, recall, error = self.seen
        return queries >= FEWEST and recall + _ERRORS * error < self.promised

    def offer(self, q_QD: Vector) -> bool:
        """Return whether the rows [Q, D] of a query are taken; returns at once."""
        with self._lock:
            if self._closed or time.monotonic() < self._due:
                return False
            self._due = math.inf  # until this one is compared
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recall", daemon=True)
                self._thread.start()
            self._taken.put(q_QD)
            return True

    def close(self) -> None:
        """Compare no more, and end the process whatever it is at; again does nothing."""
        with self._lock:
            self._closed = True
            self._end_process()
            self._taken.put(None)

    def _run(self) -> None:
        while (q_QD := self._taken.get()) is not None:
            began, rest = time.monotonic(), 0.0
            try:
                share = self._compared(q_QD)
            except IndexUnavailable as exc:
                if self._closed:
                    return
                log.warning("a search could not be compared with the exact one: %s", exc)
                rest = _AFTER_FAILURE_SECONDS
            else:
                with self._lock:
                    self._found.append(share)
                self._judge()
                self._told(self)
            took = time.monotonic() - began
            with self._lock:
                self._due = time.monotonic() + max(rest, took * (1 / self._share - 1))

    def _compared(self, q_QD: Vector) -> float:
        """Return the share of the ten best of a query that a search finds.

        Raises:
            IndexUnavailable: the process has failed. The next call starts another.
        """
        with self._lock:
            if self._closed:
                raise IndexUnavailable("closed")
            try:
                pipe = self._pipe or self._started()
            except OSError as exc:
                raise IndexUnavailable(f"no process to scan in can be started: {exc}") from exc
        try:
            pipe.send(q_QD)
            answer = pipe.recv()
        except (EOFError, OSError) as exc:
            answer = f"the process that scans has ended: {exc!r}"
        if isinstance(answer, float):
            return answer
        with self._lock:
            self._end_process()
        raise IndexUnavailable(answer)

    def _judge(self) -> None:
        before, self._low = self._low, self.low
        if self._low == before:
            return
        queries, recall, error = self.seen
        said = f"of the last {queries} queries that were compared with the exact search "
        said += f"{recall:.3f} ± {error:.3f} of the ten best were found"
        if self._low:
            log.warning(
                "%s, and the index promises %g: set KBVQA_CANDIDATES to more, or build it anew "
                "with --swap and --questions such as are asked",
                said,
                self.promised,
            )
        else:
            log.warning("%s, which is what the index promises again", said)

    def _started(self) -> Connection:
        """Return the pipe to a new process."""
        context = multiprocessing.get_context("spawn")  # a fork would take the models along
        pipe, other = context.Pipe()
        process = context.Process(target=_scan, args=(other, *self._asks), daemon=True)
        process.start()
        other.close()  # so that the pipe ends when the process does
        self._process, self._pipe = process, pipe
        return pipe

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.kill()  # it writes nothing
            self._process.join()
        self._process = self._pipe = None


def _scan(
    pipe: Connection, location: Location, candidates: int, connection: QdrantConnection
) -> None:
    """Answer each query with the share of its ten best that is found, or with what is wrong."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this says when it ends
    try:
        with PassageIndex.open(location, connection=connection) as index:
            while True:
                q_QD = pipe.recv()
                best = index.search(q_QD, TOP_K, mode="exact")
                pipe.send(_share(best, index.search(q_QD, TOP_K, candidates=candidates)))
    except EOFError:  # nobody asks any more
        return
    except KbvqaError as exc:
        pipe.send(str(exc))


def _share(best: Sequence[Hit], found: Sequence[Hit]) -> float:
    """Return the share of the best that was found, or what scores the same."""
    least = best[-1].score - _EQUAL
    return sum(hit.score >= least for hit in found) / len(best)
