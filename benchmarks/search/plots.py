"""The pictures of the benchmark: recall against time, and time against the size of the corpus."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.search.measured import REAL_TOKENS
from benchmarks.search.report import PEERS

Row = dict[str, Any]

# What is drawn, always in the same colour; how other storage does is a table.
STYLES = {
    "here": ("C0", "o-"),
    "here, exact": ("C0", "s"),
    "here, in memory, float32": ("C9", "D"),
    "here, in memory, int8": ("C4", "D"),
    "plain torch": ("C7", "^"),
    "PLAID": ("C1", "o-"),
    "WARP": ("C5", "o-"),
    "Tachiom": ("C8", "o-"),
    "MUVERA": ("black", "o-"),
    "maxsim-cpu, scan": ("C8", "s"),
    "LanceDB, IVF_PQ": ("C2", "o-"),
    "Voyager": ("C6", "o-"),
    "local mode, exact": ("C3", "s"),
    "local mode, 200 by means": ("C3", "o"),
}
_ENGINES = ("kbvqa", "beside", "memory", "memory_int8", *PEERS)
# One setting of each that has several, for the plot of cost.
_USUAL = ("200 candidates", "8 probes,", "32 of", "30 neighbours a token")


def plot_recall(rows: list[Row], path: Path) -> None:
    """Draw recall@10 against CPU time for queries of 56 tokens, a panel for each size."""
    shown = [row for row in _shown(rows) if "recall" in row]
    sizes = sorted({row["size"] for row in shown})
    columns = 2 if len(sizes) > 1 else 1
    lines = -(-len(sizes) // columns)
    figure, panels = pyplot.subplots(
        lines, columns, figsize=(5.2 * columns, 3.8 * lines + 0.8), sharey=True, squeeze=False
    )
    for axes in panels.flat[len(sizes) :]:
        axes.axis("off")
    for axes, size in zip(panels.flat, sizes, strict=False):
        for name, points in _by_name(row for row in shown if row["size"] == size).items():
            colour, form = STYLES[name]
            points.sort(key=lambda row: row["cpu_ms"])
            axes.errorbar(
                [row["cpu_ms"] for row in points],
                [row["recall"] for row in points],
                yerr=[row["recall_stderr"] for row in points],
                xerr=[row["cpu_ms_stderr"] for row in points],
                fmt=form,
                color=colour,
                markersize=4.5,
                linewidth=1.2,
                capsize=2,
                label=name,
            )
        axes.axhline(0.99, color="grey", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", xlabel="CPU ms a query", title=f"{size:,} passages")
        axes.set_ylim(0.4, 1.02)
        _plain(axes.xaxis)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("recall@10 against exact")
    handles = {
        label: handle
        for axes in panels.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    names = [name for name in STYLES if name in handles]
    figure.tight_layout(rect=(0, 0.07 if lines > 1 else 0.14, 1, 1))
    figure.legend([handles[n] for n in names], names, loc="lower center", ncol=4, fontsize=8)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def plot_cost(rows: list[Row], path: Path) -> None:
    """Draw CPU time against the number of passages."""
    figure, axes = pyplot.subplots(figsize=(8, 5))
    usual = [row for row in _shown(rows) if not _detail(row) or _detail(row).startswith(_USUAL)]
    for name, points in _by_name(usual).items():
        colour, form = STYLES[name]
        points.sort(key=lambda row: row["size"])
        detail = _detail(points[-1])
        axes.errorbar(
            [row["size"] for row in points],
            [row["cpu_ms"] for row in points],
            yerr=[row["cpu_ms_stderr"] for row in points],
            fmt=form[0] + ("-" if form.endswith("-") else ":"),
            color=colour,
            markersize=5,
            linewidth=1.2,
            capsize=2,
            label=f"{name}, {detail}" if detail else name,
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="passages",
        ylabel="CPU ms a query",
        title=f"Cost of a query of {REAL_TOKENS} tokens",
    )
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=90, bbox_inches="tight")
    pyplot.close(figure)


def _plain(axis: Axis) -> None:
    """Mark a logarithmic axis at 1, 2, 5, 10, 20, ... in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def _shown(rows: list[Row]) -> list[Row]:
    return [r for r in rows if r["tokens"] == REAL_TOKENS and r["engine"] in _ENGINES]


def _detail(row: Row) -> str:
    if "candidates" in row and row["engine"] in ("kbvqa", "beside"):
        return f"{row['candidates']:,} candidates"
    return str(row.get("settings", ""))


def _by_name(rows: Any) -> dict[str, list[Row]]:
    named: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        named[row["name"]].append(row)
    return {name: named[name] for name in STYLES if name in named}
