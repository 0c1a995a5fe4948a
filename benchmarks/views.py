"""Views of the validation pictures: round, cut, blurred, half hidden, before photographs.

python -m benchmarks.views --out runs/views                           a quarter of an hour
python -m benchmarks.views --out runs/views --photographs FOLDER      before photographs, too

Each picture is asked one question, of the index and by the checkpoint that the settings name, with
parts left out:

    all             passages, and pictures of entities beside them
    passages        without pictures of entities
    no own say      passages, without the say of the picture by itself
    no names        passages, without the names that the classifier gives

Recall@1 and recall@5 in percent, with standard errors, into views.json and views.md. Figures of
kbvqa-mini are development figures: the vendor of these pictures served to choose its training.
"""

import json
import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFilter

from app.commands.console import progress
from app.components import open_pipeline
from app.evaluation.benchmarks.catalog import spread
from app.evaluation.tables import table
from app.flow.events import Retrieval
from app.flow.retrieval import Finder
from app.pipeline import Pipeline
from app.settings import load_settings
from corpus.benchmarks.demo import demo_examples
from corpus.demo.data import demo_dir
from corpus.types import Query
from retriever.encoding.encoder import Encoder
from retriever.metrics import recall_at_k

RECALL_AT = (1, 5)
BATCH = 16

View = Callable[[Image.Image, np.random.Generator], Image.Image]


