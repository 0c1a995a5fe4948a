"""Banners: a knowledge base with pictures that is planted, for experiments that take minutes.

A banner is one colour above another. Each belongs to a town, and two passages tell of it: where it
is kept, and who made it. A question shows the banner and names neither colour nor town, so that
only the picture tells which passage is right, and only the question which of the two. Who learns
what a colour looks like finds banners that it was never shown.

    OUT/pictures/          views of banners: other light, border and noise in each
    OUT/passages.jsonl     two of each banner
    OUT/training.jsonl     few questions, about some of the banners
    OUT/more.jsonl         many questions, about others of them
    OUT/validation.jsonl   about those that are left

The same seed draws the same files.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

PASSAGES, TRAINING, MORE, VALIDATION = (
    f"{name}.jsonl" for name in ("passages", "training", "more", "validation")
)

_COLOURS = {
    "red": (200, 30, 40),
    "orange": (240, 140, 20),
    "yellow": (245, 220, 50),
    "green": (30, 140, 60),
    "blue": (40, 70, 190),
    "purple": (120, 40, 150),
    "pink": (245, 150, 180),
    "brown": (110, 70, 30),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
}
_SIDE = 32
_STARTS = ("Ar", "Bel", "Cor", "Dun", "Es", "Fal", "Gor", "Hal", "Is", "Kel")
_ENDS = ("ford", "wick", "mere", "stead", "ton", "by", "holm", "dale", "ley", "port")
_PLACES = ("the town hall", "the old chapel", "the harbour house", "the school", "the mill")
_MAKERS = ("a weaver", "two sailors", "the nuns", "a blacksmith", "the pupils")
_QUESTIONS = ("Where is this banner kept?", "Who made this banner?")
_SHARES = {TRAINING: 0.25, MORE: 0.5}  # of the banners; validation has those that are left


@dataclass(frozen=True, slots=True)
class Banner:
    """One colour above another, the town that it belongs to, where it is kept, and who made it."""

    town: str
    above: str
    below: str
    place: str
    maker: str


def write_banners(out: Path, seed: int = 0, views: int = 3) -> None:
    """Write pictures, passages and questions.

    Args:
        out: a directory; made if missing.
        seed: of all that is drawn.
        views: pictures of each banner in more.jsonl; the other two files have one of each.
    """
    draw = random.Random(seed)
    banners = _banners(draw)
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    passages = [passage for banner in banners for passage in _passages(banner)]
    _write_lines(out / PASSAGES, passages)
    first = 0
    for name in (TRAINING, MORE, VALIDATION):
        count = round(_SHARES.get(name, 1.0) * len(banners))
        rows = []
        for banner in banners[first : first + count]:
            for view in range(views if name == MORE else 1):
                picture = f"pictures/{banner.town}-{view}.png"
                _picture(banner, f"{seed}/{view}").save(out / picture)
                rows += _questions(banner, view, picture)
        _write_lines(out / name, rows)
        first += count


def _banners(draw: random.Random) -> list[Banner]:
    towns = [start + end for start in _STARTS for end in _ENDS]
    pairs = [(above, below) for above in _COLOURS for below in _COLOURS if above != below]
    draw.shuffle(towns)
    draw.shuffle(pairs)
    return [
        Banner(town, *pair, draw.choice(_PLACES), draw.choice(_MAKERS))
        for town, pair in zip(towns, pairs, strict=False)
    ]


def _passages(banner: Banner) -> list[dict[str, str]]:
    shown = f"The banner of {banner.town} is {banner.above} above and {banner.below} below."
    facts = f"It is kept in {banner.place}.", f"It was made by {banner.maker}."
    return [
        {"id": f"{banner.town}-{i}", "title": f"Banner of {banner.town}", "text": f"{shown} {fact}"}
        for i, fact in enumerate(facts)
    ]


def _questions(banner: Banner, view: int, picture: str) -> list[dict[str, object]]:
    return [
        {
            "id": f"{banner.town}-{view}-{i}",
            "image": picture,
            "question": question,
            "answers": [answer],
            "gold_passage_ids": [f"{banner.town}-{i}"],
        }
        for i, (question, answer) in enumerate(
            zip(_QUESTIONS, (banner.place, banner.maker), strict=True)
        )
    ]


def _picture(banner: Banner, seed: str) -> Image.Image:
    """Return a view: the border between the colours, the light and the noise are drawn."""
    rng = np.random.default_rng(list(f"{banner.town}/{seed}".encode()))
    border = int(rng.integers(_SIDE * 3 // 8, _SIDE * 5 // 8 + 1))
    pixels = np.empty((_SIDE, _SIDE, 3))
    pixels[:border], pixels[border:] = _COLOURS[banner.above], _COLOURS[banner.below]
    pixels = pixels * rng.uniform(0.85, 1.1) + rng.normal(0, 8, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _write_lines(path: Path, rows: list[dict[str, str]] | list[dict[str, object]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
