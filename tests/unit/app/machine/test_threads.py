"""How many threads: the wish, the share of the machine, and what is free of it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from app.machine import threads
from app.machine.threads import Reading, choose, cores


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_own_cores", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "_quotas", lambda proc, cgroups: [])


def stat(proc: Path, idle: list[int]) -> Path:
    """Write /proc/stat: ticks that each core idled; half of them waiting for a disk."""
    rows = "".join(f"cpu{n} 9 9 9 {i - i // 2} {i // 2} 0 0 0 0 0\n" for n, i in enumerate(idle))
    (proc / "stat").write_text(f"cpu 9 9 9 {sum(idle)} 0 0 0 0 0 0\n{rows}", encoding="ascii")
    return proc


@pytest.mark.parametrize(
    ("idle", "own", "number"),
    [
        (4.0, 0.0, 4),  # nothing else runs
        (3.0, 1.0, 4),  # what runs is this program
        (1.9, 0.3, 2),
        (0.1, 0.5, 1),  # others take it all: never less than one
        (0.9, 0.9, 2),  # most of a core counts as one
    ],
)
def test_what_is_free_decides(
    monkeypatch: pytest.MonkeyPatch, idle: float, own: float, number: int
) -> None:
    monkeypatch.setattr(threads, "read", lambda: Reading(10.0, 100 + idle, 7 + own))
    assert choose(None, Reading(9.0, 100.0, 7.0)).number == number


def test_a_wish_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert str(choose(9, threads.read())) == "9 threads (KBVQA_THREADS)"
    assert str(choose(None, threads.read())) == "3 threads (OMP_NUM_THREADS)"
    assert str(choose(1)) == "1 thread (KBVQA_THREADS)"


def test_what_cannot_be_measured_is_the_share(tmp_path: Path) -> None:
    assert choose(None).number == 4
    now = threads.read(tmp_path)  # no /proc there
    assert now.idle is None
    assert choose(None, Reading(now.at - 5, None, 0.0)).number == 4
    assert choose(None, threads.read()).number == 4  # no time has passed
    assert threads.read(stat(tmp_path, [0, 0, 0, 0])).idle is None  # a sandbox shows zeros


def test_only_the_cores_of_this_process_count(tmp_path: Path) -> None:
    tick = 1 / threads.os.sysconf("SC_CLK_TCK")
    assert threads.read(stat(tmp_path, [10, 20, 30, 40, 999])).idle == pytest.approx(100 * tick)


def test_the_quota_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(threads, "_own_cores", lambda: set(range(64)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    group = tmp_path / "fs" / "pod" / "box"
    group.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    listed = tmp_path / "self" / "cgroup"
    listed.write_text("0::/pod/box\n", encoding="utf-8")
    assert cores(tmp_path, tmp_path / "fs") == 64
    (group / "cpu.max").write_text("max 100000\n", encoding="ascii")
    (group.parent / "cpu.max").write_text("250000 100000\n", encoding="ascii")  # the pod's
    assert cores(tmp_path, tmp_path / "fs") == 2.5
    # Version 1, and the own group mounted as the root.
    listed.write_text("3:cpuset:/\n2:cpu,cpuacct:/docker/abc\n", encoding="utf-8")
    root = tmp_path / "fs" / "cpu"
    root.mkdir()
    (root / "cpu.cfs_quota_us").write_text("50000\n", encoding="ascii")
    (root / "cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert cores(tmp_path, tmp_path / "fs") == 0.5
    (root / "cpu.cfs_quota_us").write_text("-1\n", encoding="ascii")
    assert cores(tmp_path, tmp_path / "fs") == 64


def test_torch_computes_with_them() -> None:
    before = torch.get_num_threads()
    try:
        threads.use(choose(before + 1))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_on_this_machine_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    began = threads.read()
    time.sleep(0.25)
    assert 1 <= choose(None, began).number <= max(1, cores())


# Prints what this process computes while it does nothing, behind a product of matrices.
RESTING = """
import time
import app
import numpy as np
product_NN = np.ones((500, 500), np.float32)
for _ in range(20):
    product_NN @ product_NN
began = time.process_time()
time.sleep(0.6)
print(time.process_time() - began)
"""


@pytest.mark.skipif(cores() < 2, reason="numpy has threads where there are cores for them")
def test_numpy_leaves_the_cores_to_others_when_it_has_nothing_to_do() -> None:
    def computed(**environment: str) -> float:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.endswith("_NUM_THREADS") and name != "OPENBLAS_THREAD_TIMEOUT"
        }
        said = subprocess.run(
            [sys.executable, "-c", RESTING],
            env=inherited | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return float(said.stdout)

    as_it_is = computed(OPENBLAS_THREAD_TIMEOUT="28")  # what the environment says goes before
    if as_it_is < 0.01:
        pytest.skip("this numpy's threads sleep by themselves")
    assert computed() < as_it_is / 2
