"""The sections of a report around its figures: confidence, cost, differences between runs,
published figures, and how all of it came about.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from app.errors import InvalidSettings
from app.evaluation.files.json_rows import as_json
from app.evaluation.record import CONDITION_NAMES
from app.evaluation.reporting.charts import Range, Series, line_chart, range_chart
from app.evaluation.reporting.comparison import compare, p_text
from app.evaluation.reporting.markup import framed, key, table
from app.evaluation.reporting.measured import figure_cell
from app.evaluation.reporting.published import published_beside
from app.evaluation.reporting.reliability import reliabilities
from app.evaluation.reporting.runs import Run

_NOT_COMPARED = ("started", "seconds", "made", "per_second")


def confidence_section(runs: Sequence[Run]) -> str:
    """Return risk against coverage and the calibration errors; "" without a confidence."""
    series, rows, legend = [], [], []
    number = 0
    for run in runs:
        for found in reliabilities(run):
            name = f"{run.name}, {CONDITION_NAMES[found.condition]}"
            legend.append((number, name))
            series.append(Series(name, number, found.curve, dots=False))
            rows.append(
                [
                    key(number) + escape(name),
                    f"{100 * found.right:.1f}",
                    f"{found.ece:.3f}",
                    f"{found.aurc:.3f}",
                    f"{1 - found.right:.3f}",
                    f"{found.n:,} of {found.asked:,}",
                ]
            )
            number += 1
    if not series:
        return ""
    ticks = [(i / 5, f"{20 * i}") for i in range(6)]
    chart = line_chart(
        "Risk against coverage", series, ticks, "percent answered", "percent wrong of those"
    )
    head = ("answers", "right, %", "ECE", "AURC", "AURC of a blind guess", "n")
    hint = (
        '<p class="hint">The most confident answers first: a curve that stays low and rises late '
        "knows what it does not know. ECE is the gap between confidence and what is right, over "
        "ten bins. AURC is the mean risk over all coverages. What the confidence was fitted on "
        "stands under “judging” in the provenance: it must not be these examples.</p>"
    )
    figure = framed("Risk against coverage", chart, legend)
    return f'<div class="charts">{figure}<div>{table(head, rows, raw=True)}{hint}</div></div>'


def cost_section(runs: Sequence[Run]) -> str:
    """Return times, tokens and machines."""
    ranges, rows, tokens, stages = [], [], [], []
    for i, run in enumerate(runs):
        for condition, cost in run.results.cost.items():
            for step, s in cost.latency_ms.items():
                name = f"{run.name}: {step}"
                if step == "answer":
                    name += f", {CONDITION_NAMES[condition]}"
                ranges.append(Range(name, i, s.p50, s.p90, s.p99))
                times = (f"{value:,.1f}" for value in (s.mean, s.p50, s.p90, s.p99))
                rows.append([name, *times, f"{s.n:,}"])
            if cost.prompt_tokens or cost.completion_tokens:
                asked = run.results.outcomes.get(condition)
                tokens.append(
                    [
                        run.name,
                        CONDITION_NAMES[condition],
                        f"{cost.prompt_tokens:,}",
                        f"{cost.completion_tokens:,}",
                        f"{cost.prompt_tokens / asked.n:,.0f}" if asked else "–",
                    ]
                )
        for stage, record in run.results.provenance.stages.items():
            where = "; ".join((record.processor, *record.gpus))
            rate = (f"{record.seconds:,.1f}", f"{record.per_second:,.2f}")
            stages.append([run.name, stage, f"{record.made:,}", *rate, where])
    html = ""
    if ranges:
        chart = framed(
            "Milliseconds an example",
            range_chart("Milliseconds an example", ranges, "ms"),
            [(i, run.name) for i, run in enumerate(runs)],
        )
        steps = ("ms an example", "mean", "p50", "p90", "p99", "n")
        html += f'<div class="charts">{chart}<div>{table(steps, rows)}</div></div>'
    if tokens:
        head = ("run", "condition", "tokens read", "written", "read an example")
        html += table(head, tokens)
    if stages:
        html += table(("run", "stage", "rows made", "seconds", "a second", "on"), stages)
    return html


def comparison_section(runs: Sequence[Run]) -> str:
    """Return how the first run differs from each other, over the examples that both have."""
    parts = []
    for other in runs[1:]:
        try:
            found = compare(runs[0], other)
        except InvalidSettings as exc:
            parts.append(f'<p class="hint">{escape(str(exc))}.</p>')
            continue
        title = f"{escape(other.name)} − {escape(runs[0].name)}, n = {found.n:,} in common"
        if any(found.left_out):
            title += f" ({found.left_out[1]:,} and {found.left_out[0]:,} others are left out)"
        rows = [
            [
                d.metric,
                CONDITION_NAMES[d.condition],
                f"{100 * d.first:.1f}",
                f"{100 * d.second:.1f}",
                f"{100 * d.difference:+.1f} ± {100 * d.stderr:.1f}",
                f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
                p_text(d.p),
            ]
            for d in found.differences
        ]
        head = ("metric", "condition", runs[0].name, other.name, "difference", "95 % interval", "p")
        parts.append(f"<h3>{title}</h3>{table(head, rows)}")
        if found.provenance:
            differs = table(
                ("what differs", runs[0].name, other.name), list(map(list, found.provenance))
            )
            count = len(found.provenance)
            parts.append(
                f"<details><summary>{count} things differ in how they came about</summary>"
                f"{differs}</details>"
            )
    if parts:
        parts.append(
            '<p class="hint">Paired bootstrap over the examples that both were asked; the p of a '
            "metric of 0 and 1 is of the exact sign test. p is two-sided and not corrected for the "
            "number of rows.</p>"
        )
    return "".join(parts)


def published_section(runs: Sequence[Run]) -> str:
    """Return published figures beside ours, and those that are not comparable."""
    rows, others = [], []
    for i, run in enumerate(runs):
        beside, apart = published_beside(run.results)
        for both in beside:
            mark = both.mark
            of = f"{mark.metric} {mark.protocol.group}".rstrip()
            rows.append(
                [
                    escape(of),
                    f"{key(i)}{escape(run.name)}",
                    figure_cell(both.ours),
                    escape(mark.system),
                    f'<span class="value">{mark.value:.1f}</span>',
                    f"{escape(mark.source_text)}<small>{escape(mark.note)}</small>",
                    escape(mark.protocol.knowledge_base or "no passages"),
                ]
            )
        others += [
            [run.name, a.mark.system, a.mark.metric, f"{a.mark.value:.1f}", a.mark.source_text,
             "; ".join(a.reasons)]
            for a in apart
        ]  # fmt: skip
    html = ""
    if rows:
        columns = ("metric", "run", "here", "published", "there", "source", "knowledge base")
        html += table(columns, rows, raw=True)
        html += (
            '<p class="hint">Of the same benchmark, split, number of questions, metric and, by its '
            "number of passages, knowledge base. Backbones and training differ.</p>"
        )
    if others:
        head = ("run", "published", "metric", "there", "source", "what differs")
        html += (
            f"<details><summary>{len(others)} published figures on this benchmark that are not "
            f"comparable, and why</summary>{table(head, others)}</details>"
        )
    return html


def provenance_section(runs: Sequence[Run]) -> str:
    """Return how the figures came about."""
    flat = [dict(_flattened(as_json(run.results.provenance), "")) for run in runs]
    names = dict.fromkeys(name for facts in flat for name in facts)
    rows = []
    for name in names:
        values = [facts.get(name, "–") for facts in flat]
        unlike = len(set(values)) > 1 and not name.endswith(_NOT_COMPARED)
        mark = '<b class="unlike">≠</b> ' if unlike else ""
        rows.append([mark + escape(name), *(f"<code>{escape(value)}</code>" for value in values)])
    head = ("what", *(key(i) + escape(run.name) for i, run in enumerate(runs)))
    return (
        "<details><summary>How the figures came about: checkpoint, index, corpus, prompts, "
        f"generator, versions, machine</summary>{table(head, rows, raw=True)}</details>"
    )


def _flattened(value: object, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flattened(inner, f"{at}.{name}" if at else str(name))
    elif value not in (None, "", (), []):
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield at, text
