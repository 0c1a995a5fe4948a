"""Indexing that is killed at thirty random moments ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retriever.index import PassageIndex
from retriever.index_settings import Connection
from retriever.index_tools import verify_index
from tests.integration.conftest import Home
from tests.integration.qdrant_server import StandIn

ROOT = Path(__file__).parents[2]
KILLS = 30
# A corpus, then one with changed, new and removed passages, then a swap: all phases are hit.
STAGES = (("a", 900, False), ("b", 800, False), ("c", 850, True))

BUILDER = """
import sys, time
from pathlib import Path
import numpy as np
from corpus.seen import Seen
from corpus.types import Passage
from retriever.index import Fingerprint, PassageIndex
from retriever.index_settings import Connection
from retriever.indexing import remove_missing, write_corpus

location, grpc_port, corpus, count, fresh, pause = sys.argv[1:]
connection = Connection(grpc_port=int(grpc_port))
passages = [
    Passage(f"p{i}", f"Title {i}", f"Text {i} of {corpus if i % 4 == 0 else 'all'}")
    for i in range(int(count))
]

def encode(wanted):
    wanted = list(wanted)
    for start in range(0, len(wanted), 20):
        batch = wanted[start:start + 20]
        time.sleep(float(pause))
        yield batch, [rows(passage) for passage in batch]

def rows(passage):
    seed = int.from_bytes(passage.text.encode()[-12:] + passage.id.encode(), "big") % 2**32
    matrix = np.random.default_rng(seed).normal(size=(12, 32)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

ids = Seen()
for passage in passages:
    ids.add(passage.id)
made_from = Fingerprint("tiny", "c0", "zoo", corpus, passages=len(passages), dim=32)
try:
    with PassageIndex.open(location, made_from, connection):
        done = True
except Exception:
    done = False
if not done:
    with PassageIndex.update(
        location, made_from, connection=connection, fresh=fresh == "True"
    ) as index:
        report = write_corpus(index, passages, encode)
        remove_missing(index, ids, report, delete=True)
        index.finish()
assert "torch" not in sys.modules
"""


def start(home: Home, stage: tuple[str, int, bool], pause: float) -> "subprocess.Popen[str]":
    port = home.connection.grpc_port or 0
    command = [sys.executable, "-c", BUILDER, home.location, *map(str, (port, *stage, pause))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def opened(home: Home) -> PassageIndex:
    return PassageIndex.open(home.location, connection=home.connection)


def content(home: Home) -> dict[str, tuple[Any, bytes]]:
    with opened(home) as index:
        assert verify_index(index) == []
        return {
            point.id: (dict(point.payload), point.vectors["tokens"].tobytes())
            for point in index.points()
        }


def kill_thirty_times(undisturbed: Home, killed: Home) -> None:
    """Build both, and kill one meanwhile; what they hold must be the same after each stage."""
    chance = random.Random(0)
    kills = 0
    for number, stage in enumerate(STAGES, start=1):
        with start(undisturbed, stage, 0.0) as builder:
            _, errors = builder.communicate(timeout=120)
            assert builder.returncode == 0, errors
        while kills < KILLS * number // len(STAGES):
            with start(killed, stage, 0.05) as builder:
                time.sleep(chance.uniform(0.2, 1.4))
                builder.send_signal(signal.SIGKILL)
                _, errors = builder.communicate()
                assert builder.returncode in (-signal.SIGKILL, 0), errors
                kills += 1
        with start(killed, stage, 0.0) as builder:
            _, errors = builder.communicate(timeout=120)
            assert builder.returncode == 0, errors
        assert content(killed) == content(undisturbed)
    assert kills == KILLS
    query = np.eye(32, dtype=np.float32)[:5]
    with opened(killed) as one, opened(undisturbed) as other:
        assert one.search(query, 20, mode="exact") == other.search(query, 20, mode="exact")


@pytest.mark.slow
def test_thirty_kills_leave_the_index_of_an_undisturbed_run(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    kill_thirty_times(*(Home("embedded", str(p), Connection()) for p in (undisturbed, killed)))
    names, expected = ([p.name for p in place.iterdir()] for place in (killed, undisturbed))
    assert sorted(names) == sorted(expected)


@pytest.mark.slow
def test_thirty_kills_leave_the_collection_of_an_undisturbed_run(stand_in: StandIn) -> None:
    connection = Connection(grpc_port=stand_in.grpc_port)
    places = (f"{stand_in.url}/undisturbed", f"{stand_in.url}/killed")
    kill_thirty_times(*(Home("wire", place, connection) for place in places))
