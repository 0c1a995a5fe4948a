"""Who may ask, and how often: keys that are compared in constant time, and a bucket for each.

A bucket holds the requests of a minute and fills evenly, so that a short burst is fine.
"""

import hmac
import math
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

_KEPT_BUCKETS = 10_000


class Keys:
    """The keys that the settings name. They are kept as hashes, and never logged."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._hashes = [sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        """Return whether a key is needed."""
        return bool(self._hashes)

    def number(self, key: str) -> int | None:
        """Return the number of a key, from 1; None for one that is unknown.

        Every key is compared, to the last byte: how long it takes tells nothing.
        """
        given = sha256(key.encode("utf-8", "surrogateescape")).digest()
        same = [hmac.compare_digest(given, known) for known in self._hashes]
        return same.index(True) + 1 if True in same else None


class Rates:
    """How many requests each caller has left.

    Args:
        per_minute: of one caller.
        now: seconds on a clock that only goes forward.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most, self._now = float(per_minute), now
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and since when

    def wait(self, caller: str) -> int:
        """Return 0 and count a request; or, uncounted, in how many seconds to come again."""
        with self._lock:
            left = self._left(caller)
            if left < 1:
                return math.ceil((1 - left) * 60 / self._most)
            self._buckets[caller] = (left - 1, self._now())
            self._forget()
            return 0

    def _left(self, caller: str) -> float:
        left, since = self._buckets.get(caller, (self._most, self._now()))
        return min(self._most, left + (self._now() - since) * self._most / 60)

    def _forget(self) -> None:
        """Drop buckets that are full again, where there are many."""
        if len(self._buckets) > _KEPT_BUCKETS:
            kept = {c: b for c, b in self._buckets.items() if self._left(c) < self._most}
            self._buckets = kept
