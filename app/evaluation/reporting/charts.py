"""Charts as SVG, in the colours of report.css: lines over an axis, and ranges on a logarithmic one.

Text is escaped here. A chart is as wide as its column: lengths are in units of its view box, which
is narrow enough to be read on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.evaluation.reporting.markup import COLOURS

WIDTH, HEIGHT = 420, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 40
_SIDE = 24


@dataclass(frozen=True, slots=True)
class Series:
    """A line.

    Attributes:
        name: of what it shows.
        colour: its number, from 0.
        points: (x, y) with y from 0 to 1.
        band: (x, low, high) of an interval around it; () for none.
        dots: whether points are marked.
    """

    name: str
    colour: int
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = True


@dataclass(frozen=True, slots=True)
class Range:
    """Percentiles of a time."""

    name: str
    colour: int
    p50: float
    p90: float
    p99: float


def line_chart(
    title: str,
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str]],
    x_label: str,
    y_label: str,
) -> str:
    """Return lines over an axis from the first tick to the last, in percent of the greatest.

    Args:
        title: for who cannot see it.
        series: the lines.
        ticks: (x, label) of the axis, from left to right.
        x_label: what x is.
        y_label: what y is.
    """
    first, last = ticks[0][0], ticks[-1][0]
    highest = max((y for s in series for _, y in s.points), default=1.0)
    highest = max([highest, *(high for s in series for *_, high in s.band)])
    step = next(s for s in (0.02, 0.05, 0.1, 0.2) if highest <= 5 * s or s == 0.2)
    top = max(step, min(1.0, step * math.ceil(highest / step - 1e-9)))
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> str:
        along = (x - first) / (last - first) if last > first else 0.5
        return f"{_LEFT + wide * along:.1f},{_TOP + tall * (1 - y / top):.1f}"

    parts = []
    for y in (step * i for i in range(round(top / step) + 1)):
        where = at(first, y).split(",")[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{where}" ')
        parts.append(f'y2="{where}"/><text class="tick" x="{_LEFT - 7}" y="{where}" dy="4" ')
        parts.append(f'text-anchor="end">{100 * y:.0f}</text>')
    for x, label in ticks:
        where = at(x, 0).split(",")[0]
        parts.append(f'<text class="tick" x="{where}" y="{HEIGHT - _BOTTOM + 16}" ')
        parts.append(f'text-anchor="middle">{escape(label)}</text>')
    for s in series:
        colour = s.colour % COLOURS
        if s.band:
            edge = [at(x, high) for x, _, high in s.band]
            edge += [at(x, low) for x, low, _ in reversed(s.band)]
            parts.append(f'<polygon class="band c{colour}" points="{" ".join(edge)}"/>')
        line = " ".join(at(x, y) for x, y in s.points)
        parts.append(f'<polyline class="line c{colour}" points="{line}"/>')
        for x, y in s.points if s.dots else ():
            cx, cy = at(x, y).split(",")
            label = next((text for tick, text in ticks if tick == x), f"{x:g}")
            parts.append(f'<circle class="dot c{colour}" cx="{cx}" cy="{cy}" r="3.2"><title>')
            parts.append(f"{escape(s.name)}: {100 * y:.1f} at {escape(label)}</title></circle>")
    return _svg(title, HEIGHT, "".join(parts) + _labels(x_label, y_label, HEIGHT))


def range_chart(title: str, ranges: Sequence[Range], unit: str) -> str:
    """Return for each a bar from its median to its 99th percentile, on a logarithmic axis.

    Args:
        title: for who cannot see it.
        ranges: from top to bottom.
        unit: of the times.
    """
    values = [value for r in ranges for value in (r.p50, r.p99) if value > 0]
    low = math.floor(math.log10(min(values, default=1.0)))
    high = max(low + 1, math.ceil(math.log10(max(values, default=10.0))))
    row, wide = 34, WIDTH - 2 * _SIDE
    height = _TOP + row * len(ranges) + _BOTTOM

    def at(value: float) -> float:
        exponent = math.log10(value) if value > 0 else low
        return _SIDE + wide * (exponent - low) / (high - low)

    parts = []
    for exponent in range(low, high + 1):
        x = at(10.0**exponent)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" ')
        parts.append(f'y2="{height - _BOTTOM}"/><text class="tick" x="{x:.1f}" ')
        parts.append(f'y="{height - _BOTTOM + 16}" text-anchor="middle">{10.0**exponent:,g}</text>')
    for i, r in enumerate(ranges):
        y, colour = _TOP + row * i + 24, r.colour % COLOURS
        x50, x90, x99 = at(r.p50), at(r.p90), at(r.p99)
        parts.append(f'<text class="name" x="{_SIDE}" y="{y - 10}">{escape(r.name)}</text>')
        parts.append(f'<line class="reach c{colour}" x1="{x50:.1f}" x2="{x99:.1f}" ')
        parts.append(f'y1="{y}" y2="{y}"/>')
        for x, name, value in ((x50, "p50", r.p50), (x90, "p90", r.p90), (x99, "p99", r.p99)):
            size = 4.2 if name == "p50" else 2.8
            parts.append(f'<circle class="dot c{colour}" cx="{x:.1f}" cy="{y}" r="{size}"><title>')
            parts.append(f"{escape(r.name)}: {name} {value:,.1f} {unit}</title></circle>")
    label = f"{unit} (p50, p90, p99)"
    return _svg(title, height, "".join(parts) + _labels(label, "", height))


def _labels(x_label: str, y_label: str, height: int) -> str:
    middle = _TOP + (height - _TOP - _BOTTOM) / 2
    found = f'<text class="axis" x="{WIDTH / 2}" y="{height - 6}" text-anchor="middle">'
    found += f"{escape(x_label)}</text>"
    if y_label:
        found += f'<text class="axis" transform="translate(12 {middle:.0f}) rotate(-90)" '
        found += f'text-anchor="middle">{escape(y_label)}</text>'
    return found


def _svg(title: str, height: int, inside: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{inside}</svg>"
    )
