"""What each part of kbvqa-mini's recipe is worth: trained anew without it, or asked without it.

python -m benchmarks.ablations --out runs/ablations         some eighty minutes of one core

Six trainings by one small recipe, the same but for what is left out or changed, on views that are
encoded once for each number of patches; then pictures of flags and things by the validation vendor,
with a question each, of all passages. Each model takes what the frozen towers made of passages and
drawings as it is kept: only what was trained on top of it differs. The picture by itself has no
say: it would be a second search (what it is worth: benchmarks.views). The same command goes on
where an interrupted one stopped.

Recall@1 and recall@5 in percent, with the standard error of the first, into ablations.md; beside
each the difference at 1 from the full recipe, over the same questions. They are development
figures: the vendor of these pictures served to choose the recipe.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from app.commands.console import progress
from app.evaluation.tables import table
from app.flow.retrieval import Finder
from benchmarks.views import BATCH, Asked, asked_about, flat
from corpus.demo.data import demo_images, demo_passages_path
from corpus.files.passages import read_passages
from corpus.progress import Advance, Say
from corpus.types import Hit, Passage
from retriever.checkpoint.identity import checkpoint_revision
from retriever.checkpoint.loading import Checkpoint
from retriever.checkpoint.mini import IMAGE_PROCESSOR, TRAINED_NAME
from retriever.encoding.encoder import Encoder
from retriever.encoding.passages import Embedding, OnCut
from retriever.index.passage_index import PassageIndex
from retriever.metrics import mean_and_stderr
from retriever.pictures import fusing
from retriever.pictures.collection import PictureCollection
from retriever.pictures.parts import compact
from retriever.training.demo.cache import PassageStates, Views, encode_passages, encode_views
from retriever.training.demo.mini import MiniRecipe, train
from retriever.training.demo.sampling import BatchShape
from retriever.training.demo.weights import TEXT_VISION, Network, new_model

# A tenth of the shipped recipe's steps, of half as many questions and passages each.
FULL = MiniRecipe(
    entity_steps=100,
    steps=45,
    things_steps=22,
    entity_pictures=64,
    views=3,
    threads=1,
    warmup_steps=5,
    batch=BatchShape(flags=6, sections=5, things=22, named=12, other_sections=2, other_passages=12),
    things_batch=BatchShape(
        flags=3, sections=3, things=48, named=16, other_sections=1, other_passages=65
    ),
)
DEPTH = 5

# The rank of the first right passage of each question, from 1; 0 where none is among DEPTH.
Ranks = Mapping[str, Sequence[int]]


def at_random(shape: BatchShape) -> BatchShape:
    """Return a batch of as many questions and passages, none of a section beside its like."""
    return replace(
        shape,
        flags=shape.flags * shape.sections,
        sections=1,
        other_sections=0,
        other_passages=shape.other_passages + shape.flags * shape.other_sections,
    )


TRAINED = {
    "nothing": FULL,
    "the mapping transformer": replace(FULL, network=Network(mapping_transformer=False)),
    "hard negatives": replace(
        FULL, batch=at_random(FULL.batch), things_batch=at_random(FULL.things_batch)
    ),
    "stage 1": replace(FULL, entity_steps=0),
    "7 x 7 patches for 4 x 4": replace(FULL, network=Network(grid=7)),
    "16 prefix rows for 8": replace(FULL, network=Network(prefix_rows=16)),
}


class KeptEncoder(Encoder):
    """An encoder of the demo's passages that begins at what the frozen tower made of them.

    Args:
        checkpoint: with kbvqa-mini's towers.
        states: of `passages`, in their order.
        passages: the demo's.
    """

    def __init__(
        self, checkpoint: Checkpoint, states: PassageStates, passages: Sequence[Passage]
    ) -> None:
        super().__init__(checkpoint)
        self._states = states
        self._place = {passage.id: place for place, passage in enumerate(passages)}

    def encode_corpus(
        self, passages: Iterable[Passage], on_cut: OnCut | None = None
    ) -> Iterator[tuple[list[Passage], list[Embedding]]]:
        """Yield each passage with its embedding [P, D]; what is too long was cut before."""
        for passage in passages:
            yield [passage], [self._embedding(self._place[passage.id])]

    @torch.inference_mode()
    def _embedding(self, place: int) -> Embedding:
        tokens = slice(*self._states.offsets[place : place + 2].tolist())
        ids_1P = self._states.token_ids[None, tokens]
        rows_1PD, mask_1P = self.model.embed_passage(
            ids_1P, self._states.hidden[tokens].float()[None]
        )
        embedding: Embedding = rows_1PD[0][mask_1P[0]].numpy()
        return embedding


def trained_checkpoint(weights: Path, recipe: MiniRecipe) -> Checkpoint:
    """Return what a training wrote, on the towers that it was trained on."""
    model = new_model(recipe.seed, weights, recipe.network).eval()
    return Checkpoint(
        name=weights.parent.name,
        revision=checkpoint_revision(model, IMAGE_PROCESSOR, TEXT_VISION),
        model=model,
        image_processor=IMAGE_PROCESSOR,
        text_vision=TEXT_VISION,
    )


@torch.inference_mode()
def drawings(checkpoint: Checkpoint, views: Views) -> PictureCollection:
    """Return the collection of the training drawings, from what the frozen tower made of them."""
    images = demo_images()
    drawn = [place for place, image in enumerate(images) if image.split == "train"]
    tower = checkpoint.model.query_vision_encoder
    features = tower.neck(torch.from_numpy(views.grids[0][drawn]).float())
    names = [(images[place].image, images[place].entity) for place in drawn]
    vectors = compact(tower.likeness(features).numpy())
    return PictureCollection.of(checkpoint.revision, names, vectors)


def ranks(
    finder: Finder,
    asked: Sequence[Asked],
    advance: Advance,
    pictures: PictureCollection | None = None,
) -> tuple[list[int], list[int]]:
    """Return of each question the rank of the first right passage: of passages alone, and beside
    pictures, by one search for both; [] where there are none.
    """
    alone: list[int] = []
    beside: list[int] = []
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        encoded = finder.encode_many([a.query for a in some])
        results = finder.search_many(encoded, fusing.DEPTH)
        for question, result, a in zip(encoded, results, some, strict=True):
            alone.append(_rank(result.hits, a))
            seen = question.asked.picture_V
            if pictures is not None and seen is not None:
                entities = {hit.passage.entity for hit in result.hits}
                [similar] = pictures.search([seen], 1, [entities])
                alike = {found.entity: found.similarity for found in similar}
                beside.append(_rank(fusing.fused(result.hits, alike, pictures.fusion), a))
        advance(len(alone), len(asked))
    return alone, beside


def _rank(hits: Sequence[Hit], asked: Asked) -> int:
    right = (rank for rank, hit in enumerate(hits[:DEPTH], 1) if hit.passage.id in asked.gold)
    return next(right, 0)


def measured(
    checkpoint: Checkpoint,
    states: PassageStates,
    views: Views,
    questions: Mapping[str, Sequence[Asked]],
    index_at: Path,
    say: Say,
    advance: Advance,
    *,
    parts: bool,
) -> dict[str, Ranks]:
    """Return the ranks by what is left out where it is asked ("" for nothing), by column.

    Args:
        checkpoint: is asked.
        states: of the demo's passages.
        views: of the demo's pictures.
        questions: by what their pictures show.
        index_at: where an index is made; removed afterwards.
        say: told what is asked.
        advance: told how far it is.
        parts: whether it is asked without its parts, too.
    """
    passages = list(read_passages(demo_passages_path()))
    encoder = KeptEncoder(checkpoint, states, passages)
    say("Building the index")
    found: dict[str, dict[str, list[int]]] = {}
    with PassageIndex.build(index_at, passages, encoder) as index:
        finders = {"": Finder(encoder, index)}
        if parts:
            nameless = replace(checkpoint, text_vision=None)
            finders["the classifier's names"] = Finder(Encoder(nameless), index)
        pictures = drawings(checkpoint, views)
        for kind, asked in questions.items():
            for left_out, finder in finders.items():
                say(f"{kind}, without {left_out or 'anything left out'}")
                alone, beside = ranks(finder, asked, advance, pictures)
                own = found.setdefault(left_out, {})
                own[kind], own[f"{kind}, beside drawings"] = alone, beside
            if parts:
                say(f"{kind}, question only")
                blind = [Asked(replace(a.query, image=None), a.gold) for a in asked]
                found.setdefault("the picture", {})[kind], _ = ranks(finders[""], blind, advance)
    shutil.rmtree(index_at)
    return dict(found)


def report(found: Mapping[str, Ranks]) -> str:
    """Return the ranks as a Markdown table: a row a recipe, the full one first."""
    full = found["nothing"]
    rows = [
        (left_out, *(_cell(by_column.get(column), full[column]) for column in full))
        for left_out, by_column in found.items()
    ]
    n = " and ".join(f"{len(full[column])} {column}" for column in full if "," not in column)
    lines = table(("left out, or changed", *full), rows)
    return "\n".join(lines) + f"\nn: {n}.\n"


def _cell(ranks: Sequence[int] | None, full: Sequence[int]) -> str:
    """Return recall@1 / recall@5 ± the first one's error, and what it is above the full recipe."""
    if ranks is None:
        return "-"
    first, error = mean_and_stderr([float(rank == 1) for rank in ranks])
    within = sum(rank > 0 for rank in ranks) / len(ranks)
    cell = f"{100 * first:.1f} / {100 * within:.1f} ± {100 * error:.1f}"
    if ranks == full:
        return cell
    both = zip(ranks, full, strict=True)
    more, error = mean_and_stderr([float(a == 1) - float(b == 1) for a, b in both])
    return f"{cell} ({100 * more:+.1f} ± {100 * error:.1f})"


