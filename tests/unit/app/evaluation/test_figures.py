"""Means, standard errors and intervals of counted values, and what costs come to."""

import random
from collections import Counter

import numpy as np
import pytest

from app.evaluation.figures import CostTally, Tally, interval, mean_of, spread_of
from app.evaluation.record import AnswerRow, RetrievalRow, ScoreRow, Spread
from retriever.metrics import mean_and_stderr


def test_counted_values_have_the_mean_and_error_of_the_values() -> None:
    draw = random.Random(1)
    values = [draw.choice((0.0, 0.3, 0.6, 0.9, 1.0)) for _ in range(237)]
    assert mean_of(Counter(values)) == pytest.approx(mean_and_stderr(values))
    assert mean_of(Counter([0.25])) == (0.25, 0.0)


def test_the_interval_is_that_of_resampling_the_values() -> None:
    draw = random.Random(2)
    values = [draw.choice((0.0, 0.0, 0.3, 1.0)) for _ in range(150)]
    low, high = interval(Counter(values), "accuracy", 0)
    rng = np.random.default_rng(5)
    means = np.array(values)[rng.integers(0, 150, (4000, 150))].mean(axis=1)
    assert (low, high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.012)
    shuffled = Counter(sorted(values))
    assert interval(shuffled, "accuracy", 0) == (low, high), "the order of rows does not matter"
    assert interval(shuffled, "accuracy", 1) != (low, high)
    assert interval(Counter([1.0, 1.0]), "x", 0) == (1.0, 1.0)


def test_what_failed_counts_as_wrong_and_what_is_withheld_is_scored_both_ways() -> None:
    tally = Tally({name: {"split": name} for name in "abcd"}, "em")
    tally.add(ScoreRow("a", "retrieved", "", {"em": 1.0, "recall@1": 1.0}, "right"))
    tally.add(ScoreRow("b", "retrieved", "", {"em": 1.0, "recall@1": 0.0}, "right", "withheld"))
    failed = ScoreRow("c", "retrieved", "", {"em": 0.0, "recall@1": 1.0}, "not answered", "failed")
    tally.add(failed)
    tally.add(ScoreRow("d", "retrieved", "", {}, "not scored", "given", True, "Unscorable: no"))
    found = {(f.metric, f.group): f for f in tally.figures(0)}
    assert (found["em", ""].value, found["em", ""].n) == (0.6667, 3)
    assert (found["em", ""].answered, found["em", ""].answered_n) == (1.0, 2)
    assert found["em_shown", ""].value == 0.3333
    assert found["recall@1", ""].answered_n == 3  # the generator's failure cost no hits
    assert ("recall@1_shown", "") not in found
    assert found["em", "split=b"].n == 1 and ("em", "split=d") not in found
    outcome = tally.outcomes({"retrieved": 1})["retrieved"]
    assert outcome.statuses == {"failed": 1, "given": 2, "withheld": 1}
    assert outcome.fates == {"right": 2, "not answered": 1, "not scored": 1}
    assert outcome.fates_of["split=b"] == {"right": 1} and len(outcome.fates_of) == 4
    assert outcome.failures["Unscorable"] == 1 and outcome.empty == 1
    assert outcome.right_of == {"failed": 0.0, "given": 1.0, "withheld": 1.0}


def test_costs_are_of_what_was_done() -> None:
    tally = CostTally()
    for n in range(1, 101):
        tally.add_found(RetrievalRow(str(n), "", encode_ms=n, search_ms=1.0))
        row = AnswerRow(str(n), "none", "", seconds=n / 1000, prompt_tokens=5, completion_tokens=2)
        tally.add_said(row)
    tally.add_found(RetrievalRow("bad", "", failure="InvalidImage: x"))
    tally.add_said(AnswerRow("bad", "none", "", status="failed", seconds=99.0))
    costs = tally.costs()
    assert (costs["none"].prompt_tokens, costs["none"].completion_tokens) == (500, 200)
    assert costs["none"].latency_ms["answer"] == Spread(100, 50.5, 50.5, 90.1, 99.01)
    assert costs["retrieved"].latency_ms["encode"].n == 100
    assert spread_of([3.0]) == Spread(1, 3.0, 3.0, 3.0, 3.0)
