"""How the colours of a picture lie, and how far those of others are from it.

Pictures of one thing need not be alike as a vision tower sees them: a flag is photographed in the
wind, or half of it. But each of its colours lies about where it lies in one of the others. What has
none of them there shows something else, however near the tower puts it.

    layouts(picture)                    as it is, and without a white border
    in_better_light(picture)            the same, and as it would be in brighter and in white light
    distance(asked, drawn)              from one picture to another, whole or a window of it
    distances(asked, drawn)             from one picture to each of many others, whole
    spread(drawn)                       of several pictures of one thing, the farthest from the rest

Shapes: L layouts of a picture · H x W cells · C lightness and two colours · I pictures
        N windows
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from corpus.pictures.images import as_rgb
from retriever.inputs.foreground import to_lab

HEIGHT, WIDTH = 9, 12  # cells
SHAPE = (2, HEIGHT, WIDTH, 3)  # of what `layouts` gives
# A picture that is nearer than this to one of a thing may show it, whatever others of it do. Chosen
# on flags and things (docs/measured/unknown-flags.md).
NEAR = 10.0
# Of a cell's lightness in Lab, 0 to 255: light changes more easily than colour.
_LIGHT = 0.235
_WHITE = 250  # of 255 levels: from there on a border is white
_FARTHEST = 60.0  # that a cell counts at most
_KEPT = 0.8  # of the cells: what is farthest may be hidden
_SHORTER = 0.7  # of a side, what a window has of it
# Of a picture that somebody took: the longer side in pixels that is looked at, the percentile that
# is taken for its brightest level, how much brighter it may be made, and the least colour.
_ASKED, _NEARLY_ALL, _BRIGHTER, _COLOURLESS = 256, 98, 2.2, 4

Layouts = NDArray[np.int8]


def layouts(picture: Image.Image) -> Layouts:
    """Return how a picture's colours lie [L, H, W, C]: as it is, and without its white border."""
    rgb = as_rgb(picture)
    dark = ImageChops.invert(rgb.convert("L")).point(lambda level: 255 * (level > 255 - _WHITE))
    inside = rgb.crop(dark.getbbox()) if dark.getbbox() else rgb
    return np.stack([_layout(rgb), _layout(inside)])


