"""Pictures that show nothing the demo knows: drawn here, the same for the same split.

One colour, gradients, noise of any grain, screenshots of windows full of text. Those that test have
two kinds more, charts and pages of print, so that not only what was fitted on is caught.
"""

import random
from collections.abc import Callable
from typing import Literal

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 480, 320
_WORDS = (
    *("account", "archive", "button", "cancel", "close", "date", "delete", "draft", "edit"),
    *("export", "file", "filter", "folder", "forward", "help", "inbox", "invoice", "label"),
    *("message", "name", "new", "note", "open", "order", "page", "paste", "price", "print"),
    *("quantity", "reply", "report", "row", "save", "search", "send", "settings", "share"),
    *("sort", "table", "tax", "total", "unread", "update", "user", "view"),
)
_Colour = tuple[int, int, int]


def unknown_pictures(split: Literal["tune", "test"], *, each: int = 4) -> dict[str, Image.Image]:
    """Return pictures by name, `each` of every kind.

    Args:
        split: what is fitted or chosen on, or what tests.
        each: of a kind.
    """
    kinds = _KINDS if split == "test" else {k: d for k, d in _KINDS.items() if k not in _FOR_TEST}
    return {
        f"{kind}-{number}": draw(random.Random(f"{split}/{kind}/{number}"))
        for kind, draw in kinds.items()
        for number in range(each)
    }


def _colour(draw: random.Random, least: int = 0) -> _Colour:
    return draw.randint(least, 255), draw.randint(least, 255), draw.randint(least, 255)


def _plain(draw: random.Random) -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), _colour(draw))


def _gradient(draw: random.Random) -> Image.Image:
    mask = Image.linear_gradient("L").resize((WIDTH, HEIGHT)).rotate(draw.choice((0, 180)))
    return Image.composite(_plain(draw), _plain(draw), mask)


def _noise(draw: random.Random) -> Image.Image:
    """Return squares of random colours: from one a pixel to eight a side."""
    columns = draw.choice((8, 16, 64, WIDTH))
    rows = columns * HEIGHT // WIDTH
    small = Image.frombytes("RGB", (columns, rows), draw.randbytes(3 * columns * rows))
    method = draw.choice((Image.Resampling.NEAREST, Image.Resampling.BICUBIC))
    return small.resize((WIDTH, HEIGHT), method)


def _line(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(_WORDS) for _ in range(words))


def _screenshot(draw: random.Random) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), _colour(draw, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, WIDTH, 22), fill=_colour(draw))
    pen.text((8, 6), _line(draw, 4), fill="white")
    pen.rectangle((0, 22, draw.randint(60, 120), HEIGHT), fill=_colour(draw, 200))
    for y in range(32, HEIGHT - 12, draw.choice((14, 18, 26))):
        pen.text((6, y), draw.choice(_WORDS), fill="black")
        pen.text((130, y), _line(draw, draw.randint(2, 8)), fill="black")
    for _ in range(draw.randint(2, 6)):
        x, y = draw.randint(120, WIDTH - 90), draw.randint(40, HEIGHT - 40)
        pen.rectangle((x, y, x + draw.randint(30, 80), y + 18), fill=_colour(draw))
    return image


def _chart(draw: random.Random) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    pen.line((40, 20, 40, HEIGHT - 30, WIDTH - 20, HEIGHT - 30), fill="black", width=2)
    heights = [draw.randint(10, HEIGHT - 70) for _ in range(draw.randint(5, 12))]
    step, colour = (WIDTH - 80) // len(heights), _colour(draw)
    tops = [(60 + i * step, HEIGHT - 30 - h) for i, h in enumerate(heights)]
    if draw.random() < 0.5:
        pen.line(tops, fill=colour, width=3)
    else:
        for x, y in tops:
            pen.rectangle((x, y, x + step // 2, HEIGHT - 31), fill=colour)
    pen.text((WIDTH // 3, 4), _line(draw, 4), fill="black")
    return image


def _print(draw: random.Random) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), _colour(draw, 240))
    pen = ImageDraw.Draw(image)
    for y in range(16, HEIGHT - 16, 13):
        if draw.random() < 0.9:
            pen.text((24, y), _line(draw, draw.randint(4, 11)), fill=(30, 30, 30))
    return image


_KINDS: dict[str, Callable[[random.Random], Image.Image]] = {
    "plain": _plain,
    "gradient": _gradient,
    "noise": _noise,
    "screenshot": _screenshot,
    "chart": _chart,
    "print": _print,
}
_FOR_TEST = ("chart", "print")
