"""The pictures of the benchmark: recall against time, and time against the size of the corpus."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import NullFormatter

Row = dict[str, Any]

REAL_TOKENS = 56


def plot_recall(rows: list[Row], path: Path) -> None:
    """Draw recall@10 against CPU time, 56 query tokens, a panel for each size that is real."""
    shown = [row for row in rows if row["tokens"] == REAL_TOKENS and "recall@10" in row]
    sizes = sorted({row["size"] for row in shown if row["size"] < 50_000})
    figure, panels = pyplot.subplots(1, len(sizes), figsize=(5 * len(sizes), 4.5), sharey=True)
    for axes, size in zip(panels, sizes, strict=True):
        lines: dict[str, list[Row]] = defaultdict(list)
        for row in shown:
            if row["size"] == size:
                kind = row["engine"].partition("-")[2]
                lines[row["name"] + (f" ({kind})" if kind else "")].append(row)
        for name, points in sorted(lines.items()):
            points.sort(key=lambda row: row["cpu_ms"])
            axes.errorbar(
                [row["cpu_ms"] for row in points],
                [row["recall@10"] for row in points],
                [row["recall@10_stderr"] for row in points],
                marker="o",
                markersize=4,
                capsize=2,
                label=name,
            )
        axes.axhline(0.99, color="grey", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", xlabel="CPU ms a query", title=f"{size:,} passages")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
    panels[0].set_ylabel("recall@10 against exact")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def plot_cost(rows: list[Row], path: Path) -> None:
    """Draw CPU time against the number of passages."""
    lines: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        default = row.get("candidates", 200) == 200 and row.get("cells", 8) == 8
        if row["tokens"] == REAL_TOKENS and default and "-" not in row["engine"]:
            lines[row["name"]].append(row)
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, points in sorted(lines.items()):
        points.sort(key=lambda row: row["size"])
        sizes = [row["size"] for row in points]
        axes.plot(sizes, [row["cpu_ms"] for row in points], marker="o", markersize=4, label=name)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="passages",
        ylabel="CPU ms a query",
        title=f"Cost of a query, {REAL_TOKENS} tokens",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
