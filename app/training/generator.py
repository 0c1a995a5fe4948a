"""`kbvqa train generator`: a run, an index and a model in, adapters out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidSettings
from app.training.examples import read_run
from corpus.progress import Advance, Say
from generator.training.lora import Epoch, train
from generator.training.models import add_adapters, load_trainable, merge, weights_sha256
from generator.training.recipe import LoraRecipe, ReadExample
from retriever.index.passage_index import PassageIndex

MERGED_NAME = "merged"


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What came of it: the losses by epoch, and what of the runs was left out, by reason."""

    history: list[Epoch]
    left_out: dict[str, dict[str, int]]


def fine_tune(
    index: PassageIndex,
    run: Path,
    out: Path,
    recipe: LoraRecipe,
    name: str,
    validation: Path | None,
    images: Path | None,
    merged: bool,
    say: Say,
    advance: Advance,
) -> TrainingReport:
    """Return the losses of a training whose adapters are then in `out`.

    Args:
        index: what the runs searched.
        run: what `kbvqa evaluate run` wrote for the training questions.
        out: for adapters, record and checkpoint.
        recipe: the settings of the training.
        name: of the model: a directory or hub id.
        validation: another run, or None.
        images: the directory of the pictures; needed by a model that sees.
        merged: whether the merged model is written to "merged" under `out`.
        say: told what is going on.
        advance: told how many steps of how many are done.

    Raises:
        InvalidSettings: the parts do not fit together.
        TrainingMismatch: `out` holds another training.
        GeneratorUnavailable: the model cannot be loaded.
    """
    runs = {str(path): path for path in (run, validation) if path is not None}
    say("Reading questions and passages")
    read = {n: read_run(path, index, recipe.passages, images) for n, path in runs.items()}
    say("Loading the model")
    model, processor, sees = load_trainable(name)
    if sees and images is None:
        raise InvalidSettings(f"{name} sees pictures: give their directory with --images")
    if images is not None and not sees:
        raise InvalidSettings(f"{name} sees no pictures: leave --images out")
    origin = {
        "model": name,
        "weights_sha256": weights_sha256(model),
        "runs": {n: _counts(found.examples) for n, found in read.items()},
    }
    try:
        adapted = add_adapters(model, recipe)
    except ValueError as exc:
        raise InvalidSettings(f"targets={','.join(recipe.targets)}: {exc}") from exc
    say("Training")
    history = train(
        adapted,
        processor,
        read[str(run)].examples,
        recipe,
        out,
        read[str(validation)].examples if validation else (),
        origin=origin,
        advance=advance,
    )
    if merged:
        say("Merging")
        _merge(name, out)
    return TrainingReport(history, {n: found.left_out for n, found in read.items()})


def _counts(examples: Sequence[ReadExample]) -> dict[str, Any]:
    """Return how many examples there are, and a hash by which others are known, for the record.

    A picture is known by its file's name, as its folder may be moved. Scores are left out: their
    last digits depend on the processor.
    """
    digest = hashlib.sha256()
    for example in examples:
        picture = example.image and example.image.name
        asked = example.question, example.answers, example.searched, picture, example.caption
        digest.update(repr((asked, example.passages)).encode())
    return {"examples": len(examples), "sha256": digest.hexdigest()[:16]}


def _merge(name: str, out: Path) -> None:
    from accelerate import PartialState

    if PartialState().is_main_process:
        merge(name, out, out / MERGED_NAME)
