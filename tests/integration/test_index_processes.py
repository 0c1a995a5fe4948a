"""The passage index between processes: readers side by side, killed builds, killed readers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from corpus.types import Passage
from retriever.engines.record import DEFAULT_STORAGE, Storage
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index.passage_index import Fingerprint, PassageIndex

ROOT = Path(__file__).parents[2]
DIM, ROWS, COUNT = 128, 48, 1_000  # 12 MB of float16: enough for segments to be written anew

BUILDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_index_processes import FINGERPRINT, embeddings, passages
from retriever.index.passage_index import PassageIndex
with PassageIndex.create_or_resume(Path(sys.argv[1]), FINGERPRINT) as index:
    for start in range(0, len(passages()), 20):
        batch = passages()[start:start + 20]
        index.upsert(batch, embeddings()[start:start + 20])
        print(*(passage.id for passage in batch), flush=True)
    index.finish()
    print("finished", flush=True)
    sys.stdin.read()
"""
READER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_index_processes import FINGERPRINT, embeddings
from retriever.index.passage_index import PassageIndex
index = PassageIndex.open(Path(sys.argv[1]), FINGERPRINT)
print("open", flush=True)
for line in sys.stdin:
    hits = index.search(embeddings()[int(line)], top_k=5)
    print(*(hit.passage.id for hit in hits), flush=True)
"""

FINGERPRINT = Fingerprint("tiny", "c0", "zoo", "d0", passages=COUNT, dim=DIM)


@cache
def passages() -> list[Passage]:
    return [Passage(f"p{i}", f"Title {i}", f"Text {i}") for i in range(COUNT)]


@cache
def embeddings() -> list[NDArray[np.float32]]:
    rows = np.random.default_rng(0).normal(size=(COUNT, ROWS, DIM)).astype(np.float32)
    return list(rows / np.linalg.norm(rows, axis=2, keepdims=True))


@contextmanager
def process(script: str, location: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a script beside this one, and end it if it still runs."""
    command = [sys.executable, "-c", script, str(location), str(Path(__file__).parent)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def read_line(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def ask(child: "subprocess.Popen[str]", passage: int) -> str:
    assert child.stdin is not None
    child.stdin.write(f"{passage}\n")
    child.stdin.flush()
    return read_line(child)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("index"), DEFAULT_STORAGE)


def built(location: Path, storage: Storage) -> Path:
    with PassageIndex.create(location, FINGERPRINT, storage) as index:
        index.upsert(passages(), embeddings())
        index.finish()
    return location


def file_contents(location: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(location)): path.read_bytes()
        for path in (location / "shard").rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("storage", [DEFAULT_STORAGE, Storage(quantization="scalar")])
def test_several_processes_search_one_index_at_once(storage: Storage, tmp_path: Path) -> None:
    finished = built(tmp_path, storage)
    before = file_contents(finished)
    anew = any(name.endswith("matrix.dat") for name in before)
    assert anew is (storage.quantization is not None), "the engine has optimised it"

    with process(READER, finished) as one, process(READER, finished) as two:
        assert [read_line(one), read_line(two)] == ["open", "open"]
        with PassageIndex.open(finished, FINGERPRINT) as index:
            assert len(list((finished / "readers").iterdir())) == 3
            for number in (3, 500):
                hits = index.search(embeddings()[number], top_k=5)
                expected = " ".join(hit.passage.id for hit in hits)
                assert expected.startswith(f"p{number} ")
                assert ask(one, number) == ask(two, number) == expected
        for child in (one, two):
            child.communicate(timeout=60)
            assert child.returncode == 0

    assert list((finished / "readers").iterdir()) == []
    assert file_contents(finished) == before


def test_a_killed_reader_is_cleaned_up_by_the_next(finished: Path) -> None:
    with process(READER, finished) as alive, process(READER, finished) as killed:
        assert [read_line(alive), read_line(killed)] == ["open", "open"]
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list((finished / "readers").iterdir())) == 2
        with PassageIndex.open(finished) as index:
            assert len(list((finished / "readers").iterdir())) == 2
            assert index.count == COUNT
        assert ask(alive, 7).startswith("p7 ")


def test_a_fork_leaves_the_index_of_its_parent_alone(finished: Path) -> None:
    script = READER + "\nimport os\nif os.fork() == 0:\n    sys.exit()\nos.wait()\n"
    script += "print(index.search(embeddings()[9], 1)[0].passage.id, flush=True)\n"
    with process(script, finished) as child:
        output, _ = child.communicate(timeout=60)
    assert output.splitlines() == ["open", "p9"]
    assert list((finished / "readers").iterdir()) == []


def test_a_killed_build_loses_and_doubles_nothing(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for kills in range(3):
        with process(BUILDER, tmp_path) as builder:
            for _ in range(5 + 8 * kills):
                acknowledged.update(read_line(builder).split())
            time.sleep(0.02 * kills)  # somewhere within a write
            builder.send_signal(signal.SIGKILL)
            rest, _ = builder.communicate()
            acknowledged.update(rest.split())
        with pytest.raises(IndexNotReady, match="is not finished"):
            PassageIndex.open(tmp_path)
        with PassageIndex.create_or_resume(tmp_path, FINGERPRINT) as index:
            present = index.passage_ids()
            assert acknowledged <= present
            assert index.count == len(present) < COUNT

    with PassageIndex.create_or_resume(tmp_path, FINGERPRINT) as index:
        present = index.passage_ids()
        missing = [i for i, passage in enumerate(passages()) if passage.id not in present]
        index.upsert([passages()[i] for i in missing], [embeddings()[i] for i in missing])
        index.finish()
        assert index.count == COUNT
        for i in (0, 99, COUNT - 1):
            best = index.search(embeddings()[i], top_k=1, mode="exact")[0]
            assert (best.passage, round(best.score, 1)) == (passages()[i], float(ROWS))


def test_one_process_builds_at_a_time(tmp_path: Path) -> None:
    with process(BUILDER, tmp_path) as builder:
        read_line(builder)
        with pytest.raises(IndexUnavailable, match="another process is building"):
            PassageIndex.create_or_resume(tmp_path, FINGERPRINT)
        while read_line(builder) != "finished":
            pass
        # The builder now only reads: others may, too.
        with PassageIndex.create_or_resume(tmp_path, FINGERPRINT) as index:
            assert index.complete and index.count == COUNT
