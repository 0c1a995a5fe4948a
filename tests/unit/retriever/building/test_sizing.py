"""The plan's arithmetic, and that it agrees with an index that is built."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from corpus.types import Passage
from retriever.building.sizing import plan_index
from retriever.engines.record import Learned
from retriever.index.passage_index import Fingerprint, PassageIndex, Storage

COUNT, ROWS, DIM = 2_000, 48, 128


@pytest.mark.parametrize(
    "storage",
    [Storage(), Storage("float32"), Storage("turbo4"), Storage("float16", "scalar")],
    ids=str,
)
def test_the_plan_agrees_with_a_built_index(storage: Storage) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((COUNT, ROWS, DIM), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    passages = [Passage(f"p{i}", f"Title {i}", "x" * 600, source="s") for i in range(COUNT)]
    made_from = Fingerprint("tiny", "c0", "zoo", "d0", passages=COUNT, dim=DIM)
    measured = {"tokens": 0, "everything": 0}
    with TemporaryDirectory() as folder:  # on a disk: in memory, files have no holes
        with PassageIndex.create(folder, made_from, storage) as index:
            index.upsert(passages, list(rows))
            index.finish()
        for path in (Path(folder) / "shard").rglob("*"):
            if path.is_file() and "wal" not in path.parts:
                size = path.stat().st_blocks * 512
                measured["everything"] += size
                quantized = "quantized" in path.name
                measured["tokens"] += size if "tokens" in str(path) and not quantized else 0

    plan = plan_index(COUNT, ROWS, dim=DIM, storage=storage, payload_bytes=900)
    log = plan.disk - sum(
        (plan.tokens, plan.quantized, plan.means, plan.learned, plan.ids, plan.payload)
    )
    assert 0.8 < plan.tokens / measured["tokens"] < 1.25
    # Page files are cut in large pieces, which shows in an index this small.
    assert 0.6 < (plan.disk - log) / measured["everything"] < 1.25


def test_sizes_grow_with_the_index() -> None:
    small, large = plan_index(100_000, 120), plan_index(10_000_000, 120, replicas=2)
    assert small.tokens == 100_000 * 120 * 128 * 2
    assert small.nodes == 1 and small.shards == 1
    assert small.disk_peak == 2 * small.disk
    assert large.tokens == 200 * small.tokens
    assert large.nodes >= 3 and large.shards == 2 * large.nodes
    assert small.tokens_memory == "cached"
    assert large.tokens_memory == "cold"
    assert plan_index(100_000, 120, node_memory=2**30).tokens_memory == "cold"
    billion = plan_index(1_000_000_000, 120, replicas=2)
    assert billion.memory > 1_000_000_000 * 2 * 128 * 4
    # A large index has learned vectors, of 512 numbers at four bits and a scale for some of them.
    assert small.learned == int(100_000 * 512 * 0.56) and plan_index(15_000, 120).learned == 0


@pytest.mark.parametrize(
    ("passages", "candidates"),
    [(15_000, 400), (20_000, 200), (100_000, 200), (100_001, 400), (10**6, 400), (10**7, 400)],
)
def test_candidates_without_an_index_are_those_measured_at_such_a_size(
    passages: int, candidates: int
) -> None:
    assert plan_index(passages, 120).candidates == candidates
    learned = Learned("", 1, 0.2, "", passages, 23, False, ((6_500, 0.99),), 0.99, 650)
    with_index = plan_index(passages, 120, measured=learned).candidates
    assert with_index == (650 if passages >= 20_000 else 400)


@pytest.mark.parametrize("passages", [10_000, 7_500_000, 40_000_000, 10**9])
@pytest.mark.parametrize("disk", [10 * 2**30, 100 * 2**30, 2 * 2**40])
def test_the_disks_hold_what_is_needed_at_worst(passages: int, disk: int) -> None:
    plan = plan_index(passages, 120, node_disk=disk, node_memory=2**40)
    assert plan.disk_peak <= 0.75 * disk * plan.nodes
    fewer = plan.nodes - 1
    assert plan.disk * (2 if fewer == 1 else 1.1) > 0.75 * disk * fewer, "one less is too few"


@pytest.mark.parametrize("wrong", [{"passages": 0}, {"tokens_per_passage": -1}, {"replicas": 0}])
def test_a_plan_of_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        plan_index(**({"passages": 1, "tokens_per_passage": 1.0} | wrong))  # type: ignore[arg-type]
