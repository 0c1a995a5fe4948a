"""The corpus in memory gives the scores of maxsim, and the hits of the index."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from retriever.errors import CorpusTooLarge
from retriever.index import exact
from retriever.index.exact import ExactSearcher
from retriever.index.passage_index import PassageFilter, PassageIndex
from retriever.scoring import maxsim, maxsim_equal
from tests.index_cases import (
    DIM,
    build,
    exact_scores,
    ids,
    random_embeddings,
    unit,
)

COUNT = 300
EMBEDDINGS = random_embeddings(COUNT)
QUERIES = [unit(np.random.default_rng(i).normal(size=(i + 3, DIM))) for i in range(9)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageIndex]:
    location = tmp_path_factory.mktemp("index")
    build(location, EMBEDDINGS)
    with PassageIndex.open(location) as opened:
        yield opened


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 5e-3), ("float16", 2e-2), ("int8", 5e-2)]
)
def test_scores_are_those_of_maxsim(
    index: PassageIndex, precision: exact.Precision, tolerance: float
) -> None:
    searcher = ExactSearcher.load(index, precision=precision)
    assert searcher.count == COUNT and searcher.fingerprint == index.fingerprint
    for q_QD, hits in zip(QUERIES, searcher.search_many(QUERIES, COUNT), strict=True):
        found = {hit.passage.id: hit.score for hit in hits}
        expected = exact_scores(q_QD, EMBEDDINGS)
        assert [found[f"p{i:03}"] for i in range(COUNT)] == pytest.approx(expected, abs=tolerance)
        assert [hit.score for hit in hits] == sorted(found.values(), reverse=True)


def test_hits_are_those_of_the_index(index: PassageIndex) -> None:
    searcher = ExactSearcher.load(index)
    expected = index.search_many(QUERIES, 10, mode="exact")
    for hits, wanted in zip(searcher.search_many(QUERIES, 10), expected, strict=True):
        assert ids(hits) == ids(wanted)
        assert [h.score for h in hits] == pytest.approx([h.score for h in wanted], abs=1e-3)
    chosen = PassageFilter(sources=("source1",), languages=("en",), title_prefix="Title 1")
    hits = searcher.search(QUERIES[0], 50, chosen)
    assert ids(hits) == ids(index.search(QUERIES[0], 50, chosen, mode="exact")) and hits
    assert searcher.search(QUERIES[0], 5, PassageFilter(ids=())) == []


def test_neither_tiles_nor_batches_change_scores(
    index: PassageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = ExactSearcher.load(index)
    whole = searcher.search_many(QUERIES, 20)
    monkeypatch.setattr(exact, "_TILE", 64)
    monkeypatch.setattr(exact, "_COLUMNS", 12)
    assert [ids(hits) for hits in searcher.search_many(QUERIES, 20)] == [ids(h) for h in whole]


def test_equal_scores_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    same, best = unit([[1, 1]]), unit([[1, 0]])
    build(tmp_path, [same] * 20 + [best] + [same.repeat(2, axis=0)] * 20)
    with PassageIndex.open(tmp_path) as index:
        searcher = ExactSearcher.load(index)
    expected = ["p020"] + [f"p{i:03}" for i in range(41) if i != 20]
    for top_k in (1, 2, 30, 99):
        assert ids(searcher.search(best, top_k)) == expected[:top_k]


def test_zero_query_rows_are_dropped_and_wrong_ones_refused(index: PassageIndex) -> None:
    searcher = ExactSearcher.load(index)
    padded = np.concatenate([np.zeros((2, DIM), np.float32), QUERIES[0]])
    assert searcher.search(padded, 5) == searcher.search(QUERIES[0], 5)
    with pytest.raises(ValueError, match="the query: row 0 has norm 2"):
        searcher.search(2 * QUERIES[0], 5)
    with pytest.raises(ValueError, match="got 0"):
        searcher.search(QUERIES[0], 0)


def test_a_corpus_that_does_not_fit_is_refused(
    index: PassageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "meminfo"
    available = exact._SPARE_BYTES // 1024 + 10  # kB
    memory.write_text(f"MemFree: 99999999 kB\nMemAvailable: {available} kB\nCached: 99999999 kB\n")
    monkeypatch.setattr(exact, "_MEMORY", memory)
    with pytest.raises(CorpusTooLarge, match=r"10,240 are free on cpu: .*int8"):
        ExactSearcher.load(index)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_the_fused_path_gives_the_same_scores(backend: str) -> None:
    """The graph that a GPU runs compiled, traced here and run on the CPU."""
    fused = torch.compile(maxsim_equal, dynamic=True, backend=backend)
    for passages, length, queries in ((5, 7, 2), (3, 11, 1)):
        p_NPD = torch.nn.functional.normalize(torch.randn(passages, length, DIM), dim=-1)
        q_BQD = torch.nn.functional.normalize(torch.randn(queries, 6, DIM), dim=-1)
        q_CD = q_BQD.reshape(-1, DIM)
        expected = maxsim(q_BQD, p_NPD, torch.ones(passages, length, dtype=torch.bool)).T
        torch.testing.assert_close(maxsim_equal(p_NPD, q_CD, 6), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(fused(p_NPD, q_CD, 6), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler of torch.compile is missing")
def test_the_compiled_kernel_gives_the_same_scores() -> None:
    compiled = torch.compile(maxsim_equal, dynamic=True)
    p_NPD, q_CD = torch.randn(5, 7, DIM), torch.randn(12, DIM)
    torch.testing.assert_close(compiled(p_NPD, q_CD, 6), maxsim_equal(p_NPD, q_CD, 6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_hits(index: PassageIndex) -> None:
    on_gpu, on_cpu = ExactSearcher.load(index, "cuda", "float32"), ExactSearcher.load(index)
    for ours, theirs in zip(
        on_gpu.search_many(QUERIES, 10), on_cpu.search_many(QUERIES, 10), strict=True
    ):
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-2)