def flat(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture as it is."""
    return picture


def disc(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the largest disc in the middle, as icon sets cut it."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    mask = Image.new("L", square.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    return Image.composite(square, Image.new("RGBA", square.size, (0, 0, 0, 0)), mask)


def window(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a window of 0.7 of each side, anywhere."""
    width, height = (round(0.7 * full) for full in picture.size)
    left, top = _corner(picture.size, (width, height), rng)
    return picture.crop((left, top, left + width, top + height))


def blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture blurred over a thirtieth of its longer side."""
    return _on_white(picture).filter(ImageFilter.GaussianBlur(max(picture.size) / 30))


def hidden(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture with a grey disc before it, half as wide and half as high."""
    covered = picture.copy()
    width, height = (full // 2 for full in picture.size)
    left, top = _corner(picture.size, (width, height), rng)
    ImageDraw.Draw(covered).ellipse((left, top, left + width, top + height), fill="grey")
    return covered


def before(backgrounds: Sequence[Path]) -> View:
    """Return the view that puts a picture before one of these, at 0.5 to 0.8 of its side."""

    def view(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        with Image.open(backgrounds[int(rng.integers(len(backgrounds)))]) as opened:
            scene = opened.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        scale = rng.uniform(0.5, 0.8) * scene.width / max(picture.size)
        small = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
        )
        scene.paste(small, _corner(scene.size, small.size, rng), small)
        return scene

    return view


@dataclass(frozen=True, slots=True)
class Asked:
    """A view with its question.

    Attributes:
        query: what is asked.
        gold: ids of the passages of which any is right.
    """

    query: Query
    gold: frozenset[str]


def asked_about(kind: str, view: View, n: int) -> list[Asked]:
    """Return views of up to `n` validation pictures of a kind: the same for the same picture."""
    asked = []
    for example in spread(demo_examples(kind, per_picture=1), n):
        rng = np.random.default_rng(zlib.crc32(example.image.encode()))
        with Image.open(demo_dir() / example.image) as opened:
            picture = _on_white(view(opened.convert("RGBA"), rng))
        asked.append(Asked(Query(example.question, picture), frozenset(example.gold_passage_ids)))
    return asked


class Searches:
    """What is searched, by what is left out of it."""

    def __init__(self, pipeline: Pipeline) -> None:
        encoder, index = pipeline.encoder, pipeline.index
        self.passages = Finder(encoder, index)
        self.beside = None
        if pipeline.pictures is not None:
            self.beside = Finder(encoder, index, pictures=pipeline.pictures)
        nameless = replace(encoder.checkpoint, text_vision=None)
        self.nameless = Finder(Encoder(nameless), index)

    def __call__(self, queries: Sequence[Query]) -> dict[str, list[Retrieval]]:
        """Return what is found for each query, by column; "all" only where there are pictures."""
        k, encoded = max(RECALL_AT), self.passages.encode_many(queries)
        silent = [replace(question, alone=None) for question in encoded]
        found = {
            "passages": self.passages.search_many(encoded, k),
            "no own say": self.passages.search_many(silent, k),
            "no names": self.nameless.search_many(self.nameless.encode_many(queries), k),
        }
        if self.beside is None:
            return found
        # Beside pictures other parts may be looked at.
        return {"all": self.beside.search_many(self.beside.encode_many(queries), k), **found}


def recalls(found: Sequence[Retrieval], asked: Sequence[Asked]) -> dict[str, float]:
    """Return recall@k by name, of 0 to 1."""
    ids = [[hit.passage.id for hit in result.hits] for result in found]
    return {
        f"recall@{k}": sum(recall_at_k(i, a.gold, k) for i, a in zip(ids, asked, strict=True))
        / len(asked)
        for k in RECALL_AT
    }


def cell(figures: Mapping[str, float], n: int) -> str:
    """Return shares of n in percent, with the standard error of the first."""
    first, *_ = figures.values()
    error = 100 * math.sqrt(first * (1 - first) / n)
    return " / ".join(f"{100 * value:.1f}" for value in figures.values()) + f" ± {error:.1f}"


def report(
    measured: Mapping[str, Mapping[str, Mapping[str, float]]], counts: Mapping[str, int]
) -> str:
    """Return the figures as a Markdown table: a row a view, a column a finder."""
    columns = list(next(iter(measured.values())))
    rows = [
        (title, *(cell(by_finder[name], counts[title]) for name in columns), str(counts[title]))
        for title, by_finder in measured.items()
    ]
    return "\n".join(table(("views", *columns, "n"), rows)) + "\n"


def main(
    out: Annotated[Path, typer.Option(help="Directory of the results.")],
    photographs: Annotated[
        Path | None, typer.Option(help="Folder of photographs (.jpg) to stand before.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures of each kind.")] = 120,
) -> None:
    """Ask about every view, and write the table."""
    views: dict[str, tuple[str, View]] = {
        f"{kind}, {name}": (kind, view)
        for kind, chosen in (
            ("flag", {"flat": flat, "round": disc, "cut": window}),
            ("emoji", {"flat": flat, "cut": window}),
        )
        for name, view in (*chosen.items(), ("blurred", blurred), ("half hidden", hidden))
    }
    if photographs is not None:
        backgrounds = sorted(photographs.glob("*.jpg"))
        if not backgrounds:
            raise typer.BadParameter(f"{photographs} holds no .jpg: name a folder of photographs")
        for kind in ("flag", "emoji"):
            views[f"{kind}, before photographs"] = kind, before(backgrounds)
    out.mkdir(parents=True, exist_ok=True)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    counts = {}
    with progress() as (say, advance):
        pipeline = open_pipeline(load_settings(), say, answer=False)
        search = Searches(pipeline)
        for title, (kind, view) in views.items():
            say(title)
            asked = asked_about(kind, view, limit)
            found: dict[str, list[Retrieval]] = defaultdict(list)
            for start in range(0, len(asked), BATCH):
                for name, some in search([a.query for a in asked[start : start + BATCH]]).items():
                    found[name] += some
                advance(min(start + BATCH, len(asked)), len(asked))
            counts[title] = len(asked)
            measured[title] = {name: recalls(every, asked) for name, every in found.items()}
    record = {"checkpoint": pipeline.encoder.checkpoint.id, "n": counts, "recall": measured}
    (out / "views.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "views.md").write_text(report(measured, counts), encoding="utf-8")
    print(report(measured, counts))


def _corner(
    full: tuple[int, int], part: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Return where a part begins that lies anywhere in the full picture."""
    return int(rng.integers(full[0] - part[0] + 1)), int(rng.integers(full[1] - part[1] + 1))


def _on_white(picture: Image.Image) -> Image.Image:
    """Return a picture as RGB, transparent parts white, as uploads are read."""
    if picture.mode == "RGB":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


if __name__ == "__main__":
    typer.run(main)
