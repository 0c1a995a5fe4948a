"""Points in an index that are no passages: something else wrote them into its collection.

A search leaves them out, so that one of them takes nobody's answer away, and says so: in the log,
once for each, and by their number.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from corpus.types import Passage
from retriever.engines.interface import Point, ScoredPoint
from retriever.errors import ForeignPoint
from retriever.index.points import passage_of

MOST_NOTED = 1_000  # of which it is known that they were met before
_MOST_SAID = 20

P = TypeVar("P", Point, ScoredPoint)

log = logging.getLogger(__name__)


class Foreign:
    """What was met in one index. Threads may share it.

    Args:
        location: of the index, for the log.
    """

    def __init__(self, location: str) -> None:
        self._location, self._lock = location, threading.Lock()
        self._ids: set[str] = set()

    @property
    def met(self) -> int:
        """How many there were so far, up to MOST_NOTED."""
        return len(self._ids)

    def passages(self, points: Iterable[P]) -> Iterator[tuple[P, Passage]]:
        """Yield points with the passages that they are; one that is none is noted."""
        for point in points:
            try:
                yield point, passage_of(point)
            except ForeignPoint as exc:
                self._note(point.id, exc)

    def _note(self, point_id: str, exc: ForeignPoint) -> None:
        with self._lock:
            if point_id in self._ids or len(self._ids) >= MOST_NOTED:
                return
            self._ids.add(point_id)
            met = len(self._ids)
        if met <= _MOST_SAID:
            log.warning("the index at %s: %s. It is left out", self._location, exc)
        if met == _MOST_SAID:
            log.warning("the index at %s: further ones are not named", self._location)
