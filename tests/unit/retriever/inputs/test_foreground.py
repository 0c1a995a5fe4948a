"""What stands before a busy background is found; where nothing is busy, nothing is looked for."""

from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from corpus.benchmarks.unknown import unknown_pictures
from corpus.types import Box
from retriever.inputs import foreground as foreground_module
from retriever.inputs.foreground import foregrounds


def busy(width: int, height: int) -> Image.Image:
    """Return what is as rough everywhere as grass or gravel."""
    levels = np.random.default_rng(0).integers(60, 160, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def foreground(picture: Image.Image) -> Box | None:
    """Return the likeliest part; None where nothing is looked for."""
    return next(foregrounds(picture), None)


def share_in_common(a: Box, b: Box) -> float:
    """Return how much of what either box covers both cover."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - common)


@pytest.mark.parametrize(
    ("size", "thing"),
    [
        ((224, 224), (40, 60, 150, 180)),
        ((640, 300), (300, 40, 560, 260)),
        ((90, 400), (10, 220, 80, 370)),
    ],
)
def test_a_thing_before_a_busy_background_is_found(size: tuple[int, int], thing: Box) -> None:
    picture = busy(*size)
    left, upper, right, lower = thing
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, upper, right - 1, lower - 1), fill="navy")
    draw.rectangle((left, upper, (left + right) // 2, lower - 1), fill="gold")
    found = foreground(picture)
    assert found is not None and share_in_common(found, thing) > 0.8


def test_it_is_found_in_the_upright_picture() -> None:
    lying = busy(300, 200)
    lying.paste("red", (20, 20, 120, 180))
    upright = lying.transpose(Image.Transpose.ROTATE_270)
    lying.getexif()[0x0112] = 6  # to be turned by a quarter
    assert foreground(lying) == foreground(upright) is not None


@pytest.mark.parametrize("fill", ["white", "black", "teal"])
def test_before_one_colour_nothing_is_looked_for(fill: str) -> None:
    picture = Image.new("RGB", (200, 200), fill)
    picture.paste(busy(100, 100), (60, 40))
    assert foreground(picture) is None


def test_a_drawing_up_to_the_border_is_looked_at_as_a_whole() -> None:
    flag = Image.new("RGB", (300, 200), "white")
    flag.paste("red", (0, 0, 100, 200))
    flag.paste("blue", (200, 0, 300, 200))
    assert foreground(flag) is None
    transparent = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    transparent.paste("red", (50, 50, 90, 90))
    assert foreground(transparent) is None


@pytest.mark.parametrize("split", ["tune", "test"])
def test_in_gradients_screens_and_print_nothing_is_looked_for(
    split: Literal["tune", "test"],
) -> None:
    pictures = unknown_pictures(split).items()
    # Coarse noise is as busy as anything, and a part of it as good as all.
    assert not [name for name, p in pictures if not name.startswith("noise") and foreground(p)]


def test_each_way_to_compare_colours_finds_a_thing() -> None:
    """That of Lab has a margin: it finds less of it."""
    picture, thing = busy(224, 224), (40, 60, 150, 180)
    picture.paste("gold", thing)
    found = list(foregrounds(picture))
    assert len(found) == 3 and all(share_in_common(box, thing) > 0.5 for box in found)
    assert found[2][0] < found[0][0] and found[2][2] > found[0][2]


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (500, 2), (27, 29)])
def test_a_box_is_never_empty_or_outside(size: tuple[int, int]) -> None:
    for left, upper, right, lower in foregrounds(busy(*size)):
        assert 0 <= left < right <= size[0] and 0 <= upper < lower <= size[1]


def test_colours_are_as_pillow_has_them_and_what_converts_is_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To make it takes longer than to find a thing."""
    picture = busy(224, 224)
    picture.paste("gold", (40, 60, 150, 180))
    converted = picture.convert("LAB")
    first = list(foregrounds(picture))
    monkeypatch.delattr(ImageCms, "buildTransform")
    assert list(foregrounds(picture)) == first
    assert foreground_module._as("LAB", picture).tobytes() == converted.tobytes()
