"""Index, generator and server are killed, stopped, slowed, cut and soiled while people ask.

No wrong answer is passed off as right, every question ends in time with an answer or an honest
error, there is service again seconds after the part is back, and no passage is lost or doubled.
KBVQA_TEST_MOMENTS is how often they are struck, KBVQA_TEST_SEED where and when.
"""

import os
import random
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest

from corpus.files.passages import read_passages, write_passages
from retriever.engines.connection import QdrantConnection
from retriever.index.passage_index import PassageIndex
from tests.chaos.asked import Asked, Questions, users
from tests.chaos.conftest import PASSAGES, SEED, started
from tests.chaos.service import FAULTS, Builder, Service, until
from tests.e2e.conftest import small_corpus

MOMENTS = int(os.environ.get("KBVQA_TEST_MOMENTS", "100"))
PARTS = ("index", "generator", "web")
# One of each kind, those that once did harm among them.
FEW = (
    ("index", "lose"),
    ("index", "soil"),
    ("generator", "soil"),
    ("index", "kill"),
    ("generator", "stop"),
    ("web", "cut"),
)


def survive(service: Service, questions: Questions, moments: list[tuple[str, str]]) -> None:
    """Strike at each moment for a random while, under load, and judge what came of it."""
    print(f"KBVQA_TEST_SEED={SEED}")
    chance, back = random.Random(SEED), defaultdict(list)
    with users(questions, service.url, 3, SEED) as asked:
        for part, fault in moments:
            _answers_flow(asked)
            seconds = chance.uniform(0.3, 3.0)
            back[part, fault].append(service.strike(part, fault, seconds, questions))
            assert not asked.wrong, f"{part}, {fault} for {seconds:.1f} s: {asked.wrong[0]}"
    for (part, fault), waits in sorted(back.items()):
        print(f"{part}, {fault}: {len(waits)}, service after {max(waits):.1f} s at most")
    print(dict(asked.outcomes), f"the slowest {asked.slowest:.1f} s")
    assert not asked.wrong, asked.wrong
    assert not (errors := asked.unexplained(service.away)), errors
    assert "Traceback" not in (log := service.log.read_text(encoding="utf-8")), log


def _answers_flow(asked: Asked) -> None:
    enough = asked.outcomes["answered"] + 2
    until(lambda: asked.outcomes["answered"] >= enough, 60, "no answers between two moments")


def test_a_few_moments(home: Path, tmp_path: Path) -> None:
    with started(home, tmp_path, questions=2) as (service, questions):
        survive(service, questions, list(FEW))


@pytest.mark.chaos
def test_many_moments(home: Path, tmp_path: Path) -> None:
    kinds = list(product(PARTS, FAULTS))
    moments = [kinds[number % len(kinds)] for number in range(MOMENTS)]
    random.Random(SEED).shuffle(moments)
    corpora = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    write_passages(corpora[0], small_corpus(PASSAGES))
    write_passages(corpora[1], small_corpus(PASSAGES + 30)[10:])
    with started(home, tmp_path, questions=5) as (service, questions):
        builder = Builder(service, corpora, tmp_path / "build.log")
        try:
            survive(service, questions, moments)
        finally:
            builder.stop()
        assert builder.finished, "it was never left alone long enough"
        connection = QdrantConnection(grpc_port=service.index.links[1].port)
        for name in ("asked", "built"):
            with PassageIndex.open(service.location(name), connection=connection) as index:
                held = sorted(passage.id for passage, _ in index.scroll())
            assert held == sorted(passage.id for passage in read_passages(corpora[0])), name
