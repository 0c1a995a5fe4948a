"""The sections of a report that say what was measured: answers, retrieval, what went wrong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from app.evaluation.figures import SHOWN, of_retrieval
from app.evaluation.record import CONDITION_NAMES, Figure, Outcomes
from app.evaluation.reporting.charts import Series, line_chart
from app.evaluation.reporting.markup import framed, key, table
from app.evaluation.reporting.runs import Run
from app.evaluation.summary import pictures_missing, without_gold

FATES = (
    *("right", "retrieved", "read and scored wrong", "retrieved and not read", "not retrieved"),
    *("wrong", "not answered", "not scored"),
)
_STATUSES = ("given", "unsure", "withheld", "failed")


def answers_section(runs: Sequence[Run]) -> str:
    """Return the scores of answers; "" where nothing was asked."""
    whole = _pivot(runs, lambda f: not f.group and not of_retrieval(f.metric))
    if not whole:
        return ""
    parts = [whole]
    if summaries := list(_summaries(runs)):
        parts.append(table(("run", "over the whole benchmark", "value"), summaries))
    if groups := _pivot(runs, lambda f: bool(f.group) and not of_retrieval(f.metric)):
        parts.append(f"<details><summary>By question type and split</summary>{groups}</details>")
    parts.append(
        '<p class="hint">Percent ± standard error; beneath it the 95 % bootstrap interval and the '
        "number of examples. An example without an answer counts as wrong; where there are some, "
        "the mean over the others stands behind “answered”.</p>"
    )
    return "\n".join(parts)


def notes_section(runs: Sequence[Run]) -> str:
    """Return what a reader of the figures must know; "" for nothing."""
    notes = list(
        dict.fromkeys(f"{run.results.benchmark}: {n}" for run in runs for n in run.results.notes)
    )
    for run in runs:
        if run.results.gold_not_in_corpus:
            absent = without_gold(run.results.gold_not_in_corpus)
            notes.append(f"{run.name}: {absent} in this corpus")
        if len(run.results.search) > 1:
            how = ", ".join(f"{n:,} {name}" for name, n in run.results.search.items())
            notes.append(f"{run.name}: not all were searched alike: {how}")
        if run.results.missing_images:
            notes.append(f"{run.name}: {pictures_missing(run.results.missing_images)}")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if notes else ""


def _pivot(runs: Sequence[Run], wanted: Callable[[Figure], bool]) -> str:
    """Return a table with a column for each run, of figures that are wanted; "" for none."""
    rows = dict.fromkeys(
        (f.group, f.metric, f.condition) for run in runs for f in run.results.figures if wanted(f)
    )
    if not rows:
        return ""
    groups = any(group for group, *_ in rows)
    head = ["metric", "condition", *(key(i) + escape(run.name) for i, run in enumerate(runs))]
    if groups:
        head.insert(0, "group")
    lines = []
    families = list(dict.fromkeys(metric.partition("@")[0] for _, metric, _ in rows))
    # Those of a metric together, our own variants behind the others.
    families.sort(key=lambda name: name.endswith(SHOWN))

    def place(row: tuple[str, str, str]) -> tuple[str, int, int]:
        name, _, k = row[1].partition("@")
        return row[0], families.index(name), int(k or 0)

    for group, metric, condition in sorted(rows, key=place):
        found = [run.results.find(metric, condition, group) for run in runs]
        main = metric in {run.results.headline for run in runs}
        name = f"<b>{escape(metric)}</b>" if main else escape(metric)
        cells = [name, CONDITION_NAMES[condition], *map(figure_cell, found)]
        lines.append([escape(group), *cells] if groups else cells)
    return table(head, lines, raw=True)


def figure_cell(figure: Figure | None) -> str:
    """Return a figure with its error, interval and n, as HTML."""
    if figure is None:
        return '<span class="none">–</span>'
    text = (
        f'<span class="value">{100 * figure.value:.1f}</span>'
        f'<span class="err"> ± {100 * figure.stderr:.1f}</span>'
        f"<small>{100 * figure.low:.1f} to {100 * figure.high:.1f} · n = {figure.n:,}</small>"
    )
    if figure.answered is not None and figure.answered_n < figure.n:
        text += f"<small>answered {100 * figure.answered:.1f} · n = {figure.answered_n:,}</small>"
    return text


def _summaries(runs: Sequence[Run]) -> Iterator[tuple[str, str, str]]:
    for run in runs:
        for name, value in run.results.summary.items():
            if isinstance(value, Mapping):
                for part, inner in value.items():
                    yield run.name, f"{name}: {part}", str(inner)
            else:
                yield run.name, name, str(value)


def retrieval_section(runs: Sequence[Run]) -> str:
    """Return recall, and recall over K; "" without retrieval."""
    whole = _pivot(runs, lambda f: not f.group and of_retrieval(f.metric))
    if not whole:
        return ""
    charts = []
    for prefix in ("recall@", "pseudo_recall@"):
        series = []
        ks: set[int] = set()
        for i, run in enumerate(runs):
            found = sorted(
                (int(f.metric.removeprefix(prefix)), f)
                for f in run.results.figures
                if f.metric.startswith(prefix) and not f.group and f.condition == "retrieved"
            )
            if found:
                ks.update(k for k, _ in found)
                series.append((i, run.name, found))
        if not series:
            continue
        at = {k: float(position) for position, k in enumerate(sorted(ks))}
        chart = line_chart(
            f"{prefix}K over K",
            [
                Series(
                    name,
                    i,
                    [(at[k], f.value) for k, f in found],
                    [(at[k], f.low, f.high) for k, f in found],
                )
                for i, name, found in series
            ],
            [(position, str(k)) for k, position in at.items()],
            "K, passages found",
            "percent",
        )
        charts.append(framed(f"{prefix}K", chart, [(i, name) for i, name, _ in series]))
    groups = _pivot(runs, lambda f: bool(f.group) and of_retrieval(f.metric))
    if groups:
        groups = f"<details><summary>By question type and split</summary>{groups}</details>"
    hint = '<p class="hint">The bands are 95 % bootstrap intervals.</p>'
    if len(charts) == 1:
        return f'<div class="charts"><div>{charts[0]}{hint}</div><div>{whole}{groups}</div></div>'
    return f'<div class="charts">{"".join(charts)}</div>{hint}{whole}{groups}'


def outcomes_section(runs: Sequence[Run]) -> str:
    """Return what became of the examples: bars that choose among them, and tables."""
    parts, rows, reasons = [], [], []
    seen = dict.fromkeys(
        fate
        for fate in FATES
        for run in runs
        for outcome in run.results.outcomes.values()
        if outcome.fates.get(fate)
    )
    view = 0
    for run in runs:
        for condition in run.conditions:
            outcome = run.results.outcomes.get(condition)
            view += 1
            if outcome is None:
                continue
            name = CONDITION_NAMES[condition]
            parts.append(_bar(run.name, name, outcome, view - 1))
            if run.results.judged_by:
                rows.append([escape(run.name), name, *_statuses(outcome)])
            for reason, count in outcome.failures.items():
                reasons.append([run.name, name, reason, f"{count:,}"])
            if outcome.empty:
                reasons.append([run.name, name, "an answer without a word", f"{outcome.empty:,}"])
    keys = "".join(f'<span><i class="key {_fate_class(f)}"></i>{f}</span>' for f in seen)
    html = f'<div class="legend">{keys}</div><div class="bars">{"".join(parts)}</div>'
    html += '<p class="hint">Choose a part of a bar to see its examples.</p>'
    if rows:
        head = ("run", "condition", *(f"answer {s}" if s != "failed" else s for s in _STATUSES))
        html += table(head, rows, raw=True)
    if reasons:
        html += table(("run", "condition", "why there is no answer or score", "examples"), reasons)
    return html


def _bar(run: str, condition: str, outcome: Outcomes, view: int) -> str:
    parts = []
    for fate in FATES:
        if count := outcome.fates.get(fate):
            share = 100 * count / outcome.n
            label = f"{share:.0f} %" if share >= 7 else ""
            parts.append(
                f'<button class="{_fate_class(fate)}" style="flex-grow:{count}" '
                f'data-view="{view}" data-fate="{fate}" '
                f'title="{fate}: {count:,} of {outcome.n:,} ({share:.1f} %)">{label}</button>'
            )
    title = f"{escape(run)} <span>{condition} · n = {outcome.n:,}</span>"
    return f'<div class="bar"><p>{title}</p><div>{"".join(parts)}</div></div>'


def _fate_class(fate: str) -> str:
    return f"fate-{fate.replace(' ', '-')}"


def _statuses(outcome: Outcomes) -> Iterator[str]:
    for status in _STATUSES:
        count = outcome.statuses.get(status, 0)
        right = outcome.right_of.get(status)
        text = f"{count:,}<small>{100 * count / outcome.n:.1f} %"
        if right is not None and status != "failed" and count:
            text += f", {100 * right:.1f} % of these right"
        yield f"{text}</small>"
