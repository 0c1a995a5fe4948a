"""A histogram as an SVG picture: no dependency, and sharp at every size."""

from collections.abc import Mapping
from html import escape

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 56, 56
_BAR, _TEXT, _GRID = "#3b6ea5", "#222222", "#d8d8d8"


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
    number = min(bins, max(counts) // width + 1)
    bars = [0] * number
    for value, count in counts.items():
        bars[min(value // width, number - 1)] += count
    cut = max(counts) >= number * width
    plot_w, plot_h = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    top = _round_up(max(bars))

    def x(value: float) -> float:
        return _LEFT + plot_w * min(value / (number * width), 1.0)

    def y(count: float) -> float:
        return _TOP + plot_h * (1 - count / top)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for step in range(5):
        count = top * step // 4
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(count):.1f}" y2="{y(count):.1f}" '
            f'stroke="{_GRID}"/><text x="{_LEFT - 8}" y="{y(count) + 4:.1f}" text-anchor="end">'
            f"{count:,.0f}</text>"
        )
    for index, count in enumerate(bars):
        left, right = x(index * width), x((index + 1) * width)
        parts.append(
            f'<rect x="{left + 0.5:.1f}" y="{y(count):.1f}" width="{right - left - 1:.1f}" '
            f'height="{y(0) - y(count):.1f}" fill="{_BAR}"/>'
        )
    ticks = max(1, -(-number // 8))
    for index in range(0, number, ticks):
        parts.append(
            f'<text x="{x(index * width):.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{index * width:,}</text>"
        )
    for row, (name, value) in enumerate(marks.items()):
        side = "end" if x(value) > WIDTH * 0.8 else "start"
        shift = -4 if side == "end" else 4
        parts.append(
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP - 18 + 12 * row}" '
            f'y2="{y(0):.1f}" stroke="#b5442e" stroke-dasharray="4 3"/>'
            f'<text x="{x(value) + shift:.1f}" y="{_TOP - 10 + 12 * row}" text-anchor="{side}" '
            f'fill="#b5442e">{escape(name)} {value:,}</text>'
        )
    end = f"; the last bar holds all from {(number - 1) * width:,} on" if cut else ""
    parts.append(
        f'<text x="{_LEFT + plot_w / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
        f"{escape(label + end)}</text></svg>"
    )
    return "\n".join(parts) + "\n"


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
