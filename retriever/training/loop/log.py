"""What a training tells while it goes on: log.csv, curve.png for whoever looks, and TensorBoard."""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from retriever.errors import TrainingStopped
from retriever.training.loop.state import Files, Row

LOG_NAME, CURVE_NAME, BOARD_NAME = "log.csv", "curve.png", "tensorboard"

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 34, 34
_INK, _GRID = "#222222", "#dddddd"
_COLOURS = ("#0b62a4", "#b3541e", "#3c7d3c", "#7a4a9e")
_NOT_DRAWN = ("step", "norm", "learning_rate", "stderr")

Line = Sequence[tuple[float, float]]


def write_log(files: Files, rows: Sequence[Row]) -> None:
    """Write log.csv: a line for each row, a column for each figure; empty where it has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(LOG_NAME, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))


class Board:
    """The log for `tensorboard --logdir OUT`, where the package tensorboard is installed.

    Args:
        out: of the training; the events go into a folder of their own in there.
    """

    def __init__(self, out: Path) -> None:
        self._out, self._written = out / BOARD_NAME, 0
        self._events: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        """Write what is new of the log, every figure at its step.

        The first call of a process writes all of it and takes back what earlier processes wrote:
        of those, one that was killed may have got further than the checkpoint that is gone on from.

        Raises:
            TrainingStopped: the disk is full.
        """
        if self._written == len(rows) or find_spec("tensorboard") is None:
            return
        try:
            self._append(rows[self._written :])
        except OSError as exc:
            raise TrainingStopped(
                f"{self._out} cannot be written ({exc}). The checkpoint is whole: make room, and "
                "give the same command again to go on from it."
            ) from exc
        self._written = len(rows)

    def _append(self, rows: Sequence[Row]) -> None:
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(self._out, purge_step=0)
        for row in rows:
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(row["step"]))
        self._events.flush()


def draw_curve(files: Files, rows: Sequence[Row]) -> None:
    """Write curve.png: each figure over the steps, one below the other; recall at all K in one."""
    names = [n for n in dict.fromkeys(n for row in rows for n in row) if n not in _NOT_DRAWN]
    panels: dict[str, dict[str, Line]] = {}
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        panels.setdefault(name.partition("@")[0], {})[name] = points
    if not panels:
        return
    picture = Image.new("RGB", (_WIDTH, _HEIGHT * len(panels)), "white")
    last = max(1.0, *(row["step"] for row in rows))
    for number, lines in enumerate(panels.values()):
        _draw_panel(ImageDraw.Draw(picture), number * _HEIGHT, lines, last)
    files.write(CURVE_NAME, lambda path: picture.save(path, "PNG"))


def _draw_panel(
    draw: ImageDraw.ImageDraw, top: int, lines: Mapping[str, Line], last: float
) -> None:
    """Draw figures over the steps: those "at K" from 0 to 1, others on their own scale."""
    font = ImageFont.load_default(14)
    values = [y for line in lines.values() for _, y in line]
    shares = all("@" in name for name in lines)
    low, high = (0.0, 1.0) if shares else (min(values), max(values))
    high = high if high > low else low + 1

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / last
        return across, top + _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / (high - low)

    for part in range(5):
        y = low + (high - low) * part / 4
        draw.line([place(0, y), place(last, y)], _GRID)
        draw.text((_LEFT - 8, place(0, y)[1]), f"{y:.3g}", _INK, font, anchor="rm")
        x = last * part / 4
        draw.text((place(x, low)[0], top + _HEIGHT - 26), f"{x:.0f}", _INK, font, anchor="ma")
    across = float(_LEFT)
    for colour, (name, line) in zip(cycle(_COLOURS), lines.items(), strict=False):
        draw.text((across, top + 8), name, colour, font)
        across += draw.textlength(f"{name}   ", font)
        points = [place(x, y) for x, y in line]
        draw.line(points, colour, 2)
        for x, y in points:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], colour)
