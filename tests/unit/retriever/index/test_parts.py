"""A corpus in parts gives the hits of the corpus in memory, and holds no more than it may."""

import threading
import weakref
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from retriever.errors import CorpusTooLarge
from retriever.index import exact, parts
from retriever.index.exact import ExactSearcher
from retriever.index.ordered import Precision, row_bytes
from retriever.index.parts import ExactParts
from retriever.index.passage_index import PassageFilter, PassageIndex
from tests.index_cases import DIM, build, ids, random_embeddings, unit

COUNT = 300
EMBEDDINGS = random_embeddings(COUNT)
ROWS = sum(map(len, EMBEDDINGS))
QUERIES = [unit(np.random.default_rng(i).normal(size=(i + 3, DIM))) for i in range(9)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageIndex]:
    location = tmp_path_factory.mktemp("index")
    build(location, EMBEDDINGS)
    with PassageIndex.open(location) as opened:
        yield opened


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu", "cpu"]])
@pytest.mark.parametrize("share", [None, 0.3, 2])
def test_hits_are_those_of_the_corpus_in_memory(
    index: PassageIndex, precision: Precision, devices: list[str], share: float | None
) -> None:
    whole = ExactSearcher.load(index, precision=precision)
    resident = None if share is None else int(share * ROWS * row_bytes(DIM, precision))
    searcher = ExactParts.load(index, devices, precision, resident_bytes=resident)
    assert searcher.count == COUNT and searcher.fingerprint == index.fingerprint
    for chosen in (None, PassageFilter(sources=("source1",))):
        found = searcher.search_many(QUERIES, 20, chosen)
        for hits, wanted in zip(found, whole.search_many(QUERIES, 20, chosen), strict=True):
            assert [h.score for h in hits] == pytest.approx([h.score for h in wanted], abs=1e-4)
            assert ids(hits) == ids(wanted)
    assert searcher.search(QUERIES[0], COUNT + 5) == searcher.search_many(QUERIES[:1], COUNT)[0]


def test_equal_scores_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    same, best = unit([[1, 1]]), unit([[1, 0]])
    build(tmp_path, [same] * 20 + [best] + [same.repeat(2, axis=0)] * 20)
    with PassageIndex.open(tmp_path) as index:
        searcher = ExactParts.load(index, resident_bytes=7 * row_bytes(DIM, "float32"))
    expected = ["p020"] + [f"p{i:03}" for i in range(41) if i != 20]
    for top_k in (1, 2, 30, 99):
        assert ids(searcher.search(best, top_k)) == expected[:top_k]


def test_what_cannot_be_is_refused(
    index: PassageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="no devices"):
        ExactParts.load(index, [])
    with pytest.raises(
        ValueError, match="room for 1 rows on each of 1 devices, and the longest passage has 8"
    ):
        ExactParts.load(index, resident_bytes=100)
    with pytest.raises(ValueError, match="the query: row 0 has norm 2"):
        ExactParts.load(index, resident_bytes=ROWS * DIM).search(2 * QUERIES[0], 5)
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(parts.shutil, "disk_usage", lambda at: usage(1_000))
        with pytest.raises(CorpusTooLarge, match=f"1,000 are free in {tmp_path}: name another"):
            ExactParts.load(index, resident_bytes=ROWS * DIM, folder=tmp_path)
    only(0, tmp_path, monkeypatch)
    with pytest.raises(CorpusTooLarge, match="are free on cpu"):
        ExactParts.load(index, resident_bytes=2 * ROWS * DIM * 4)
    with pytest.raises(CorpusTooLarge, match="too little memory is free: there is room for 0 rows"):
        ExactParts.load(index)


def only(kilobytes: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave so much memory for rows."""
    memory = folder / "meminfo"
    memory.write_text(f"MemAvailable:  {exact._SPARE_BYTES // 1024 + kilobytes} kB\n")
    monkeypatch.setattr(exact, "_MEMORY", memory)


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]])
def test_without_a_bound_the_free_memory_decides(
    index: PassageIndex, devices: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped, parts_read = parts._mapped, []

    def counted(*place: object) -> Tensor:
        rows = mapped(*place)  # type: ignore[arg-type]
        parts_read.append(rows.nbytes)
        return rows

    monkeypatch.setattr(parts, "_mapped", counted)
    whole = ExactSearcher.load(index).search_many(QUERIES, 5)
    total = ROWS * row_bytes(DIM, "float32")
    only(3 * total // 1024, tmp_path, monkeypatch)
    in_memory = ExactParts.load(index, devices, folder=tmp_path / "rows")
    assert list(map(ids, in_memory.search_many(QUERIES, 5))) == list(map(ids, whole))
    assert not parts_read
    only(total // 2048, tmp_path, monkeypatch)
    from_disk = ExactParts.load(index, devices, folder=tmp_path / "rows")
    assert list(map(ids, from_disk.search_many(QUERIES, 5))) == list(map(ids, whole))
    # Each device reads half of its share of the half that is free.
    assert sum(parts_read) == total and max(parts_read) <= total / 4 / len(devices)


def test_the_file_has_no_name_and_goes(index: PassageIndex, tmp_path: Path) -> None:
    there = tmp_path / "made" / "for it"
    searcher = ExactParts.load(index, resident_bytes=ROWS * DIM, folder=there)
    assert searcher.search(QUERIES[0], 5) and not list(there.iterdir())


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]])
def test_no_more_is_in_memory_than_may_be(
    index: PassageIndex, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped, lock = parts._mapped, threading.Lock()
    now = most = 0

    def let_go(size: int) -> None:
        nonlocal now
        with lock:
            now -= size

    def counted(*place: object) -> Tensor:
        nonlocal now, most
        rows = mapped(*place)  # type: ignore[arg-type]
        with lock:
            now += rows.nbytes
            most = max(most, now)
        weakref.finalize(rows, let_go, rows.nbytes)
        return rows

    monkeypatch.setattr(parts, "_mapped", counted)
    resident = ROWS * DIM  # a quarter
    searcher = ExactParts.load(index, devices, "float32", resident_bytes=resident)
    searcher.search_many(QUERIES, 5)
    # Each device has more than half of its share at once; two need not meet.
    assert resident / 2 / len(devices) < most <= resident and now == 0
