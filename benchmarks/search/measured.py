"""What is measured of an engine, the same way for all. The peers import it: numpy only."""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.data import Rows, queries

TOP_K = 10
# Query tokens: what kbvqa-mini has, and the others that are timed.
REAL_TOKENS = 56
LONGER = (113, 320)
# The queries before these chose settings of this index.
SKIPPED = 420


class Measured:
    """Collects what is printed: sizes in bytes, times in seconds or milliseconds."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.result: dict[str, Any] = {"size": size, "searches": []}
        self._peak = peak_anonymous()

    def build(self, build: Callable[[], None], made: Path | None = None) -> None:
        """Time the building, and see what it leaves on the disk."""
        started, cpu = time.perf_counter(), time.process_time()
        build()
        self.result["build_seconds"] = time.perf_counter() - started
        self.result["build_cpu_seconds"] = time.process_time() - cpu
        if made is not None:
            self.result["disk"] = disk(made)

    def search(
        self,
        name: str,
        search: Callable[[Rows], Sequence[str]],
        tokens: int,
        count: int,
        **settings: object,
    ) -> None:
        """Time so many queries, one at a time, after one that warms up."""
        asked = queries(self.folder, count, tokens, skip=SKIPPED)
        search(asked[0])
        cpu, found = [], []
        for q_QD in asked:
            started = time.process_time()
            found.append(list(search(q_QD)))
            cpu.append(1000 * (time.process_time() - started))
        self.result["searches"].append(
            {
                "name": name,
                "tokens": tokens,
                "queries": len(asked),
                "cpu_ms": float(np.mean(cpu)),
                "cpu_ms_stderr": float(np.std(cpu) / np.sqrt(len(cpu))),
                "found": found,
                **settings,
            }
        )

    def print(self) -> None:
        """Print everything, on one line."""
        print("\n" + json.dumps(self.result | {"peak_anonymous": self._peak()}))


def measure(engines: Mapping[str, Callable[[Measured, Path], None]]) -> None:
    """Build and search the engine of the command line, and print a JSON object on the last line."""
    engine, folder, size, work = sys.argv[1:]
    measured = Measured(Path(folder), int(size))
    engines[engine](measured, Path(work))
    measured.print()


def few(size: int) -> int:
    """Return how many queries a full scan is timed on: fewer where one takes seconds."""
    return int(np.clip(150_000 // size, 5, 50))


def disk(folder: Path, without: str = "") -> int:
    """Return the bytes that a folder's files take, but for a folder of that name in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_blocks * 512 for path in files if without not in path.parts)


def peak_anonymous() -> Callable[[], int]:
    """Return a function that gives the most memory, but for mapped files, since now."""
    peak = [_anonymous()]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            peak[0] = max(peak[0], _anonymous())

    threading.Thread(target=watch, daemon=True).start()

    def result() -> int:
        stop.set()
        return max(peak[0], _anonymous())

    return result


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])
