"""What libraries hold on to of memory that the program needs no longer.

glibc gives threads arenas of their own, up to eight for each core, and what is free in one is of no
use to a thread of another. Questions are worked on in a dozen threads, with tensors of every size:
the arenas fill with holes, for hours, though no more is in use. With two there are fewer, and what
is free in them goes back to the system every few seconds: docs/measured/load.md has the figures.

oneDNN makes code for every shape of a computation that it meets, such as texts of another length,
and keeps the last 1,024: hundreds of megabytes, which fill up for hours. It keeps 256 here, about a
quarter of that, and a question needs fewer. What was let go is made again when it is met, in no
CPU time that could be told from noise.
"""

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2
# Of oneDNN itself, and of the layer between it and torch, which holds on to the same code.
_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_KEPT = 256
_GLIBC = platform.libc_ver()[0] == "glibc"
_TRIM_SECONDS = 5.0  # it takes 4 to 8 ms of the processor


def share_arenas() -> bool:
    """Have all threads allocate from two arenas, and return whether they do.

    To be called before threads begin. Nothing is changed where the C library is not glibc, or
    MALLOC_ARENA_MAX or GLIBC_TUNABLES says how it is to be.
    """
    if {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"} & os.environ.keys():
        return False
    if not _GLIBC:
        return False
    return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS))


class GiveBack:
    """Gives the system what is free in the arenas, holes in their middle too, when called.

    Does nothing where the C library is not glibc, or it was done a moment ago.

    Args:
        seconds: until it is done again.
        clock: in seconds.
    """

    def __init__(
        self, seconds: float = _TRIM_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._clock = seconds, clock
        self._lock, self._next = threading.Lock(), clock()

    def __call__(self) -> bool:
        """Return whether it was done."""
        with self._lock:
            now = self._clock()
            if not _GLIBC or now < self._next:
                return False
            self._next = now + self._seconds
        ctypes.CDLL(None).malloc_trim(0)
        return True


def keep_few_kernels() -> None:
    """Have oneDNN keep the code of 256 computations, here and in processes that this one starts.

    To be called before torch is imported. A number that the environment says stays.
    """
    for name in _CACHES:
        os.environ.setdefault(name, str(_KEPT))
