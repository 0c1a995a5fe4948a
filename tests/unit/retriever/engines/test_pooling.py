"""Rows merged into groups: a query's digest, a passage's pooled tokens."""

import numpy as np
import pytest

from retriever.engines.candidates import DIGEST_ROWS, candidate_stages, digest
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
    assert digest(query).shape[0] <= DIGEST_ROWS
    for passage in random_embeddings(20):
        whole = (query @ passage.T).max(1).sum()
        assert (digest(query) @ passage.T).max(1).sum() == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize(("candidates", "means"), [(1, 10), (500, 5_000)])
def test_the_stages(candidates: int, means: int) -> None:
    query = random_embeddings(1)[0]
    stage = candidate_stages(query, candidates)
    assert stage.using == "tokens" and stage.limit == candidates and stage.before is not None
    assert stage.before.using == "mean" and stage.before.limit == means
    np.testing.assert_allclose(stage.before.vector, query.mean(0))


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
