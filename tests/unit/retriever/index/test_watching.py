"""The running comparison with the exact scan: a real index, a real process."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from retriever.engines import candidates
from retriever.index import watching
from retriever.index.passage_index import Learning, PassageIndex
from retriever.index.watching import FEWEST, RecallWatch
from tests.index_cases import Rows, build, make_fingerprint, make_passages, random_embeddings

COUNT = 4_000
QUERIES = random_embeddings(FEWEST + 5, seed=9)


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an index that has learned its candidates."""
    place = tmp_path_factory.mktemp("watched") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "LEARNED_FROM", COUNT)
        with PassageIndex.create(place, make_fingerprint(COUNT)) as index:
            index.upsert(make_passages(COUNT), random_embeddings(COUNT))
            index.finish(learning=Learning(random_embeddings(30, seed=5)))
            assert index.built.learned is not None
    return place


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def compare(watch: RecallWatch, queries: Sequence[Rows]) -> None:
    """Have queries compared, all of them, beside those that are already."""
    count = watch.seen.queries + len(queries)
    for q_QD in queries:
        until(partial(watch.offer, q_QD))
    until(lambda: watch.seen.queries == count)


@pytest.mark.parametrize(("looked_at", "low"), [(10, True), (COUNT - 1, False)])
def test_a_search_that_finds_less_than_is_promised_is_said_once(
    location: Path, caplog: pytest.LogCaptureFixture, looked_at: int, low: bool
) -> None:
    caplog.set_level(logging.WARNING)
    watch = RecallWatch(location, 0.99, looked_at, share=1)
    try:
        compare(watch, QUERIES[: FEWEST - 1])
        assert not watch.low, "too few to say"
        compare(watch, QUERIES[FEWEST - 1 :])
        with PassageIndex.open(location) as index:
            best = index.search_many(QUERIES, 10, mode="exact")
            found = index.search_many(QUERIES, 10, candidates=looked_at)
        hits = [len({*b} & {*f}) / 10 for b, f in zip(best, found, strict=True)]
        assert watch.seen.recall == pytest.approx(sum(hits) / len(hits))
        assert watch.low is low
        said = [r.getMessage() for r in caplog.records if "compared with the exact" in r.message]
        assert len(said) == low
        assert all("the index promises 0.99: set KBVQA_CANDIDATES" in line for line in said)
    finally:
        watch.close()


def test_it_rests_99_times_as_long_as_it_worked(location: Path) -> None:
    watch = RecallWatch(location, 0.99, 50)
    try:
        began = time.monotonic()
        assert watch.offer(QUERIES[0])
        assert not watch.offer(QUERIES[1]), "one at a time"
        until(lambda: watch.seen.queries == 1)
        time.sleep(0.05)
        worked = time.monotonic() - began
        assert not watch.offer(QUERIES[1])
        assert 50 * worked < watch._due - began < 101 * worked
    finally:
        watch.close()


def test_the_process_has_the_lowest_priority_and_ends_with_the_watch(location: Path) -> None:
    watch = RecallWatch(location, 0.99, 50, share=1)
    assert watch._process is None, "nothing is started before something is asked"
    compare(watch, QUERIES[:1])
    process = watch._process
    assert process is not None and process.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
    watch.close()
    assert process.exitcode is not None
    assert not watch.offer(QUERIES[0])
    watch.close()


def test_a_process_that_fails_is_said_and_started_again(
    location: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_AFTER_FAILURE_SECONDS", 0.0)
    watch = RecallWatch(location, 0.99, 50, share=1)
    try:
        compare(watch, QUERIES[:1])
        assert watch._process is not None and watch._process.pid is not None
        os.kill(watch._process.pid, signal.SIGKILL)
        until(lambda: watch.offer(QUERIES[0]))
        until(lambda: "the process that scans has ended" in caplog.text)
        compare(watch, QUERIES[:2])
    finally:
        watch.close()


_PARENT = """
import sys, time
import numpy as np
from retriever.index.watching import RecallWatch
if __name__ == "__main__":
    watch = RecallWatch(sys.argv[1], 0.99, 50, share=1)
    watch.offer(np.eye(4, 16, dtype=np.float32))
    while not watch.seen.queries:
        time.sleep(0.01)
    print(watch._process.pid, flush=True)
    time.sleep(60)
"""


def test_the_process_ends_when_who_started_it_is_killed(location: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    root = str(Path(__file__).parents[4])
    environment = os.environ | {"PYTHONPATH": root}
    parent = subprocess.Popen(
        [sys.executable, script, location], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not _runs(child), 10)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_promises_nothing_or_looks_at_all_is_not_watched(
    location: Path, tmp_path: Path
) -> None:
    build(tmp_path, random_embeddings(20))
    with PassageIndex.open(tmp_path) as small, PassageIndex.open(location) as large:
        assert RecallWatch.of(small, 10) is None, "it has learned nothing"
        assert RecallWatch.of(large, COUNT) is None, "it looks at every passage"
        assert RecallWatch.of(large, 50, share=0) is None, "turned off"
        watch = RecallWatch.of(large, 50)
        assert watch is not None and watch.promised == 0.99
