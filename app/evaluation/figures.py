"""Scores to figures: means, standard errors, bootstrap intervals, and what became of examples.

Values are counted, not kept, so that the memory does not grow with the number of examples.
"""

import math
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from app.evaluation.record import (
    AnswerRow,
    Condition,
    Cost,
    Figure,
    Outcomes,
    RetrievalRow,
    ScoreRow,
    Spread,
)

RESAMPLES = 2_000
SHOWN = "_shown"
_OF_RETRIEVAL = ("recall@", "pseudo_recall@")

_Where = tuple[str, Condition, str]  # metric, condition, group


def of_retrieval(metric: str) -> bool:
    """Return whether a metric is one of retrieval, not of answers."""
    return metric.startswith(_OF_RETRIEVAL)


def with_shown(row: ScoreRow) -> dict[str, float]:
    """Return an example's scores, behind each one of answers what it is as users are shown it."""
    named = {}
    for metric, value in row.scores.items():
        named[metric] = value
        if not of_retrieval(metric):
            named[f"{metric}{SHOWN}"] = 0.0 if row.status == "withheld" else value
    return named


class Tally:
    """Takes scores, and gives figures.

    Args:
        groups: of each example that has some, by id: {"question_type": "templated"}.
        judged_by: the main answer score.
    """

    def __init__(self, groups: Mapping[str, Mapping[str, str]], judged_by: str) -> None:
        self._groups, self._judged_by = groups, judged_by
        self._all: dict[_Where, Counter[float]] = defaultdict(Counter)
        self._answered: dict[_Where, Counter[float]] = defaultdict(Counter)
        self._statuses: dict[Condition, Counter[str]] = defaultdict(Counter)
        self._fates: dict[Condition, dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        self._failures: dict[Condition, Counter[str]] = defaultdict(Counter)
        self._first: dict[Condition, dict[str, str]] = defaultdict(dict)
        self._of_status: dict[tuple[Condition, str], Counter[float]] = defaultdict(Counter)

    def add(self, row: ScoreRow) -> None:
        """Take the scores of an example under a condition."""
        condition = row.condition
        self._statuses[condition][row.status] += 1
        if row.status == "failed" or row.fate == "not scored":
            kind, _, said = row.reason.partition(": ")
            reason = kind or "no answers to compare with"
            self._failures[condition][reason] += 1
            self._first[condition].setdefault(reason, f"{row.id}: {said}" if said else row.id)
        groups = [f"{name}={value}" for name, value in self._groups.get(row.id, {}).items()]
        for group in ("", *groups):
            self._fates[condition][group][row.fate] += 1
        for metric, value in with_shown(row).items():
            answered = row.searched if of_retrieval(metric) else row.status != "failed"
            for group in ("", *groups):
                self._all[metric, condition, group][value] += 1
                if answered:
                    self._answered[metric, condition, group][value] += 1
        if self._judged_by in row.scores:
            self._of_status[condition, row.status][row.scores[self._judged_by]] += 1

    def figures(self, seed: int) -> tuple[Figure, ...]:
        """Return the means; "_shown" only where an answer was withheld."""
        found = []
        for (metric, condition, group), values in self._all.items():
            if metric.endswith(SHOWN) and not self._statuses[condition]["withheld"]:
                continue
            answered = self._answered.get((metric, condition, group))
            low, high = interval(values, f"{metric} {condition} {group}", seed)
            mean, stderr = mean_of(values)
            found.append(
                Figure(
                    metric=metric,
                    condition=condition,
                    group=group,
                    value=round(mean, 4),
                    n=values.total(),
                    stderr=round(stderr, 4),
                    low=round(low, 4),
                    high=round(high, 4),
                    answered=round(mean_of(answered)[0], 4) if answered else None,
                    answered_n=answered.total() if answered else 0,
                )
            )
        return tuple(found)

    def outcomes(self, empty: Mapping[Condition, int]) -> dict[str, Outcomes]:
        """Return what became of the examples, by condition."""
        return {
            condition: Outcomes(
                n=statuses.total(),
                statuses=dict(sorted(statuses.items())),
                empty=empty.get(condition, 0),
                failures=dict(self._failures[condition].most_common()),
                first_failures=dict(self._first[condition]),
                fates=dict(self._fates[condition][""].most_common()),
                fates_of={
                    group: dict(fates.most_common())
                    for group, fates in sorted(self._fates[condition].items())
                    if group
                },
                right_of={
                    status: round(mean_of(values)[0], 4)
                    for (of, status), values in sorted(self._of_status.items())
                    if of == condition
                },
            )
            for condition, statuses in self._statuses.items()
        }


class CostTally:
    """Takes rows, and gives what they took."""

    def __init__(self) -> None:
        self._tokens: dict[Condition, list[int]] = defaultdict(lambda: [0, 0])
        self._ms: dict[Condition, dict[str, array[float]]] = defaultdict(
            lambda: defaultdict(lambda: array("d"))
        )

    def add_found(self, row: RetrievalRow) -> None:
        """Take what was found for an example."""
        if not row.failure:
            self._ms["retrieved"]["encode"].append(row.encode_ms)
            self._ms["retrieved"]["search"].append(row.search_ms)

    def add_said(self, row: AnswerRow) -> None:
        """Take an answer."""
        tokens = self._tokens[row.condition]
        tokens[0] += row.prompt_tokens
        tokens[1] += row.completion_tokens
        if row.status != "failed":
            self._ms[row.condition]["answer"].append(1000 * row.seconds)

    def costs(self) -> dict[str, Cost]:
        """Return the costs by condition."""
        return {
            condition: Cost(
                self._tokens[condition][0],
                self._tokens[condition][1],
                {step: spread_of(values) for step, values in self._ms[condition].items()},
            )
            for condition in dict.fromkeys([*self._ms, *self._tokens])
        }


def mean_of(values: Counter[float]) -> tuple[float, float]:
    """Return the mean of counted values and its standard error (sample deviation / sqrt(n)).

    >>> mean_of(Counter({1.0: 2, 0.0: 2}))
    (0.5, 0.28867513459481287)
    """
    n = values.total()
    mean = math.fsum(value * count for value, count in values.items()) / n
    if n == 1:
        return mean, 0.0
    variance = math.fsum(count * (value - mean) ** 2 for value, count in values.items()) / (n - 1)
    return mean, math.sqrt(variance / n)


def interval(values: Counter[float], name: str, seed: int) -> tuple[float, float]:
    """Return the ends of the 95 % percentile bootstrap interval of the mean of counted values.

    A resample of n values is how often each distinct one is drawn: one draw of a multinomial
    distribution, whatever n is.

    Args:
        values: how often each was seen.
        name: of the figure; each has random numbers of its own.
        seed: of the run.
    """
    distinct_V = np.array(list(values), dtype=float)
    counts_V = np.array(list(values.values()))
    order_V = distinct_V.argsort()  # so that the order of the rows does not matter
    distinct_V, counts_V = distinct_V[order_V], counts_V[order_V]
    n = int(counts_V.sum())
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    means_S = rng.multinomial(n, counts_V / n, size=RESAMPLES) @ distinct_V / n
    low, high = np.percentile(means_S, [2.5, 97.5])
    return float(low), float(high)


def spread_of(values: Iterable[float]) -> Spread:
    """Return how values are distributed; there has to be one."""
    found = np.fromiter(values, dtype=float)
    p50, p90, p99 = np.percentile(found, [50, 90, 99])
    return Spread(len(found), *(round(float(v), 3) for v in (found.mean(), p50, p90, p99)))
