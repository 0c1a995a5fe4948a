"""Indexing that is killed thirty times, in every phase, ends as if nothing had happened.

The builder announces each step and waits for leave to take it, so that a kill hits the phase that
it is meant for however slow the machine is: it follows within milliseconds of the leave.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retriever.building.tools import verify_index
from retriever.engines.connection import QdrantConnection
from retriever.engines.interface import LEARNED
from retriever.index.passage_index import PassageIndex
from tests.integration.conftest import BACKENDS, Home, real_home
from tests.integration.qdrant_server import StandIn

ROOT = Path(__file__).parents[2]

BUILDER = """
import os
import sys
from corpus.files.text_set import TextSet
import numpy as np
from corpus.types import Passage
from retriever.engines.server.collection import ServerEngine
from retriever.engines.embedded import DirectoryStore, EmbeddedEngine
from retriever.engines.server.engine import ServerStore
from retriever.engines import candidates
from retriever.index.passage_index import Fingerprint, Learning, PassageIndex
from retriever.engines.connection import QdrantConnection
from retriever.index.writing import remove_missing, write_corpus

candidates.LEARNED_FROM = 600
location, api_key, grpc_port, corpus, count, fresh = sys.argv[1:]
connection = QdrantConnection(api_key=api_key or None, grpc_port=int(grpc_port) or None)
passages = [
    Passage(f"p{i}", f"Title {i}", f"Text {i} of {corpus if i % 4 == 0 else 'all'}")
    for i in range(int(count))
]

def say(line):  # in one piece: several threads write
    os.write(1, line.encode() + b"\\n")

def announce(owner, name, phase):
    real = getattr(owner, name)

    def step(*arguments, **keywords):
        say(phase)
        assert os.read(0, 3) == b"go\\n"
        return real(*arguments, **keywords)

    setattr(owner, name, step)

for store in (DirectoryStore, ServerStore):
    announce(store, "begin", "begin")
    announce(store, "open_for_writing", "open")
    announce(store, "finish", "finish")
for engine in (EmbeddedEngine, ServerEngine):
    for name in ("upsert", "delete", "optimise", "make_room", "set_vectors"):
        announce(engine, name, name)

def encode(wanted):
    wanted = list(wanted)
    for start in range(0, len(wanted), 20):
        batch = wanted[start:start + 20]
        yield batch, [rows(passage) for passage in batch]

def rows(passage):
    seed = int.from_bytes(passage.text.encode()[-12:] + passage.id.encode(), "big") % 2**32
    return unit(np.random.default_rng(seed).normal(size=(12, 32)).astype(np.float32))

def unit(matrix):
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

ids = TextSet()
for passage in passages:
    ids.add(passage.id)
made_from = Fingerprint("tiny", "c0", "zoo", corpus, passages=len(passages), dim=32)
if PassageIndex.finished(location, made_from, connection) is None:
    with PassageIndex.update(
        location, made_from, connection=connection, fresh=fresh == "True"
    ) as index:
        upsert = index.upsert

        def acknowledged(batch, embeddings):
            upsert(batch, embeddings)
            say(" ".join(["acknowledged", *(passage.id for passage in batch)]))

        index.upsert = acknowledged
        report = write_corpus(index, passages, encode)
        remove_missing(index, ids, report, delete=True)
        rng = np.random.default_rng(0)
        queries = [unit(rng.normal(size=(9, 32)).astype(np.float32)) for _ in range(60)]
        index.finish(learning=Learning(queries))
