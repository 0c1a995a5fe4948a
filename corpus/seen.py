"""A set of texts that takes about eight bytes for each: what has been read before?"""

from hashlib import blake2b

import numpy as np

_RECENT = 1 << 16


class Seen:
    """Remembers texts by a 64-bit hash.

    Two different texts are taken for the same with a probability of about n^2 / 2^65: three in
    a million for ten million texts.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted = np.empty(0, np.uint64)

    def add(self, text: str) -> bool:
        """Remember a text and return whether it is new."""
        key = _key(text)
        if self._has(key):
            return False
        self._recent.add(key)
        if len(self._recent) >= _RECENT:
            recent = np.sort(np.fromiter(self._recent, np.uint64, len(self._recent)))
            places = np.searchsorted(self._sorted, recent)
            self._sorted = np.insert(self._sorted, places, recent)
            self._recent.clear()
        return True

    def __contains__(self, text: str) -> bool:
        return self._has(_key(text))

    def _has(self, key: int) -> bool:
        where = int(np.searchsorted(self._sorted, np.uint64(key)))
        found = where < len(self._sorted) and self._sorted[where] == key
        return key in self._recent or bool(found)

    def __len__(self) -> int:
        return len(self._recent) + len(self._sorted)


def _key(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
