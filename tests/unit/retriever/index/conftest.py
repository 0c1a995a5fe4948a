"""What tests of indexes that learn have in common."""

import numpy as np
import pytest

from tests.index_cases import DIM, Rows, unit
from tests.learning_cases import COUNT, rows_near


@pytest.fixture(scope="module")
def anchors() -> Rows:
    return unit(np.random.default_rng(0).normal(size=(60, DIM)))


@pytest.fixture(scope="module")
def embeddings(anchors: Rows) -> list[Rows]:
    """Return passages of a few subjects each, which their means blur."""
    rng = np.random.default_rng(1)
    return [
        rows_near(anchors[rng.choice(len(anchors), 4, replace=False)], seed, 12)
        for seed in range(COUNT)
    ]


@pytest.fixture(scope="module")
def queries(anchors: Rows) -> list[Rows]:
    rng = np.random.default_rng(2)
    return [
        rows_near(anchors[rng.choice(len(anchors), 3, replace=False)], 10_000 + i, 9)
        for i in range(90)
    ]
