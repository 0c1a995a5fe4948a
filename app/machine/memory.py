"""What the C library does with memory that the program gives back.

glibc gives threads arenas of their own, up to eight for each core, and what is free in one is of no
use to a thread of another. Questions are worked on in a dozen threads, with tensors of every size:
the arenas fill with holes, for hours, though no more is in use. With two that ends after some
minutes: docs/measured/README.md has the figures.
"""

import ctypes
import os
import platform

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def share_arenas() -> bool:
    """Have all threads allocate from two arenas, and return whether they do.

    To be called before threads begin. Nothing is changed where the C library is not glibc, or
    MALLOC_ARENA_MAX or GLIBC_TUNABLES says how it is to be.
    """
    if {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"} & os.environ.keys():
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS))
