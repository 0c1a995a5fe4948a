"""Retrieval metrics: the numbers of the released evaluator, and cases worked by hand."""

import doctest
import json
import math
from pathlib import Path
from typing import Any

import pytest

from retriever import metrics
from retriever.metrics import mean_and_stderr, pseudo_recall_at_k, recall_at_k

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "retrieval_metrics.json").read_text()
)


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(metrics) == (0, 3)


@pytest.mark.parametrize("k", GOLDEN["Ks"])
def test_recall_as_released(k: int) -> None:
    values = [recall_at_k(q["ranking"], q["pos_item_ids"], k) for q in GOLDEN["queries"]]

    assert values == GOLDEN["per_query"][f"Recall@{k}"]
    assert mean_and_stderr(values)[0] == GOLDEN["mean"][f"Recall@{k}"]


@pytest.mark.parametrize("k", GOLDEN["Ks"])
def test_pseudo_recall_as_released(k: int) -> None:
    text = dict(zip(GOLDEN["passage_ids"], GOLDEN["passages"], strict=True))
    values = [
        pseudo_recall_at_k([text[id] for id in q["ranking"]], q["answers"], k)
        for q in GOLDEN["queries"]
    ]

    assert values == GOLDEN["per_query"][f"Pseudo Recall@{k}"]
    assert mean_and_stderr(values)[0] == GOLDEN["mean"][f"Pseudo Recall@{k}"]


def test_recall_looks_at_the_first_k_only() -> None:
    assert recall_at_k(["a", "b", "c"], ["c"], 2) == 0.0
    assert recall_at_k(["a", "b", "c"], ["c", "z"], 3) == 1.0
    assert recall_at_k(["a"], ["a"], 100) == 1.0


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (["PARIS"], 1.0),
        ([" paris\n"], 1.0),
        (["ari"], 1.0),
        (["London", "Paris"], 1.0),
        (["London"], 0.0),
        ([""], 1.0),
        (["  "], 1.0),
        ([], 0.0),
    ],
)
def test_pseudo_recall_matches_substrings(answers: list[str], found: float) -> None:
    assert pseudo_recall_at_k(["The capital is Paris."], answers, 1) == found


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        recall_at_k(["a"], ["a"], 0)
    with pytest.raises(ValueError, match="got -1"):
        pseudo_recall_at_k(["a"], ["a"], -1)


def test_mean_and_standard_error() -> None:
    # Mean 2, squared deviations 1 + 1 + 0, variance 2 / 2 = 1, error 1 / sqrt(3).
    assert mean_and_stderr([1.0, 3.0, 2.0]) == pytest.approx((2.0, 1 / math.sqrt(3)))
    assert mean_and_stderr([0.25]) == (0.25, 0.0)
    with pytest.raises(ValueError, match="nothing was scored"):
        mean_and_stderr([])
