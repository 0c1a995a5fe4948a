"""Whether two runs differ by more than chance, what they differ in, and where.

`compare` takes two runs, `comparison_text` says what came of it. Both runs are taken over the
examples that both were asked: the same question about the same picture with the same answers. The
difference of an example's two scores is resampled (paired bootstrap): what is hard for both weighs
nothing. The p of a metric of 0 and 1 is that of the exact sign test (McNemar's).
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import InvalidSettings
from app.evaluation.figures import SHOWN, mean_of, of_retrieval, with_shown
from app.evaluation.files.json_rows import as_json
from app.evaluation.record import CONDITION_NAMES, Condition, Results
from app.evaluation.reporting.runs import RIGHT_FROM, Run, asked_alike
from app.evaluation.tables import table

RESAMPLES = 10_000
# Of a command line, where its results go.
_OUT = re.compile(r" --out[ =](?:'[^']*'|\S)+")
# Of a stage's record, what differs from run to run and says nothing.
_TIMES = ("started", "seconds", "made", "per_second")


@dataclass(frozen=True, slots=True)
class Difference:
    """How a metric differs between two runs.

    Attributes:
        metric: its official name.
        condition: under which.
        n: examples that both have a score for.
        first: the mean of the first run over those.
        second: the mean of the second.
        difference: second - first.
        stderr: the standard error of the difference, paired.
        low: lower end of the bootstrap interval of 95 %.
        high: its upper end.
        p: two-sided, of a difference at least so far from 0 if there were none.
    """

    metric: str
    condition: Condition
    n: int
    first: float
    second: float
    difference: float
    stderr: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Change:
    """An example that one run has right and the other has not.

    Attributes:
        id: of the example.
        now: "right" where the second run is.
        question: that was asked.
        image: the picture's name.
        answers: that count as right.
        first: what the first run said; "" without answers.
        second: what the second said.
        fates: what became of it in each.
    """

    id: str
    now: str
    question: str
    image: str
    answers: tuple[str, ...]
    first: str
    second: str
    fates: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the same examples.

    Attributes:
        names: of the runs.
        benchmarks: of the runs.
        n: examples in common.
        left_out: how many others each run has.
        differences: by metric and condition.
        provenance: (what, in the first, in the second) that differs.
        judged_by: the metric that says what is right in `changes`.
        condition: under which.
        changes: those that one run has right.
    """

    names: tuple[str, str]
    benchmarks: tuple[str, str]
    n: int
    left_out: tuple[int, int]
    differences: tuple[Difference, ...]
    provenance: tuple[tuple[str, str, str], ...]
    judged_by: str
    condition: Condition
    changes: tuple[Change, ...]


def compare(
    first: Run, second: Run, *, condition: Condition = "retrieved", seed: int = 0
) -> Comparison:
    """Return how the second run differs from the first.

    Args:
        first: the run to compare with.
        second: the run that is compared.
        condition: under which changed examples are listed.
        seed: of the bootstrap.

    Raises:
        InvalidSettings: they have no example, no score, or under the condition nothing in common.
    """
    shared = [
        id_
        for id_, row in first.examples.items()
        if id_ in second.examples and asked_alike(row, second.examples[id_])
    ]
    if not shared:
        same_ids = sum(id_ in second.examples for id_ in first.examples)
        why = (
            f"{same_ids:,} have the same id, but other questions, pictures or answers"
            if same_ids
            else "not one id is in both"
        )
        raise InvalidSettings(
            f"{first.name} ({first.results.benchmark}) and {second.name} "
            f"({second.results.benchmark}) have no example in common: {why}. Compare runs over "
            "the same benchmark and split"
        )
    differences = tuple(_differences(first, second, shared, seed))
    if not differences:
        raise InvalidSettings(
            f"{first.name} has scores under {', '.join(first.conditions)}, {second.name} under "
            f"{', '.join(second.conditions)}: there is no metric that both have"
        )
    judged_by = _judged_by(first.results, second.results, differences, condition)
    changes = tuple(_changes(first, second, shared, condition, judged_by)) if judged_by else ()
    return Comparison(
        names=(first.name, second.name),
        benchmarks=(first.results.benchmark, second.results.benchmark),
        n=len(shared),
        left_out=(len(first.examples) - len(shared), len(second.examples) - len(shared)),
        differences=differences,
        provenance=tuple(provenance_differences(first.results, second.results)),
        judged_by=judged_by,
        condition=condition,
        changes=changes,
    )


