"""A heat map over a picture: where in it a passage was found. Pure functions."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from corpus.pictures.images import as_rgb
from retriever.inputs.images import Area

# From low to high, dark to light: told apart without colours too. The page has it from here.
RAMP = ((43, 20, 92), (142, 44, 118), (222, 84, 84), (250, 160, 60), (252, 244, 170))
OPACITY = 0.6
# What the tower is not shown is darkened by so much.
UNSEEN = 0.55
LONGEST_SIDE = 1600
# The picture is as pale below its heat: else what is white in it reads as hot.
CONTRAST = 0.6
_GREY = 128  # what the colours of the scale lie on, and what a pale picture tends to
_SCALE_WIDTH, _SCALE_HEIGHT, _TEXT, _GAP = 240, 32, 14, 8  # pixels; the width at least


def heat_picture(
    image: Image.Image, heat_G: NDArray[np.float32], frame: Area, grid: tuple[int, int]
) -> Image.Image:
    """Return a picture in grey with its heat laid over it, and what was not looked at darkened.

    The coldest place gets the first colour and the hottest the last, interpolated between the
    middles of the places. Sides longer than LONGEST_SIDE pixels are made shorter.

    Args:
        image: as it was asked about.
        heat_G: of each place, row by row.
        frame: what the places cover, as shares of the picture's width and height.
        grid: places from top to bottom and from left to right.
    """
    upright = as_rgb(image).convert("L").convert("RGB")  # its own colours would read as heat
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    width, height = upright.size
    left, upper, right, lower = (
        round(edge * side) for edge, side in zip(frame, (width, height, width, height), strict=True)
    )
    level = Image.fromarray(levels(heat_G).reshape(grid))
    level = level.resize((max(1, right - left), max(1, lower - upper)), Image.Resampling.BILINEAR)
    shown = Image.blend(upright, Image.new("RGB", upright.size), UNSEEN)
    colours = Image.fromarray(_coloured(np.asarray(level)))
    within = _pale(upright.crop((left, upper, right, lower)))
    shown.paste(Image.blend(within, colours, OPACITY), (left, upper))
    return shown


def with_scale(shown: Image.Image, low: float, high: float) -> Image.Image:
    """Return a picture of `heat_picture` with the scale of its colours below it.

    Args:
        shown: the picture.
        low: the similarity of the coldest place.
        high: that of the hottest.
    """
    width = max(shown.width, _SCALE_WIDTH)
    whole = Image.new("RGB", (width, shown.height + _SCALE_HEIGHT), "white")
    whole.paste(shown, ((width - shown.width) // 2, 0))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(_TEXT)
    middle = shown.height + _SCALE_HEIGHT // 2
    first, last = f"similarity {low:.2f}", f"{high:.2f}"
    draw.text((_GAP, middle), first, "black", font, anchor="lm")
    draw.text((width - _GAP, middle), last, "black", font, anchor="rm")
    left = round(2 * _GAP + font.getlength(first))
    right = round(width - 2 * _GAP - font.getlength(last))
    ramp = np.linspace(0, 255, right - left).round().astype(np.uint8)
    colours = Image.fromarray(_coloured(np.tile(ramp, (_TEXT, 1))))
    scale = Image.blend(_grey(colours.size), colours, OPACITY)
    whole.paste(scale, (left, middle - _TEXT // 2))
    return whole


def levels(heat_G: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return heat as 0 for the coldest to 255 for the hottest; of equals, 0."""
    low, high = float(heat_G.min()), float(heat_G.max())
    scale = 255 / (high - low) if high > low else 0.0
    return np.round((heat_G - low) * scale).astype(np.uint8)


def _pale(picture: Image.Image) -> Image.Image:
    return Image.blend(_grey(picture.size), picture, CONTRAST)


def _grey(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (_GREY, _GREY, _GREY))


def _coloured(level_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return levels as colours [H, W, 3]."""
    steps = np.linspace(0, 255, len(RAMP))
    table = np.stack(
        [np.interp(np.arange(256), steps, channel) for channel in zip(*RAMP, strict=True)], 1
    )
    coloured: NDArray[np.uint8] = table.round().astype(np.uint8)[level_HW]
    return coloured
