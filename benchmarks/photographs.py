"""Photographs of ImageNet's classes, asked what they show: is the passage about it found?

python -m benchmarks.photographs FOLDER

FOLDER has one photograph a class, whose names (.JPEG, .jpg or .png) are in the order of the
classes, as github.com/EliSchwartz/imagenet-sample-images has them. They are asked "What is this?"
of the index, the checkpoint and the pictures of entities that the settings name.

    by its own name    classes of which a passage has one of the names for its title
    by its kind        the others whose kind has: at most 24 of each, as a tenth are dogs

Recall@1 and recall@5 in percent, with the standard error of the first, of both and of the second
half of each, in an order by chance (docs/measured/photographs.md: the first has chosen something).
"""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from app.commands.console import progress
from app.components import open_pipeline
from app.evaluation.tables import table
from app.flow.retrieval import Finder
from app.settings import load_settings
from benchmarks.views import BATCH, RECALL_AT, cell
from corpus.pictures.images import load_image
from corpus.types import WHAT_IS_THIS, Query
from retriever.encoding.ahead import windows
from retriever.inputs.text_vision import imagenet_kinds, imagenet_synonyms
from retriever.metrics import recall_at_k

OF_A_KIND = 24
_ENDINGS = (".jpeg", ".jpg", ".png")


class Photograph(NamedTuple):
    """A photograph, and the titles of which any is right, in small letters."""

    path: Path
    right: frozenset[str]


def photographs(folder: Path, titles: Collection[str]) -> tuple[list[Photograph], list[Photograph]]:
    """Return the photographs of classes that passages are about, by own name and by kind.

    Args:
        folder: one a class.
        titles: of passages, in small letters.

    Raises:
        typer.BadParameter: the folder has others than a thousand photographs.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    if len(paths) != len(imagenet_synonyms()):
        raise typer.BadParameter(
            f"{folder} has {len(paths)} photographs (.JPEG, .jpg, .png): one of each of ImageNet's "
            f"{len(imagenet_synonyms())} classes is wanted, in their order by name"
        )
    own: list[Photograph] = []
    others: list[Photograph] = []
    for class_id, path in enumerate(paths):
        named = frozenset(n.lower() for n in imagenet_synonyms()[class_id]) & frozenset(titles)
        if named:
            own.append(Photograph(path, named))
        elif (kind := imagenet_kinds().get(class_id, "")) in titles:
            others.append(Photograph(path, frozenset({kind})))
    draw = random.Random(0)
    counted = Counter(each.right for each in others)
    some = [each for each in others if counted[each.right] <= OF_A_KIND]
    for right, count in counted.items():
        if count > OF_A_KIND:
            some += draw.sample([each for each in others if each.right == right], OF_A_KIND)
    draw.shuffle(own)
    draw.shuffle(some)
    return own, some


def recalls(finder: Finder, asked: Sequence[Photograph]) -> Iterator[dict[str, float]]:
    """Yield recall@k of 0 to 1 by name, of each photograph."""
    for some in windows(asked, BATCH):
        queries = [Query(WHAT_IS_THIS, load_image(each.path)) for each in some]
        found = finder.search_many(finder.encode_many(queries), max(RECALL_AT))
        for each, result in zip(some, found, strict=True):
            titles = [hit.passage.title.lower() for hit in result.hits]
            yield {f"recall@{k}": recall_at_k(titles, each.right, k) for k in RECALL_AT}


def main(folder: Path) -> None:
    """Ask about every photograph, and print the table."""
    rows = []
    with progress() as (say, advance):
        pipeline = open_pipeline(load_settings(), say, answer=False)
        assert pipeline.index is not None
        finder = Finder(pipeline.encoder, pipeline.index, pictures=pipeline.pictures)
        titles = {passage.title.lower() for passage in pipeline.index.sample(pipeline.index.count)}
        sets = zip(("by its own name", "by its kind"), photographs(folder, titles), strict=True)
        for name, asked in sets:
            say(name)
            figures = []
            for figure in recalls(finder, asked):
                figures.append(figure)
                advance(len(figures), len(asked))
            half = figures[len(figures) // 2 :]
            for title, part in ((name, figures), (f"{name}, second half", half)):
                means = {k: sum(f[k] for f in part) / len(part) for k in part[0]}
                rows.append((title, cell(means, len(part)), str(len(part))))
    print("\n".join(table(("photographs", "recall@1 / recall@5", "n"), rows)))


if __name__ == "__main__":
    typer.run(main)