def paired_bootstrap(differences: Counter[float], seed: list[int]) -> tuple[float, float, float]:
    """Return the ends of the 95 % interval of a mean difference, and its two-sided p.

    p is twice the share of resamples on the far side of 0 (Efron and Tibshirani 1993, chapter 15),
    with one more counted on either side, so that it is never 0.

    Args:
        differences: how often each was seen; resampled as one draw of a multinomial.
        seed: of the random numbers.
    """
    values_V = np.array(sorted(differences))
    counts_V = np.array([differences[value] for value in sorted(differences)])
    n = int(counts_V.sum())
    rng = np.random.default_rng(seed)
    means_S = rng.multinomial(n, counts_V / n, size=RESAMPLES) @ values_V / n
    low, high = np.percentile(means_S, [2.5, 97.5])
    below, above = int((means_S <= 1e-12).sum()), int((means_S >= -1e-12).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (RESAMPLES + 1))
    return float(low), float(high), p


def sign_test(more: int, fewer: int) -> float:
    """Return the exact two-sided p of so many differences up and down, were each as likely.

    >>> round(sign_test(7, 0), 6), sign_test(2, 2)
    (0.015625, 1.0)
    """
    changed, rarer = more + fewer, min(more, fewer)
    if more == fewer:
        return 1.0
    # log(changed choose k), whose numbers are too large by themselves
    logs_K = np.cumsum([0.0, *(math.log((changed - k) / (k + 1)) for k in range(rarer))])
    return min(1.0, 2 * float(np.exp(logs_K - changed * math.log(2)).sum()))


def provenance_differences(first: Results, second: Results) -> Iterator[tuple[str, str, str]]:
    """Yield (what, in the first, in the second) of all that is not the same but times."""
    yield from _unlike(_plain(first), _plain(second), "")