assert "torch" not in sys.modules
"""


@dataclass(frozen=True)
class Stage:
    """A corpus of so many passages, and the phases in which its build is killed.

    A number is of how many writes are begun before the kill.
    """

    corpus: str
    count: int
    fresh: bool
    kills: tuple[str, ...]


# The first build and the swap learn their candidate stage; the update keeps the one that is there.
LEARNS = ("set_vectors", "set_vectors")

# A corpus, then one with changed, new and removed passages, then a swap.
STAGES = (
    Stage("a", 900, False, ("begin", "open", "make_room", *"263", *LEARNS, "optimise", "finish")),
    Stage("b", 800, False, ("begin", "open", *"21121", "delete", "optimise", "finish")),
    Stage("c", 850, True, ("begin", "open", "make_room", *"425", *LEARNS, "optimise", "finish")),
)


@dataclass
class Run:
    """What a builder did before it ended, or was killed."""

    phases: Counter[str] = field(default_factory=Counter)
    acknowledged: list[str] = field(default_factory=list)


def run(home: Home, stage: Stage, kill: str = "", pause: float = 0.0) -> Run:
    """Run a builder to its end, or kill it a moment after it has begun a phase."""
    connection = home.connection
    arguments = (connection.api_key or "", connection.grpc_port or 0, stage.corpus, stage.count)
    command = [sys.executable, "-c", BUILDER, home.location, *map(str, (*arguments, stage.fresh))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    done = Run()
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    ) as builder:
        assert builder.stdin is not None and builder.stdout is not None
        for line in builder.stdout:
            word, *ids = line.split()
            if word == "acknowledged":
                done.acknowledged += ids
                continue
            done.phases[word] += 1
            builder.stdin.write("go\n")
            builder.stdin.flush()
            if word == kill or (word == "upsert" and kill == str(done.phases["upsert"])):
                time.sleep(pause)
                builder.send_signal(signal.SIGKILL)
                break
        rest, errors = builder.communicate()
        done.acknowledged += [id for line in rest.splitlines() for id in line.split()[1:]]
        ended = (-signal.SIGKILL, 0) if kill == "finish" else (-signal.SIGKILL if kill else 0,)
        assert builder.returncode in ended, (kill, errors)
    return done


def opened(home: Home) -> PassageIndex:
    return PassageIndex.open(home.location, connection=home.connection)


def content(home: Home) -> dict[str, tuple[Any, bytes]]:
    with opened(home) as index:
        assert verify_index(index) == []
        return {
            point.id: (dict(point.payload), point.vectors["tokens"].tobytes())
            for point in index.points()
        }


def same_candidates(one: Home, other: Home) -> None:
    """Compare the learned vectors of two indexes, which are computed, not copied."""
    with opened(one) as first, opened(other) as second:
        assert first.built.learned is not None and second.built.learned is not None
        for a, b in zip(first.points(), second.points(), strict=True):
            assert a.id == b.id
            one_K, other_K = a.vectors[LEARNED], b.vectors[LEARNED]
            # Four bits a number: one on a border may fall to either side.
            assert one_K @ other_K > 0.98 * np.linalg.norm(one_K) * np.linalg.norm(other_K)


def kill_thirty_times(undisturbed: Home, killed: Home) -> None:
    """Build both, and kill one meanwhile; what they hold must be the same after each stage."""
    chance = random.Random(0)
    kills: Counter[str] = Counter()
    for stage in STAGES:
        run(undisturbed, stage)
        acknowledged: list[str] = []
        for kill in stage.kills:
            done = run(killed, stage, kill, chance.uniform(0.0, 0.02))
            kills["upsert" if kill.isdecimal() else kill] += 1
            acknowledged += done.acknowledged
        acknowledged += run(killed, stage).acknowledged
        assert len(acknowledged) == len(set(acknowledged)), "what is acknowledged is not redone"
        assert content(killed) == content(undisturbed)
        same_candidates(killed, undisturbed)
    assert kills == {
        "begin": 3,
        "open": 3,
        "make_room": 2,
        "upsert": 11,
        "delete": 1,
        "optimise": 3,
        "finish": 3,
        "set_vectors": 4,
    }
    query = np.eye(32, dtype=np.float32)[:5]
    with opened(killed) as one, opened(undisturbed) as other:
        assert one.search(query, 20, mode="exact") == other.search(query, 20, mode="exact")


@pytest.mark.slow
def test_thirty_kills_leave_the_index_of_an_undisturbed_run(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    kill_thirty_times(
        *(Home("embedded", str(p), QdrantConnection()) for p in (undisturbed, killed))
    )
    names, expected = ([p.name for p in place.iterdir()] for place in (killed, undisturbed))
    assert sorted(names) == sorted(expected)


@pytest.mark.slow
def test_thirty_kills_leave_the_collection_of_an_undisturbed_run(stand_in: StandIn) -> None:
    connection = QdrantConnection(grpc_port=stand_in.grpc_port)
    places = (f"{stand_in.url}/undisturbed", f"{stand_in.url}/killed")
    kill_thirty_times(*(Home("wire", place, connection) for place in places))
    assert {name.rpartition("-")[0] for name in stand_in.collections} == {"undisturbed", "killed"}
    assert len(stand_in.collections) == 2, "what kills left behind went with the next use"


@pytest.mark.slow
@pytest.mark.skipif("server" not in BACKENDS, reason="needs KBVQA_TEST_QDRANT_URL")
def test_thirty_kills_leave_a_real_collection_whole() -> None:
    with real_home() as undisturbed, real_home() as killed:
        kill_thirty_times(undisturbed, killed)
