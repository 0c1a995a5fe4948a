"""Whether a process's memory grows while it works: looked at every half minute.

    async with watched(process, answered, looks):
        ...
    series(looks)                       # a table of Markdown, with how much it grew

A process maps files, such as weights and an index, and what it has read of them lies in memory as
long as there is room: only what is anonymous is of its own making, and Linux alone tells it apart.
"""

import asyncio
import re
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
EVERY_SECONDS = 30.0
# The first part warms up; growth is from the part after that to the last.
PARTS = 6
_ROWS = 12  # of a table, about


@dataclass(frozen=True, slots=True)
class Look:
    """What a process took at a moment.

    Attributes:
        seconds: since the first look.
        answered: questions until then.
        resident: bytes in memory, mapped files among them.
        anonymous: bytes of these that are of no file; None where the system does not say.
    """

    seconds: float
    answered: int
    resident: int
    anonymous: int | None


def look(process: int, seconds: float = 0.0, answered: int = 0) -> Look:
    """Return what a process takes now."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except FileNotFoundError:  # not Linux
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True
        )
        return Look(seconds, answered, 1024 * int(said.stdout), None)
    kib = dict(re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", status, re.MULTILINE))
    return Look(seconds, answered, 1024 * int(kib["VmRSS"]), 1024 * int(kib["RssAnon"]))


@asynccontextmanager
async def watched(
    process: int, answered: Callable[[], int], looks: list[Look], every: float = EVERY_SECONDS
) -> AsyncIterator[None]:
    """Add looks at a process to a list: at the beginning, every so many seconds, at the end."""
    began = time.monotonic()

    def note() -> None:
        looks.append(look(process, time.monotonic() - began, answered()))

    async def go_on() -> None:
        while True:
            await asyncio.sleep(every)
            note()

    note()
    watching = asyncio.create_task(go_on())
    try:
        yield
    finally:
        watching.cancel()
        note()


def growth(sizes: Sequence[int]) -> float:
    """Return by what part memory grew once warm: of six parts, from the second to the last.

    Of each part the median counts: what is under way at a moment comes and goes.

    >>> round(growth([50, 90, 100, 102, 99, 101, 100, 104, 103, 101, 102, 102]), 3)
    0.01
    """
    part = len(sizes) // PARTS
    if part == 0:
        raise ValueError(f"growth takes at least {PARTS} looks, not {len(sizes)}")
    warm = statistics.median(sizes[part : 2 * part])
    return statistics.median(sizes[-part:]) / warm - 1


def series(looks: Sequence[Look]) -> str:
    """Return looks as a table of Markdown, some left out, and below it how much memory grew."""
    step = -(-len(looks) // _ROWS)
    rows = [*looks[:-1:step], looks[-1]]
    lines = ["| minutes | answered | resident, MiB | anonymous, MiB |", "|---|---|---|---|"]
    for row in rows:
        own = "" if row.anonymous is None else f"{row.anonymous / MIB:.0f}"
        lines.append(
            f"| {row.seconds / 60:.1f} | {row.answered} | {row.resident / MIB:.0f} | {own} |"
        )
    grew = f"resident memory grew by {growth([one.resident for one in looks]):.1%}"
    own_sizes = [one.anonymous for one in looks if one.anonymous is not None]
    if own_sizes:
        grew += f", anonymous memory by {growth(own_sizes):.1%}"
    minutes, count = looks[-1].seconds / 60, len(looks)
    lines += [
        "",
        f"Of {count} looks, from the median of minutes {minutes / PARTS:.0f} to "
        f"{2 * minutes / PARTS:.0f} to that of the last {minutes / PARTS:.0f}, {grew}.",
    ]
    return "\n".join(lines) + "\n"