def comparison_text(compared: Comparison, shown: int = 20) -> str:
    """Return a comparison to read, in Markdown.

    Args:
        compared: two runs.
        shown: how many changed examples of each kind are listed.
    """
    a, b = compared.names
    lines = [f"A = {a} ({compared.benchmarks[0]}), B = {b} ({compared.benchmarks[1]})", ""]
    if any(compared.left_out):
        lines += [
            f"Over the {compared.n:,} examples in both: {compared.left_out[0]:,} of A and "
            f"{compared.left_out[1]:,} of B are left out.",
            "",
        ]
    rows = [
        (
            f"**{d.metric}**" if d.metric == compared.judged_by else d.metric,
            CONDITION_NAMES[d.condition],
            f"{100 * d.first:.1f}",
            f"{100 * d.second:.1f}",
            f"{100 * d.difference:+.1f} ± {100 * d.stderr:.1f}",
            f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
            p_text(d.p),
            f"{d.n:,}",
        )
        for d in compared.differences
    ]
    lines += table(("metric", "condition", "A", "B", "B - A", "95 % interval", "p", "n"), rows)
    lines += ["What differs in how they came about:" if compared.provenance else _NOTHING, ""]
    if compared.provenance:
        lines += table(("what", "A", "B"), [tuple(map(_cell, row)) for row in compared.provenance])
    for now, title in (("wrong", "Right in A, wrong in B"), ("right", "Wrong in A, right in B")):
        mine = [change for change in compared.changes if change.now == now]
        if not compared.judged_by:
            break
        by = f"by {compared.judged_by}, {CONDITION_NAMES[compared.condition]}"
        lines.append(f"{title} ({by}): {len(mine):,}")
        lines += [f"  {_change(change)}" for change in mine[:shown]]
        if len(mine) > shown:
            lines.append(f"  and {len(mine) - shown:,} more: --show {len(mine)}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def p_text(p: float) -> str:
    """Return a p to read: "< 0.001" is as small as anybody needs.

    >>> p_text(0.0001), p_text(0.25)
    ('< 0.001', '0.25')
    """
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


_NOTHING = "Nothing differs in how they came about, but the time."


def _differences(first: Run, second: Run, shared: list[str], seed: int) -> Iterator[Difference]:
    for condition in (c for c in first.conditions if c in second.conditions):
        pairs: dict[str, Counter[tuple[float, float]]] = {}
        withheld = False
        for id_ in shared:
            a, b = first.scores.get((condition, id_)), second.scores.get((condition, id_))
            if a is None or b is None:
                continue
            withheld = withheld or "withheld" in (a.status, b.status)
            others = with_shown(b)
            for metric, value in with_shown(a).items():
                if metric in others:
                    pairs.setdefault(metric, Counter())[value, others[metric]] += 1
        for metric, counted in pairs.items():
            if metric.endswith(SHOWN) and not withheld:
                continue
            yield _difference(metric, condition, counted, seed)


def _difference(
    metric: str, condition: Condition, pairs: Counter[tuple[float, float]], seed: int
) -> Difference:
    n = pairs.total()
    differences: Counter[float] = Counter()
    for (a, b), count in pairs.items():
        differences[round(b - a, 12)] += count
    mean, stderr = mean_of(differences)
    low, high, p = paired_bootstrap(differences, [seed])
    if all(value in (0, 1) for pair in pairs for value in pair):
        p = sign_test(differences[1.0], differences[-1.0])
    return Difference(
        metric=metric,
        condition=condition,
        n=n,
        first=round(sum(a * count for (a, _), count in pairs.items()) / n, 6),
        second=round(sum(b * count for (_, b), count in pairs.items()) / n, 6),
        difference=round(mean, 6),
        stderr=round(stderr, 6),
        low=round(low, 6),
        high=round(high, 6),
        p=round(p, 6),
    )


def _judged_by(
    first: Results, second: Results, differences: tuple[Difference, ...], condition: Condition
) -> str:
    """Return the metric by which examples are right or wrong in both; "" where there is none."""
    there = [d.metric for d in differences if d.condition == condition]
    wanted = (first.judged_by, second.judged_by, first.headline, second.headline)
    fallback = [metric for metric in there if of_retrieval(metric)]
    return next((m for m in (*wanted, *fallback[-1:]) if m in there), "")


def _changes(
    first: Run, second: Run, shared: list[str], condition: Condition, metric: str
) -> Iterator[Change]:
    said = first.said(), second.said()
    for id_ in shared:
        rows = first.scores.get((condition, id_)), second.scores.get((condition, id_))
        if rows[0] is None or rows[1] is None:
            continue
        if metric not in rows[0].scores or metric not in rows[1].scores:
            continue
        before, after = (row.scores[metric] >= RIGHT_FROM for row in rows if row)
        if before == after:
            continue
        example = first.examples[id_]
        texts = [answers.get((condition, id_)) for answers in said]
        yield Change(
            id=id_,
            now="right" if after else "wrong",
            question=example.question,
            image=example.image,
            answers=example.answers,
            first=texts[0].text if texts[0] else "",
            second=texts[1].text if texts[1] else "",
            fates=(rows[0].fate, rows[1].fate),
        )


def _change(change: Change) -> str:
    line = f"{change.id}  {change.question}"
    if change.answers:
        line += f"  [{' / '.join(change.answers[:3])}]"
    if change.first or change.second:
        line += f"  A: {change.first or '-'}  B: {change.second or '-'}"
    return f"{line}  ({change.fates[0]} -> {change.fates[1]})"


def _plain(results: Results) -> dict[str, Any]:
    record: dict[str, Any] = as_json(results.provenance)
    record["benchmark"], record["search"] = results.benchmark, dict(results.search)
    for stage in record["stages"].values():
        for name in _TIMES:
            stage.pop(name)
        stage["command"] = _OUT.sub("", stage["command"])
    return record


def _unlike(first: object, second: object, at: str) -> Iterator[tuple[str, str, str]]:
    if first == second:
        return
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys([*first, *second]):
            yield from _unlike(first.get(name), second.get(name), f"{at}.{name}" if at else name)
        return
    yield at, _shown(first), _shown(second)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):  # the other run has nothing of the kind
        return f"{len(value)} values, in results.json"
    return "-" if value in (None, "") else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
