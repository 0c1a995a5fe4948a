"""What all tests share."""

import os
import shutil
import signal
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 8 << 30


def pytest_configure() -> None:
    """Keep what tests write in memory, and end as by Ctrl-C where a run is told to end.

    An index is written through to the disk whenever it is built, opened or closed: half of the time
    of a test that has one, on a disk. By SIGTERM the servers that a run started end too.
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
