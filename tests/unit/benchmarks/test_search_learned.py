"""What the benchmark of the learned stage holds searches against."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import learned
from benchmarks.search.data import noisy


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
