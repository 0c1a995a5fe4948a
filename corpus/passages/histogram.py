"""A histogram as an SVG picture: no dependency, and sharp at every size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 56, 56
_BAR, _TEXT, _GRID, _MARK = "#3b6ea5", "#222222", "#d8d8d8", "#b5442e"


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where numbers and counts lie on the picture.

    Attributes:
        width: of a bar, in numbers.
        bars: how often a number of each bar was seen.
        top: the count at the upper end.
    """

    width: int
    bars: tuple[int, ...]
    top: int

    def x(self, value: float) -> float:
        share = min(value / (len(self.bars) * self.width), 1.0)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * share

    def y(self, count: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - count / self.top)


def histogram_svg(
    counts: Mapping[int, int], title: str, label: str, *, marks: Mapping[str, int], bins: int = 40
) -> str:
    """Return the picture of how often each number occurs.

    Args:
        counts: how often each number, at least 0, was seen.
        title: over the picture.
        label: what the numbers are.
        marks: {name: number} of vertical lines, for example the median.
        bins: at most so many bars. The last one holds the largest 1 % that would stretch the axis.

    Raises:
        ValueError: there are no counts.
    """
    if not counts:
        raise ValueError("no counts: there is nothing to draw")
    width = max(1, -(-(quantile(counts, 0.99) + 1) // bins))
    bars = [0] * min(bins, max(counts) // width + 1)
    for value, count in counts.items():
        bars[min(value // width, len(bars) - 1)] += count
    axes = _Axes(width, tuple(bars), _round_up(max(bars)))
    last = (len(bars) - 1) * width
    cut = f"; the last bar holds all from {last:,} on" if max(counts) >= last + width else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
        *_grid(axes),
        *_bars(axes),
        *_ticks(axes),
        *_marks(axes, marks),
        f'<text x="{_LEFT + (WIDTH - _LEFT - _RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
        f"{escape(label + cut)}</text></svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(axes: _Axes) -> Iterator[str]:
    for step in range(5):
        count = axes.top * step // 4
        y = axes.y(count)
        yield (
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{count:,.0f}</text>'
        )


def _bars(axes: _Axes) -> Iterator[str]:
    for index, count in enumerate(axes.bars):
        left, right = axes.x(index * axes.width), axes.x((index + 1) * axes.width)
        yield (
            f'<rect x="{left + 0.5:.1f}" y="{axes.y(count):.1f}" width="{right - left - 1:.1f}" '
            f'height="{axes.y(0) - axes.y(count):.1f}" fill="{_BAR}"/>'
        )


def _ticks(axes: _Axes) -> Iterator[str]:
    for index in range(0, len(axes.bars), max(1, -(-len(axes.bars) // 8))):
        yield (
            f'<text x="{axes.x(index * axes.width):.1f}" y="{HEIGHT - _BOTTOM + 18}" '
            f'text-anchor="middle">{index * axes.width:,}</text>'
        )


def _marks(axes: _Axes, marks: Mapping[str, int]) -> Iterator[str]:
    for row, (name, value) in enumerate(marks.items()):
        x = axes.x(value)
        side, shift = ("end", -4) if x > WIDTH * 0.8 else ("start", 4)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 18 + 12 * row}" '
            f'y2="{axes.y(0):.1f}" stroke="{_MARK}" stroke-dasharray="4 3"/>'
            f'<text x="{x + shift:.1f}" y="{_TOP - 10 + 12 * row}" text-anchor="{side}" '
            f'fill="{_MARK}">{escape(name)} {value:,}</text>'
        )


def quantile(counts: Mapping[int, int], share: float) -> int:
    """Return the smallest number that at least this share of all does not exceed.

    >>> quantile({1: 5, 2: 4, 9: 1}, 0.5), quantile({1: 5, 2: 4, 9: 1}, 0.95)
    (1, 9)
    """
    wanted = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return max(counts)


def _round_up(count: int) -> int:
    """Return the next of 4, 8, 12, 20, 40, 80, 120, ...: an axis in four equal parts.

    >>> [_round_up(n) for n in (1, 5, 13, 21, 999)]
    [4, 8, 20, 40, 1200]
    """
    size = 4
    while True:
        for times in (1, 2, 3, 5):
            if size * times >= count:
                return size * times
        size *= 10
