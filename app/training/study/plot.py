"""The picture of a study: recall and loss over parameters, and what the intermediate stage gained.

Points of recipes that differ in the vision tower alone are joined by a line.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from app.training.study.outcome import Gained, Outcome, gains

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 40, 46
_ROW, _NAMES = 26, 330  # of a gain: its height, and the width of its name
_INK, _GRID = "#222222", "#dddddd"
_COLOURS = {False: "#b3541e", True: "#0b62a4"}  # without and with the intermediate stage
_TITLES = {False: "without intermediate stage", True: "with it"}

Place = Callable[[float, float], tuple[float, float]]


class _Point(NamedTuple):
    parameters: int
    value: float
    stderr: float


def draw_study(outcomes: Sequence[Outcome], path: Path, k: int = 5) -> None:
    """Write the picture; nothing where no run has figures.

    Args:
        outcomes: the runs; those that failed are left out.
        path: of the PNG file.
        k: of the recall that is drawn.
    """
    done = [outcome for outcome in outcomes if not outcome.failed]
    if not done:
        return
    gained = gains(done)
    height = 2 * _HEIGHT + (_TOP + _ROW * len(gained) + _BOTTOM if gained else 0)
    picture = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(picture)
    recall = [next(share for share in one.recall if share.k == k) for one in done]
    shares = [(share.value, share.stderr) for share in recall]
    _panel(draw, 0, f"recall@{k}", done, shares, (0.0, 1.0))
    losses = [one.loss for one in done]
    highest = max(value + stderr for value, stderr in losses)
    _panel(draw, _HEIGHT, "validation loss, nats", done, losses, (0.0, 1.05 * highest or 1.0))
    if gained:
        _gains(draw, 2 * _HEIGHT, gained)
    partial = path.with_name(f"{path.name}.partial")
    picture.save(partial, "PNG")
    partial.replace(path)


def _panel(
    draw: ImageDraw.ImageDraw,
    top: int,
    title: str,
    outcomes: Sequence[Outcome],
    figures: Sequence[tuple[float, float]],
    scale: tuple[float, float],
) -> None:
    """Draw figures with their standard errors over parameters, on a logarithmic axis."""
    font, (low, high) = ImageFont.load_default(14), scale
    sizes = [math.log10(outcome.parameters) for outcome in outcomes]
    margin = 0.1 * (max(sizes) - min(sizes)) or 0.2
    first, last = min(sizes) - margin, max(sizes) + margin

    def place(size: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (size - first) / (last - first)
        return across, top + _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / (high - low)

    for part in range(5):
        y = low + (high - low) * part / 4
        draw.line([place(first, y), place(last, y)], _GRID)
        draw.text((_LEFT - 8, place(first, y)[1]), f"{y:.3g}", _INK, font, anchor="rm")
        size = first + (last - first) * part / 4
        below = (place(size, low)[0], top + _HEIGHT - _BOTTOM + 6)
        draw.text(below, _count(10**size), _INK, font, anchor="ra" if part == 4 else "ma")
    draw.text((_WIDTH / 2, top + _HEIGHT - 20), "parameters", _INK, font, anchor="ma")
    draw.text((8, top + 10), title, _INK, font)
    across = _WIDTH - _RIGHT
    for stage in (True, False):
        draw.text((across, top + 10), _TITLES[stage], _COLOURS[stage], font, anchor="ra")
        across -= int(draw.textlength(f"{_TITLES[stage]}    ", font))
    lines = defaultdict(list)
    for outcome, figure in zip(outcomes, figures, strict=True):
        cell = outcome.cell
        key = cell.text, cell.mapping_layers, cell.intermediate
        lines[key].append(_Point(outcome.parameters, *figure))
    for (*_, stage), points in lines.items():
        _line(draw, place, sorted(points), _COLOURS[stage])


def _line(draw: ImageDraw.ImageDraw, place: Place, points: Sequence[_Point], colour: str) -> None:
    draw.line([place(math.log10(p.parameters), p.value) for p in points], colour, 1)
    for point in points:
        size = math.log10(point.parameters)
        (x, y), (_, up), (_, down) = (
            place(size, point.value + by) for by in (0.0, point.stderr, -point.stderr)
        )
        draw.line([x, up, x, down], colour, 1)
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], colour)


def _gains(draw: ImageDraw.ImageDraw, top: int, gained: Sequence[Gained]) -> None:
    """Draw a bar for each gain from 0, with its standard error."""
    font = ImageFont.load_default(14)
    ends = [one.gain.nats + sign * one.gain.stderr for one in gained for sign in (-1, 1)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    high = high if high > low else low + 1

    def across(nats: float) -> float:
        return _NAMES + (_WIDTH - _NAMES - 90) * (nats - low) / (high - low)

    title = "gain by the intermediate stage, nats (conditional V-information, approximated)"
    draw.text((8, top + 10), title, _INK, font)
    bottom = top + _TOP + _ROW * len(gained)
    for number, one in enumerate(gained):
        y, gain = top + _TOP + _ROW * (number + 0.5), one.gain
        layers = f"{one.mapping_layers} layer{'s' * (one.mapping_layers != 1)}"
        name = f"{one.vision}, {one.text}, {layers}"
        draw.text((_NAMES - 10, y), _fitting(draw, name, font), _INK, font, anchor="rm")
        begin, end = sorted((across(0), across(gain.nats)))
        draw.rectangle([begin, y - 6, end, y + 6], _COLOURS[True])
        left, right = across(gain.nats - gain.stderr), across(gain.nats + gain.stderr)
        draw.line([left, y, right, y], _INK, 2)
        draw.text((across(high) + 10, y), f"{gain.nats:+.2f}", _INK, font, anchor="lm")
    draw.line([across(0), top + _TOP, across(0), bottom], _INK)


def _fitting(
    draw: ImageDraw.ImageDraw, name: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    """Return as much of a name's end as has room."""
    while draw.textlength(name, font) > _NAMES - 20:
        name = f"…{name[2:]}"
    return name


def _count(number: float) -> str:
    """Return a count in three digits.

    >>> _count(2_216_704)
    '2.22M'
    """
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"
