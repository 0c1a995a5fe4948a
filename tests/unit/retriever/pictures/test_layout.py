"""Where colours lie: near in whatever shows the same thing, far in what shows another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from safetensors.numpy import load_file, save_file

from retriever.checkpoint.mini import PICTURES
from retriever.errors import IndexUnavailable
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.layout import (
    NEAR,
    SHAPE,
    distance,
    distances,
    in_better_light,
    layouts,
    spread,
)
from retriever.pictures.parts import Part, compact

BELGIUM = ("#000000", "#fae042", "#ed2939")
FRANCE = ("#002395", "#ffffff", "#ed2939")


def stripes(*colours: str, size: tuple[int, int] = (240, 160)) -> Image.Image:
    """Return upright stripes of equal width."""
    picture = Image.new("RGB", size)
    width = size[0] / len(colours)
    for n, colour in enumerate(colours):
        picture.paste(colour, (round(n * width), 0, round((n + 1) * width), size[1]))
    return picture


def waved(picture: Image.Image) -> Image.Image:
    """Return a picture in folds of light and shadow."""
    light = 0.85 + 0.15 * np.sin(np.linspace(0, 4 * np.pi, picture.width))
    shaded = np.asarray(picture, dtype=np.float32) * light[None, :, None]
    return Image.fromarray(shaded.astype(np.uint8))


def with_margin(picture: Image.Image) -> Image.Image:
    paper = Image.new("RGB", (picture.width + 160, picture.height + 90), "white")
    paper.paste(picture, (100, 20))
    return paper


def as_disc(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left = (picture.width - side) // 2
    square = picture.crop((left, 0, left + side, side))
    mask = Image.new("L", square.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    return Image.composite(square, Image.new("RGB", square.size, "white"), mask)


def far(asked: Image.Image, drawn: Image.Image) -> float:
    return distance(layouts(asked), layouts(drawn))


@pytest.mark.parametrize(
    "shown",
    (
        waved(stripes(*BELGIUM)),
        with_margin(stripes(*BELGIUM)),
        as_disc(stripes(*BELGIUM)),
        stripes(*BELGIUM).crop((60, 20, 228, 132)),
        stripes(*BELGIUM, size=(90, 160)),
        stripes(*BELGIUM).filter(ImageFilter.GaussianBlur(8)),
        stripes("#1a1a1a", "#ffe14d", "#d8232f"),
    ),
    ids=("waved", "on paper", "a disc", "a window", "narrow", "blurred", "other shades"),
)
def test_the_same_flag_is_near_and_another_is_far(shown: Image.Image) -> None:
    assert far(shown, stripes(*BELGIUM)) <= NEAR < far(shown, stripes(*FRANCE))


def test_the_same_colours_elsewhere_are_far() -> None:
    lying = Image.new("RGB", (240, 160))
    for n, colour in enumerate(BELGIUM):
        lying.paste(colour, (0, round(n * 160 / 3), 240, round((n + 1) * 160 / 3)))
    assert far(lying, stripes(*BELGIUM)) > NEAR


@pytest.mark.parametrize("light", [(0.55, 0.55, 0.55), (1, 0.85, 0.65), (0.7, 0.6, 0.45)])
def test_the_light_that_a_picture_was_taken_in_is_no_difference(
    light: tuple[float, float, float],
) -> None:
    some, poland = collection(3), Image.new("RGB", (240, 160), "#dc143c")
    for known in (stripes(*BELGIUM), stripes(*FRANCE), poland):
        levels = np.asarray(known, dtype=np.float32) * light
        taken = Image.fromarray(levels.astype(np.uint8))
        assert some.unlike(taken, "flag:BE") is (known != stripes(*BELGIUM))


@pytest.mark.parametrize("size", [(2000, 3), (1, 700), (60_000, 1), (1, 1)])
def test_the_thinnest_picture_has_a_layout(size: tuple[int, int]) -> None:
    found = next(in_better_light(Image.new("RGB", size, "red")))
    assert found.shape == SHAPE


def test_a_picture_without_colour_says_nothing() -> None:
    assert not collection(3).unlike(stripes(*FRANCE).convert("L"), "flag:BE")


def test_the_spread_is_that_of_the_picture_that_is_farthest_from_the_rest() -> None:
    two = [layouts(stripes(*BELGIUM)), layouts(waved(stripes(*BELGIUM)))]
    odd = layouts(stripes(*FRANCE))
    assert spread(two) <= NEAR
    assert spread([*two, odd]) == min(distance(odd, other) for other in two)


@pytest.mark.parametrize("shown", (waved(stripes(*FRANCE)), as_disc(stripes(*FRANCE))))
def test_of_others_the_nearest_shows_the_same(shown: Image.Image) -> None:
    flags = (BELGIUM, FRANCE, FRANCE[::-1])
    drawn = np.stack([layouts(stripes(*flag)) for flag in flags])
    away = distances(layouts(shown), drawn)
    assert away.shape == (3,) and away.argmin() == 1
    assert distances(drawn[0], drawn)[0] == 0


def two_flags(colours: float) -> PictureCollection:
    """Return a collection of two entities whose vectors are all but the same."""
    drawn = np.stack([layouts(stripes(*flag)) for flag in (BELGIUM, FRANCE)])
    vectors = compact([[1.0, 0.1], [1.0, 0.0]])
    names = [("be.png", "flag:BE"), ("fr.png", "flag:FR")]
    return PictureCollection("r", names, vectors, Fusion(colours=colours), layouts_ILHWC=drawn)


def test_where_colours_lie_counts_beside_the_cosine() -> None:
    some, belgium = two_flags(0.01), layouts(as_disc(stripes(*BELGIUM)))
    [found] = some.search([[1.0, 0.0]], 2)
    assert [other.entity for other in found] == ["flag:FR", "flag:BE"]
    first, second = some.by_colours(found, belgium)
    assert first == replace(found[1], away=0.0), "the best keeps its cosine"
    away = distances(belgium, np.asarray(some.layouts_ILHWC))
    assert second.similarity == pytest.approx(
        found[0].similarity - 0.01 * float(away[1] - away[0]), abs=1e-6
    )
    assert some.by_colours(found, None) == found, "nobody knows where they lie"
    assert two_flags(0.0).by_colours(found, belgium) == found, "they do not count"


def test_what_finds_as_before_keeps_its_name() -> None:
    plain, coloured = two_flags(0.0), two_flags(0.01)
    assert plain.sha256 == "c5027dfeebd7058e52574b961120eec21691698da3080aa1c1bb7c046f83572e"
    assert coloured.sha256 != plain.sha256


def test_the_demos_drawings_know_a_flag_from_another() -> None:
    drawings = PictureCollection.open(PICTURES)
    belgium = waved(stripes(*BELGIUM))
    assert not drawings.unlike(belgium, "flag:BE")
    assert drawings.unlike(belgium, "flag:FR") and drawings.unlike(belgium, "flag:JE")
    assert not drawings.unlike(belgium, "nothing that it has")


def collection(number: int) -> PictureCollection:
    """Return a collection with some pictures of one thing, as alike as can be."""
    drawn = np.stack([layouts(stripes(*BELGIUM))] * number)
    names = [(f"{n}.png", "flag:BE") for n in range(number)]
    vectors = compact(np.eye(number, 4, dtype=np.float32) + 0.1)
    return PictureCollection("r", names, vectors, Fusion(), layouts_ILHWC=drawn)


def test_what_differs_as_much_as_the_pictures_of_a_thing_do_may_show_it() -> None:
    some = collection(3)
    assert some.unlike(stripes(*FRANCE), "flag:BE")
    assert some.layouts_ILHWC is not None
    some.layouts_ILHWC[2] = layouts(stripes("#00a000", "#0000ff", "#00ffff"))
    # Pictures of one thing that differ so much say nothing of another that does.
    again = collection(3)
    again.layouts_ILHWC = some.layouts_ILHWC
    assert not again.unlike(stripes(*FRANCE), "flag:BE")


def test_two_pictures_do_not_say_how_much_they_may_differ() -> None:
    assert not collection(2).unlike(stripes(*FRANCE), "flag:BE")


def test_layouts_are_kept_and_a_file_without_them_says_nothing(tmp_path: Path) -> None:
    made, path = collection(3), tmp_path / "pictures.safetensors"
    made.save(path)
    opened = PictureCollection.open(path)
    assert opened.layouts_ILHWC is not None and made.layouts_ILHWC is not None
    assert (opened.layouts_ILHWC == made.layouts_ILHWC).all()
    assert opened.unlike(stripes(*FRANCE), "flag:BE")
    made.layouts_ILHWC = None
    made.save(path)
    assert not PictureCollection.open(path).unlike(stripes(*FRANCE), "flag:BE")


def test_layouts_of_another_number_of_pictures_are_damage(tmp_path: Path) -> None:
    made, path = collection(3), tmp_path / "pictures.safetensors"
    made.layouts_ILHWC = np.zeros((2, *SHAPE), dtype=np.int8)
    made.save(path)
    with pytest.raises(IndexUnavailable, match="layouts of shape"):
        PictureCollection.open(path)


def test_a_part_of_before_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    vectors = np.ones((1, 4), dtype=np.int8)
    Part(vectors, np.zeros((1, *SHAPE), dtype=np.int8), {}).save(path, "of this")
    assert Part.open(path, "of this") is not None
    tensors = load_file(path)
    del tensors["layouts"]
    save_file(tensors, path, {"made_of": "of this", "left_out": json.dumps({})})
    assert Part.open(path, "of this") is None
