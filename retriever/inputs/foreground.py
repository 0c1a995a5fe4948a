"""Where the thing is, in a picture of a thing before a busy background.

A drawing on a photograph is little like the same drawing on white. What stands out from the
picture's border in colour and texture is looked for, in a coarse grid of cells; nothing is learnt.
Colours differ otherwise as hue and saturation, and as Lab: each says where the thing may be.

Shapes: S cells along each side · N = S x S cells · E cells at the border · C numbers a cell
"""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from corpus.pictures.images import as_rgb, featureless
from corpus.types import Box

# Chosen on drawings of trained vendors before photographs (docs/measured/backgrounds.md).
CELLS = 28  # along each side
_FINE = 4 * CELLS
_NEAREST = 3  # cells of the border that a cell is compared with
_RING = 7  # fine cells that a border is wide
# Modes of Pillow's in which colours are compared, and what is added to each side of what is found:
# Lab finds too little.
_COLOURS = {"RGB": 0.0, "HSV": 0.0, "LAB": 0.125}
# Of 255 levels: on a calm border a quarter or more of neighbouring cells are the same.
_LEAST_STEP = 1.0

Grid = NDArray[np.floating]


def foregrounds(picture: Image.Image) -> Iterator[Box]:
    """Yield the parts that may be what is unlike the border, the likeliest first.

    None where the border is calm: of one colour or a few, as of drawings and what is cut out of
    them. None, too, where the picture shows nothing: a gradient, or mere noise.

    Args:
        picture: of any mode and size.

    Yields:
        Left, upper, right and lower edge in pixels of the upright picture.
    """
    picture = as_rgb(picture)
    small = picture.resize((_FINE, _FINE), Image.Resampling.BOX)
    if not _busy(np.asarray(small, dtype=np.float32)) or featureless(picture):
        return
    for mode, more in _COLOURS.items():
        fine = np.asarray(_as(mode, small), dtype=np.float32)
        # The root: what is most unlike must not hide the rest of the thing.
        unlike_SS = np.sqrt(_unlike_border(fine))
        yield _in_pixels(_fullest(unlike_SS - _between(unlike_SS)), more, picture.size)


def _as(mode: str, picture: Image.Image) -> Image.Image:
    """Return a picture of mode RGB in another, as Pillow's `convert` does."""
    return to_lab().apply(picture) if mode == "LAB" else picture.convert(mode)


@cache
def to_lab() -> ImageCms.ImageCmsTransform:
    """Return the conversion to Lab, which `convert` makes anew: longer than to find a thing."""
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    return ImageCms.buildTransform(*profiles, "RGB", "LAB")


def _in_pixels(cells: Box, more: float, size: tuple[int, int]) -> Box:
    """Return a box of cells in pixels of a picture of this size, `more` wider on each side."""
    left, upper, right, lower = cells
    beside, above = more * (right - left), more * (lower - upper)
    width, height = size
    return (
        int(max(0, left - beside) * width / CELLS),
        int(max(0, upper - above) * height / CELLS),
        math.ceil(min(CELLS, right + beside) * width / CELLS),
        math.ceil(min(CELLS, lower + above) * height / CELLS),
    )


def _busy(fine: Grid) -> bool:
    """Return whether three quarters of the neighbours along the border of a picture differ."""
    across = np.abs(np.diff(fine, axis=1))[:-1].max(2)
    down = np.abs(np.diff(fine, axis=0))[:, :-1].max(2)
    step = np.maximum(across, down)
    ring = np.ones(step.shape, dtype=bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    return bool(np.quantile(step[ring], 0.25) >= _LEAST_STEP)


def _unlike_border(fine: Grid) -> Grid:
    """Return each cell's distance [S, S] to the cells of the border that are most like it."""
    blocks = fine.astype(np.float64).reshape(CELLS, 4, CELLS, 4, 3)
    colour_NC = blocks.mean((1, 3)).reshape(-1, 3)
    texture_N1 = blocks.mean(4).std((1, 3)).reshape(-1, 1)
    cells_NC = np.concatenate([colour_NC, texture_N1], axis=1)
    inside = np.zeros((CELLS, CELLS), dtype=bool)
    inside[1:-1, 1:-1] = True
    border_E = np.flatnonzero(~inside)
    # (x - y)^2 = x^2 + y^2 - 2xy, by one product of matrices
    length_N = (cells_NC**2).sum(1)
    products_NE = cells_NC @ cells_NC[border_E].T
    squares_NE = (length_N[:, None] + length_N[border_E] - 2 * products_NE).clip(min=0)
    squares_NE[border_E, np.arange(len(border_E))] = np.inf  # a cell of the border is like itself
    nearest_N = np.partition(squares_NE, _NEAREST, axis=1)[:, :_NEAREST].mean(1)
    distance_SS: Grid = np.sqrt(nearest_N).reshape(CELLS, CELLS)
    distance_SS -= distance_SS.min()
    return distance_SS


def _between(values_SS: Grid) -> float:
    """Return the value that parts the high ones from the low ones best (Otsu 1979)."""
    ordered = np.sort(values_SS, axis=None)
    total, count = np.cumsum(ordered), np.arange(1, ordered.size)
    below = total[:-1] / count
    above = (total[-1] - total[:-1]) / (ordered.size - count)
    return float(ordered[np.argmax(count * (ordered.size - count) * (above - below) ** 2)])


def _fullest(values_SS: Grid) -> Box:
    """Return the rectangle of cells with the largest sum (Kadane's, for each pair of rows)."""
    side = len(values_SS)
    sums = np.zeros((side + 1, side + 1), dtype=np.float64)
    sums[1:, 1:] = values_SS.cumsum(0).cumsum(1)
    uppers, lowers = np.triu_indices(side + 1, k=1)
    rows = sums[lowers] - sums[uppers]  # from the left edge up to each column
    least = np.minimum.accumulate(rows, axis=1)
    gained = rows[:, 1:] - least[:, :-1]
    pair, last = np.unravel_index(int(gained.argmax()), gained.shape)
    first = int(rows[pair, : last + 1].argmin())
    return first, int(uppers[pair]), int(last) + 1, int(lowers[pair])