def main(
    out: Annotated[Path, typer.Option(help="Directory of the results.")],
    limit: Annotated[int, typer.Option(min=2, help="Pictures of each kind that are asked.")] = 120,
) -> None:
    """Train by each recipe, ask what came of it, and write the table."""
    torch.set_num_threads(1)
    features = out / "features"
    found: dict[str, Ranks] = {}
    passages, images = list(read_passages(demo_passages_path())), demo_images()
    with progress() as (say, advance):
        for left_out, recipe in TRAINED.items():
            say(f"Left out or changed: {left_out}")
            folder = out / left_out.replace(" ", "-")
            path = folder / f"ranks-{limit}.json"
            if not (folder / TRAINED_NAME).exists():
                train(recipe, folder, say, advance, features=features)
            if not path.exists():
                checkpoint = trained_checkpoint(folder / TRAINED_NAME, recipe)
                kept = (
                    encode_passages(passages, features / "passages.pt", advance),
                    encode_views(
                        images, recipe.views, recipe.seed, features, 1, advance, recipe.network.grid
                    ),
                )
                questions = {
                    "flags": asked_about("flag", flat, limit),
                    "emoji": asked_about("emoji", flat, limit),
                }
                made = measured(
                    checkpoint, *kept, questions, folder / "index", say, advance,
                    parts=recipe is FULL,
                )  # fmt: skip
                path.write_text(json.dumps(made) + "\n", encoding="utf-8")
            by_part = json.loads(path.read_text(encoding="utf-8"))
            found[left_out] = by_part.pop("")
            found |= by_part
            (out / "ablations.md").write_text(report(found), encoding="utf-8")
    print(report(found))


if __name__ == "__main__":
    typer.run(main)
