"""Rows merged into groups: a query's digest, a passage's pooled tokens."""

import numpy as np
import pytest

from retriever.engines.candidates import candidate_stages
from retriever.engines.interface import Stage
from retriever.engines.pooling import cluster_sums, pool_tokens
from tests.index_cases import DIM, Rows, random_embeddings, unit


def groups_of(directions: int, copies: int) -> Rows:
    """Return rows close to so many orthogonal directions, shuffled."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(DIM)[:directions], copies, axis=0)
    rows = rows + 0.01 * rng.standard_normal(rows.shape)
    return unit(rows[rng.permutation(len(rows))])


def test_similar_rows_are_summed() -> None:
    rows = groups_of(4, 5)
    sums = cluster_sums(rows, 4)
    assert sums.shape == (4, DIM)
    np.testing.assert_allclose(sums.sum(0), rows.sum(0), atol=1e-4)
    np.testing.assert_allclose(np.sort(np.linalg.norm(sums, axis=1)), [5] * 4, atol=0.01)
    np.testing.assert_array_equal(sums, cluster_sums(rows, 4), "the same every time")


def test_few_rows_stay_as_they_are() -> None:
    rows = groups_of(2, 1)
    assert cluster_sums(rows, 2) is rows and cluster_sums(rows, 8) is rows


def test_opposite_rows_that_cancel_leave_no_row() -> None:
    rows = unit([[1, 0], [-1, 0], [0, 1], [0, 1]])
    sums = cluster_sums(rows, 1)
    assert (np.linalg.norm(sums, axis=1) > 0.5).all()
    assert len(cluster_sums(rows[:2], 1)) in (0, 1)


def test_a_digest_scores_as_the_query_where_rows_repeat() -> None:
    query = np.repeat(unit(np.eye(DIM)[:6]), 7, axis=0)
    digest = candidate_stages(query, 50, 5).vector
    assert len(digest) <= 8
    for passage in random_embeddings(20):
        whole = (query @ passage.T).max(1).sum()
        assert (digest @ passage.T).max(1).sum() == pytest.approx(whole, abs=1e-3)


def steps(stage: Stage | None) -> list[tuple[str, int, int]]:
    """Return what each step compares, with how many rows, and how many it leaves."""
    found = []
    while stage is not None:
        rows = 1 if stage.vector.ndim == 1 else len(stage.vector)
        found.append((stage.using, rows, stage.limit))
        stage = stage.before
    return found[::-1]


@pytest.mark.parametrize(
    ("rows", "candidates", "top_k", "expected"),
    [
        (56, 1, 1, [("mean", 1, 10), ("tokens", 8, 1)]),
        (56, 99, 5, [("mean", 1, 990), ("tokens", 8, 99)]),
        (56, 400, 5, [("mean", 1, 4_000), ("tokens", 3, 400), ("tokens", 14, 50)]),
        (56, 400, 60, [("mean", 1, 4_000), ("tokens", 3, 400), ("tokens", 14, 120)]),
        (56, 239, 60, [("mean", 1, 2_390), ("tokens", 8, 239)]),
        (64, 200, 5, [("mean", 1, 2_000), ("tokens", 4, 200), ("tokens", 16, 50)]),
        # The digest of a long query orders passages less surely: more are left.
        (65, 200, 5, [("mean", 1, 2_000), ("tokens", 4, 200), ("tokens", 16, 100)]),
        (320, 200, 5, [("mean", 1, 2_000), ("tokens", 8, 200), ("tokens", 80, 100)]),
        (3, 200, 5, [("mean", 1, 2_000), ("tokens", 3, 200), ("tokens", 3, 50)]),
    ],
)
def test_the_steps_of_a_search(
    rows: int, candidates: int, top_k: int, expected: list[tuple[str, int, int]]
) -> None:
    query = unit(np.random.default_rng(0).standard_normal((rows, DIM)))
    stage = candidate_stages(query, candidates, top_k)
    assert steps(stage) == expected
    while stage.before is not None:
        stage = stage.before
    np.testing.assert_allclose(stage.vector, query.mean(0))


def test_the_quantized_copy_serves_the_widest_digest_alone() -> None:
    query = unit(np.random.default_rng(0).standard_normal((56, DIM)))
    last = candidate_stages(query, 400, 5, quantized=True)
    assert last.before is not None and last.before.before is not None
    assert [last.quantized, last.before.quantized] == [False, True]
    assert candidate_stages(query, 50, 5, quantized=True).quantized


@pytest.mark.parametrize(("factor", "expected"), [(1, 20), (2, 10), (3, 7), (5, 4), (50, 1)])
def test_pooling_leaves_one_row_for_so_many(factor: int, expected: int) -> None:
    rows = groups_of(4, 5)
    pooled = pool_tokens(rows, factor)
    assert len(pooled) == expected
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-5)


def test_pooling_keeps_distinct_tokens_apart() -> None:
    pooled = pool_tokens(groups_of(4, 5), 5)
    np.testing.assert_allclose(np.sort(pooled.argmax(1)), range(4))
    np.testing.assert_allclose(pooled.max(1), 1, atol=1e-2)


def test_pooling_nothing_and_wrongly() -> None:
    empty = np.zeros((0, DIM), np.float32)
    assert pool_tokens(empty, 3) is empty
    with pytest.raises(ValueError, match="got 0"):
        pool_tokens(empty, 0)
