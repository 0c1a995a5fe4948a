"""How many threads one computation gets on the CPU.

Threads of one matrix product wait for each other: two on a core that is busy with something else
take seven times as long as one. So what counts is not how many cores there are but how many are
free, measured while this program loads:

    free = what its cores idled + what it used itself, over the time that has passed

A process may use fewer cores than the machine has: those of its affinity, and of the quota of its
control group (both versions), which is how containers are given a part of a machine.

numpy has threads of its own, OpenBLAS's. After a product they wait for the next one for a tenth of
a second without sleeping, which is taken from torch's: on two cores the reader, which comes right
behind the search, takes a third longer (docs/measured/latency.md).
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")

# The binary logarithm of how many clock cycles OpenBLAS's threads wait before they sleep; its own
# is 28. With 20 they wait for less than a millisecond.
_WAIT, _WAIT_CYCLES = "OPENBLAS_THREAD_TIMEOUT", "20"
# A core is free that idles most of the time: what loads this program also uses some.
_FREE_FROM = 0.7
_SHORTEST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cores of this process had done at a moment, in seconds.

    Attributes:
        at: the moment.
        idle: of the process's cores, summed; None where the system does not say.
        own: what this process had computed.
    """

    at: float
    idle: float | None
    own: float


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads, and why: `str` is for people."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.number} thread{'s' * (self.number != 1)} ({self.reason})"


def read(proc: Path = PROC) -> Reading:
    """Return what the cores have done until now."""
    return Reading(time.monotonic(), _idle_seconds(proc), time.process_time())


def choose(wanted: int | None, since: Reading | None = None) -> Threads:
    """Return how many threads a computation gets.

    Args:
        wanted: KBVQA_THREADS; None to find out.
        since: a reading from when this process began; None counts every core that it may use as
            free, as for passages, which are encoded one to a thread: those do not wait for each
            other.
    """
    if wanted is not None:
        return Threads(wanted, "KBVQA_THREADS")
    if (by_hand := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(by_hand):
        return Threads(int(by_hand), "OMP_NUM_THREADS")
    share = cores()
    most = max(1, int(share))
    free = None if since is None else _free(since)
    if free is None:
        return Threads(most, f"of {share:g} cores")
    number = max(1, min(most, int(free + 1 - _FREE_FROM)))
    return Threads(number, f"{min(free, share):.1f} of {share:g} cores are free")


def use(threads: Threads) -> None:
    """Let torch compute with so many threads, in this one and in those that begin later."""
    import torch

    torch.set_num_threads(threads.number)


def sleep_between_products() -> None:
    """Have numpy's threads sleep when they have nothing to do, here and in processes begun later.

    To be called before numpy is imported. A number that the environment says stays.
    """
    os.environ.setdefault(_WAIT, _WAIT_CYCLES)


def cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> float:
    """Return how many cores this process may keep busy: its affinity's, or its quota if less."""
    return min([float(len(_own_cores())), *_quotas(proc, cgroups)])


def _free(since: Reading) -> float | None:
    """Return how many cores were free since a reading; None where that is not known."""
    now = read()
    if since.idle is None or now.idle is None or now.at - since.at < _SHORTEST_SECONDS:
        return None
    return (now.idle - since.idle + now.own - since.own) / (now.at - since.at)


def _own_cores() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # not on Linux
        return set(range(os.cpu_count() or 1))


def _idle_seconds(proc: Path) -> float | None:
    """Return what this process's cores idled since the machine started; None if not known."""
    wanted = {f"cpu{core}" for core in _own_cores()}
    try:
        lines = (proc / "stat").read_text(encoding="ascii").splitlines()
        ticks = [line.split()[4:6] for line in lines if line.partition(" ")[0] in wanted]
        idle = sum(int(tick) for found in ticks for tick in found)  # idle, and waiting for a disk
    except (OSError, ValueError):
        return None
    # A sandbox that hides the machine shows zeros.
    return idle / os.sysconf("SC_CLK_TCK") if idle else None


def _quotas(proc: Path, cgroups: Path) -> list[float]:
    """Return the quotas of this process's control groups, in cores: [] where there are none."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            found += [_quota_2(folder) for folder in _upwards(cgroups, group)]
        elif "cpu" in controllers.split(","):
            found += [_quota_1(folder) for folder in _upwards(cgroups / "cpu", group)]
    return [quota for quota in found if quota is not None]


def _upwards(root: Path, group: str) -> list[Path]:
    """Return the folder of a group and those above it: each may have a quota."""
    folder = root / group.lstrip("/")
    # Inside a container its own group is often mounted as the root.
    return [folder, *(above for above in folder.parents if above.is_relative_to(root)), root]


def _quota_2(folder: Path) -> float | None:
    """Return the quota of a group of version 2: cpu.max holds "200000 100000", or "max 100000"."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_1(folder: Path) -> float | None:
    """Return the quota of a group of version 1, where -1 stands for none."""
    try:
        quota, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii"))
            for name in ("quota", "period")
        )
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
