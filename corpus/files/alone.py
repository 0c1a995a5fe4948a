"""Files that one process at a time writes."""

import fcntl
from typing import BinaryIO


def lock(file: BinaryIO) -> bool:
    """Return whether an open file is this process's from now on, until it is closed.

    The kernel ends it with the process, however that ends.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