def in_better_light(picture: Image.Image) -> Iterator[Layouts]:
    """Yield how the colours of a picture that somebody took may lie [L, H, W, C].

    As it is; brighter, until something in it is white; and each channel by itself, as if the light
    had been white. Nothing of a picture without any colour: nothing tells where they were.
    """
    rgb = as_rgb(picture)
    if (longer := max(rgb.size)) > _ASKED:
        width, height = (max(1, round(side * _ASKED / longer)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BOX)
    found = layouts(rgb)
    if np.abs(found[..., 1:].astype(int)).max() <= _COLOURLESS:
        return
    yield found
    levels = np.asarray(rgb, dtype=np.float32)
    brightest = np.percentile(levels.reshape(-1, 3), _NEARLY_ALL, axis=0).clip(min=1)
    for top in (np.full(3, brightest.max()), brightest):
        lit = (levels * (255 / top).clip(1, _BRIGHTER)).clip(0, 255)
        yield layouts(Image.fromarray(lit.astype(np.uint8)))


def distance(asked: Layouts, drawn: Layouts) -> float:
    """Return how far a picture is from another, or from a window of it, in units of Lab.

    Cells are compared with the nearest of those around the same place, both ways, and the farthest
    fifth of them is left out.

    Args:
        asked: of one, as `layouts` gives it.
        drawn: likewise, of the other.
    """
    whole = min(_between(one, two[None]) for one in asked for two in drawn)
    if whole <= NEAR:
        return whole
    down_NHH, across_NWW = _windows()
    drawn_LCHW = np.moveaxis(drawn.astype(np.float32), -1, 1)
    windows = down_NHH[:, None, None] @ drawn_LCHW @ across_NWW.mT[:, None, None]
    flat = np.moveaxis(windows, 2, -1).reshape(-1, *drawn.shape[1:])
    return min(whole, *(_between(one, flat) for one in asked))


def distances(asked: Layouts, drawn_ILHWC: Layouts) -> NDArray[np.float32]:
    """Return how far a picture is from each of others [I], whole, with the farthest cells.

    Args:
        asked: of one, as `layouts` gives it.
        drawn_ILHWC: of the others.
    """
    flat = drawn_ILHWC.reshape(-1, *asked.shape[1:])
    each = np.stack([_each(one, flat, kept=1.0) for one in np.unique(asked, axis=0)])
    nearest: NDArray[np.float32] = each.min(axis=0).reshape(len(drawn_ILHWC), -1).min(axis=1)
    return nearest


def spread(drawn: Sequence[Layouts]) -> float:
    """Return how far the one of some pictures that is farthest from all others is from these."""
    return max(min(distance(one, other) for other in drawn if other is not one) for one in drawn)


def _layout(rgb: Image.Image) -> NDArray[np.int8]:
    cells = rgb.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    lab = np.asarray(to_lab().apply(cells), dtype=np.float32)
    light, a, b = np.moveaxis(lab, -1, 0)
    colour = ((np.stack([a, b], axis=-1) + 128) % 256) - 128  # Pillow's bytes have a sign
    return np.concatenate([(_LIGHT * light)[..., None], colour], axis=-1).round().astype(np.int8)


def _between(one: NDArray[np.generic], others: NDArray[np.generic]) -> float:
    """Return how far a layout [H, W, C] is from the nearest of others [N, H, W, C]."""
    return float(_each(one, others, _KEPT).min())


def _each(
    one: NDArray[np.generic], others: NDArray[np.generic], kept: float
) -> NDArray[np.float32]:
    """Return how far a layout [H, W, C] is from each of others [N, H, W, C], as squares or discs.

    Of cells that are compared with the nearest of those around the same place, both ways.

    Args:
        one: layout.
        others: layouts.
        kept: share of the cells that count, the nearest.
    """
    ways = _both_ways(one, others)
    square = np.maximum(*(_mean(away.reshape(len(away), -1), kept) for away in ways))
    disc = np.maximum(*(_mean(away[:, _disc()], kept) for away in ways))
    nearest: NDArray[np.float32] = np.minimum(square, disc)
    return nearest


def _both_ways(
    one: NDArray[np.generic], others: NDArray[np.generic]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far each cell of one, and of each other, is from the nearest there [N, H, W]."""
    still_CHW = np.moveaxis(one.astype(np.float32), -1, 0)
    moved_CNHW = np.ascontiguousarray(np.moveaxis(others.astype(np.float32), -1, 0))
    of_one = np.full(moved_CNHW.shape[1:], _FARTHEST**2, dtype=np.float32)
    of_others = of_one.copy()
    for down, across in itertools.product((-1, 0, 1), repeat=2):
        (y, there_y), (x, there_x) = _overlap(HEIGHT, down), _overlap(WIDTH, across)
        away = moved_CNHW[:, :, there_y, there_x] - still_CHW[:, None, y, x]
        square = np.einsum("cnhw,cnhw->nhw", away, away)
        np.minimum(of_one[:, y, x], square, out=of_one[:, y, x])
        np.minimum(of_others[:, there_y, there_x], square, out=of_others[:, there_y, there_x])
    return np.sqrt(of_one), np.sqrt(of_others)


def _overlap(cells: int, step: int) -> tuple[slice, slice]:
    """Return which cells of a row have one that many further on, and which these are."""
    back, forth = max(0, -step), max(0, step)
    return slice(back, cells - forth), slice(forth, cells - back)


def _mean(away_NP: NDArray[np.float32], kept: float) -> NDArray[np.float32]:
    """Return the mean of the share of the cells that is nearest [N]."""
    count = int(kept * away_NP.shape[1])
    if count < away_NP.shape[1]:
        away_NP = np.partition(away_NP, count, axis=1)[:, :count]
    mean: NDArray[np.float32] = away_NP.mean(axis=1)
    return mean


@cache
def _disc() -> NDArray[np.bool_]:
    """Return the cells [H, W] of the largest ellipse, as icons are cut."""
    y, x = np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH)
    disc: NDArray[np.bool_] = y[:, None] ** 2 + x**2 <= 0.95
    return disc


@cache
def _windows() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what makes windows of a layout: of rows [N, H, H], and of columns [N, W, W]."""
    rest = 1 - _SHORTER
    cut = [(start, start + _SHORTER) for start in (0.0, rest / 2, rest)]
    whole, middle, narrow = (0.0, 1.0), (rest / 2, 1 - rest / 2), (0.2, 0.8)
    sides = [(rows, columns) for rows in cut for columns in cut]
    sides += [(whole, middle), (whole, narrow), (middle, whole)]
    down = np.stack([_stretched(HEIGHT, *rows) for rows, _ in sides])
    across = np.stack([_stretched(WIDTH, *columns) for _, columns in sides])
    return down, across


def _stretched(cells: int, start: float, end: float) -> NDArray[np.float32]:
    """Return the matrix that stretches a part of some cells in a row over as many."""
    at = start * cells + (np.arange(cells) + 0.5) * (end - start) - 0.5
    at = at.clip(0, cells - 1)
    low = np.floor(at).astype(int)
    share = at - low
    matrix = np.zeros((cells, cells), dtype=np.float32)
    matrix[np.arange(cells), low] = 1 - share
    matrix[np.arange(cells), np.minimum(low + 1, cells - 1)] += share
    return matrix
