"""A set of texts that takes about eight bytes for each: what has been read before?"""

from array import array
from bisect import bisect_left
from hashlib import blake2b

import numpy as np

_RECENT = 1 << 16


class TextSet:
    """Remembers texts by a 64-bit hash.

    Two different texts are taken for the same with a probability of about n^2 / 2^65: three in
    a million for ten million texts.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted = array("Q")

    def add(self, text: str) -> bool:
        """Remember a text and return whether it is new."""
        key = _key(text)
        if self._has(key):
            return False
        self._recent.add(key)
        if len(self._recent) >= _RECENT:
            self._pack()
        return True

    def __contains__(self, text: str) -> bool:
        return self._has(_key(text))

    def __len__(self) -> int:
        return len(self._recent) + len(self._sorted)

    def _has(self, key: int) -> bool:
        if key in self._recent:
            return True
        where = bisect_left(self._sorted, key)
        return where < len(self._sorted) and self._sorted[where] == key

    def _pack(self) -> None:
        """Merge the recent hashes into the sorted ones."""
        recent = np.sort(np.fromiter(self._recent, np.uint64, len(self._recent)))
        known = np.frombuffer(self._sorted.tobytes(), np.uint64)
        merged = np.insert(known, np.searchsorted(known, recent), recent)
        self._sorted = array("Q")
        self._sorted.frombytes(merged.tobytes())
        self._recent.clear()


def _key(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
