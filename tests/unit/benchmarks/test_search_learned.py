"""What the benchmark of the learned stage builds, and what it holds searches against."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import learned
from benchmarks.search.data import noisy, passages
from benchmarks.search.engines import encode, named
from retriever.engines import candidates as stages
from retriever.index.passage_index import Fingerprint, PassageIndex
from retriever.index.writing import write_corpus


def test_the_best_passages_are_those_of_all_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "_AT_ONCE", 7)
    lengths = np.random.default_rng(0).integers(1, 9, size=40)
    rows = noisy(np.zeros((lengths.sum(), 16), np.float32), seed=1, cosine=0.5)
    kept = rows.astype(np.float16)
    ids = np.array([f"p{i}" for i in range(40)])
    np.savez(tmp_path / "passages-000000.npz", ids=ids, rows=kept, lengths=lengths)
    asked = [noisy(np.zeros((n, 16), np.float32), seed=n, cosine=0.5) for n in (3, 8)]
    passages = np.split(kept.astype(np.float32), np.cumsum(lengths)[:-1])
    expected = []
    for q_QD in asked:
        scores = [(q_QD @ p_PD.T).max(axis=1).sum() for p_PD in passages]
        expected.append([f"p{i}#0" for i in np.argsort(scores)[::-1][:10]])
    assert learned.best_passages(tmp_path, 40, asked) == expected


def test_a_build_that_was_stopped_goes_on_to_another_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "LEARNED_FROM", stages.LEARNED_FROM)
    monkeypatch.setattr(learned, "DIM", 16)
    rows = noisy(np.zeros((5 * 40, 16), np.float32), seed=1, cosine=0.5)
    ids, lengths = np.array([f"p{i}" for i in range(40)]), np.full(40, 5)
    np.savez(tmp_path / "passages-000000.npz", ids=ids, rows=rows, lengths=lengths)
    np.savez(tmp_path / "fit.npz", rows=rows, lengths=lengths)
    location = tmp_path / "index"
    made_from = Fingerprint("bench", "c", "bench", "d", passages=90, dim=16)
    with PassageIndex.create(location, made_from) as index:
        write_corpus(index, named(passages(tmp_path, 50)), encode)

    assert learned.build(tmp_path, 60, location).keys() == {"write", "finish"}
    assert learned.build(tmp_path, 60, location) == {}
    with PassageIndex.open(location) as index:
        assert index.count == 60
        assert index.built.learned is not None
