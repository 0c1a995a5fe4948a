"""What all tests share."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 8 << 30


def pytest_configure() -> None:
    """Keep what tests write in memory, and end as by Ctrl-C where a run is told to end.

    An index is written through to the disk whenever it is built, opened or closed, which takes
    longer than the tests of it. By SIGTERM the servers that a run started end too.
    """
    if MEMORY.is_dir() and _room() > NEEDED_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """Let no test leave the next one more of torch's threads than it found, as `train mini` does.

    Where the cores are busy they wait for each other, and a test takes ten times as long.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch is not None and torch.get_num_threads() != before:
        torch.set_num_threads(before)


def _room() -> int:
    """Return how many bytes may be written to memory."""
    available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    free = 1024 * int(available[1]) if available else 0
    return min(free, shutil.disk_usage(MEMORY).free)
