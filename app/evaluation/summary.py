"""Results as Markdown tables, to read and to paste."""

from collections.abc import Iterator, Sequence
from typing import get_args

from app.evaluation.figures import of_retrieval
from app.evaluation.record import CONDITION_NAMES, SCORES_NAME, Condition, Fate, Figure, Results
from app.evaluation.tables import table

_SAID = 400  # characters of why the first of some examples failed


def summary_text(results: Results) -> str:
    """Return everything that table.md says."""
    corpus = (results.provenance.corpus or {}).get("name") or "none"
    lines = [f"# {results.benchmark} on the corpus {corpus}", ""]
    lines += [
        f"{results.n:,} examples. In percent, with standard errors and bootstrap intervals of "
        "95 %; an example without an answer counts as 0, and the mean over the answered stands "
        "beside it.",
        "",
    ]
    lines += _answers(results)
    lines += _retrieval(results)
    lines += _groups(results)
    lines += _outcomes(results)
    lines += _fates_of_groups(results)
    lines += _costs(results)
    lines += [f"- {line}" for line in _remarks(results)]
    return "\n".join(lines).rstrip() + "\n"


def _answers(results: Results) -> list[str]:
    rows = [
        (
            f"**{figure.metric}**" if figure.metric == results.headline else figure.metric,
            CONDITION_NAMES[figure.condition],
            *_cells(figure),
        )
        for figure in results.figures
        if not figure.group and not of_retrieval(figure.metric)
    ]
    rows += [
        (f"**{name}**" if name == results.headline else name, "", str(value), "", "", "")
        for name, value in results.summary.items()
        if not isinstance(value, dict)
    ]
    columns = ("answers", "condition", "all", "interval", "answered", "n")
    return table(columns, rows) if rows else []


def _retrieval(results: Results) -> list[str]:
    rows = [
        (
            f"**{figure.metric}**" if figure.metric == results.headline else figure.metric,
            *_cells(figure),
        )
        for figure in results.figures
        if not figure.group and of_retrieval(figure.metric)
    ]
    return table(("retrieval", "all", "interval", "searched", "n"), rows) if rows else []


def _groups(results: Results) -> list[str]:
    """Return the main scores by question type and split."""
    shown = {results.judged_by, results.headline, "contains", "recall@5", "pseudo_recall@5"}
    rows = [
        (figure.group, figure.metric, CONDITION_NAMES[figure.condition], *_cells(figure))
        for figure in sorted(results.figures, key=lambda f: f.group)
        if figure.group and figure.metric in shown
    ]
    columns = ("group", "metric", "condition", "all", "interval", "answered", "n")
    return table(columns, rows) if rows else []


def _outcomes(results: Results) -> list[str]:
    """Return what became of the examples, and how answers were given: each is all of them."""
    fates: list[Sequence[str]] = []
    statuses: list[Sequence[str]] = []
    for condition, outcome in results.outcomes.items():
        for name, count in outcome.fates.items():
            fates.append((_about(condition), name, _share(count, outcome.n)))
        for name, count in outcome.statuses.items():
            right = outcome.right_of.get(name)
            score = "" if right is None or name == "failed" else f"{100 * right:.1f}"
            statuses.append((_about(condition), name, _share(count, outcome.n), score))
    found = table(("condition", "what became of it", "examples"), fates)
    if results.judged_by:
        columns = ("condition", "the answer was", "examples", f"{results.judged_by} of these")
        found += table(columns, statuses)
    return found


def _fates_of_groups(results: Results) -> list[str]:
    """Return what became of the examples of each question type and split."""
    fates = [
        fate
        for fate in get_args(Fate)
        if any(outcome.fates.get(fate) for outcome in results.outcomes.values())
    ]
    rows = [
        (group, _about(condition), *(_share(of.get(fate, 0), sum(of.values())) for fate in fates))
        for condition, outcome in results.outcomes.items()
        for group, of in outcome.fates_of.items()
    ]
    return table(("group", "condition", *fates), rows) if rows else []


def _costs(results: Results) -> list[str]:
    rows = [
        (
            *(_about(condition), step, f"{spread.n:,}", f"{spread.mean:,.1f}"),
            *(f"{spread.p50:,.1f}", f"{spread.p90:,.1f}", f"{spread.p99:,.1f}"),
        )
        for condition, cost in results.cost.items()
        for step, spread in cost.latency_ms.items()
    ]
    columns = ("condition", "milliseconds an example", "n", "mean", "p50", "p90", "p99")
    return table(columns, rows) if rows else []


def _remarks(results: Results) -> Iterator[str]:
    for stage, record in results.provenance.stages.items():
        yield f"{stage}: {record.made:,} in {record.seconds:,.1f} s, {record.per_second:,.2f}/s"
    for condition, cost in results.cost.items():
        if cost.prompt_tokens or cost.completion_tokens:
            yield (
                f"{_about(condition)}: {cost.prompt_tokens:,} tokens read, "
                f"{cost.completion_tokens:,} written"
            )
    for condition, outcome in results.outcomes.items():
        for reason, count in outcome.failures.items():
            first = " ".join(outcome.first_failures.get(reason, "").split())  # "": an older run
            named = f"; the first is {first:.{_SAID}}; each is in {SCORES_NAME}" if first else ""
            yield f"{_about(condition)}: {count:,} × {reason}{named}"
        if outcome.empty:
            yield f"{_about(condition)}: {outcome.empty:,} answers without a word"
    if len(results.search) > 1:
        how = ", ".join(f"{count:,} {name}" for name, count in results.search.items())
        yield f"not all were searched alike: {how}"
    if results.missing_images:
        yield f"{pictures_missing(results.missing_images)} (missing-images.txt)"
    if results.gold_not_in_corpus:
        yield f"{without_gold(results.gold_not_in_corpus)} in this corpus: is it the right one?"
    yield from results.notes


def pictures_missing(count: int) -> str:
    """Return that so many pictures are missing.

    >>> pictures_missing(1), pictures_missing(2000)
    ('1 picture is missing', '2,000 pictures are missing')
    """
    return f"{count:,} picture{' is' if count == 1 else 's are'} missing"


def without_gold(count: int) -> str:
    """Return that so many examples have no gold passage.

    >>> without_gold(1)
    '1 example has no gold passage'
    """
    return f"{count:,} example{' has' if count == 1 else 's have'} no gold passage"


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    answered = "-"
    if figure.answered is not None:
        answered = f"{100 * figure.answered:.1f} (n = {figure.answered_n:,})"
    return (
        f"{100 * figure.value:.1f} ± {100 * figure.stderr:.1f}",
        f"{100 * figure.low:.1f} to {100 * figure.high:.1f}",
        answered,
        f"{figure.n:,}",
    )


def _about(condition: Condition | str) -> str:
    return CONDITION_NAMES[condition]


def _share(count: int, n: int) -> str:
    return f"{count:,} ({100 * count / n:.1f} %)"
