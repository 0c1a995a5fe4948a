"""Training a retriever by a recipe: a checkpoint and examples in, a better checkpoint out.

    OUT/model/           the checkpoint that found most, with its model card
    OUT/training.json    recipe, data, log
    OUT/log.csv, curve.png, tensorboard/
    OUT/checkpoint.pt    to go on from
    OUT/features/        what frozen towers say
    OUT/lock             held by who trains there

Under `accelerate launch` the processes share each batch; the result is that of one process, but for
rounding and for dropout where `chunk` does not divide a process's share.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import torch
from safetensors import SafetensorError

from corpus.files.alone import lock
from corpus.files.passages import passage_line
from corpus.progress import Advance, Say
from retriever.checkpoint.loading import Checkpoint, load_checkpoint, save_checkpoint
from retriever.errors import InvalidTrainingData, TrainingStopped
from retriever.model.config import FLMRConfig
from retriever.model.flmr import FLMR
from retriever.training.card import write_card
from retriever.training.contrastive.draw import Drawn, Draws, TrainingSet
from retriever.training.contrastive.gradients import Embedded, add_up, backward
from retriever.training.contrastive.towers import (
    Towers,
    freeze,
    modules_of,
    recompute_layers,
    trained_names,
)
from retriever.training.loop.loop import Group, Look, Loop, Schedule
from retriever.training.loop.state import Row, undamaged
from retriever.training.recipes import Part, RetrieverRecipe, settings
from retriever.training.validation import Validation, measure

if TYPE_CHECKING:
    from accelerate import Accelerator

MODEL_NAME, CANDIDATE_NAME, INDEX_NAME = "model", "candidate", "validation-index"
NEGATIVES = "negatives-{}.json"
FEATURES_NAME, LOCK_NAME = "features", "lock"
_WAIT = timedelta(hours=12)  # for the first process, while it validates

# Gives other negatives, by the example's id, after so many steps, with the checkpoint of then.
Refresh = Callable[[int, Checkpoint], Mapping[str, tuple[str, ...]]]


class PartSize(NamedTuple):
    """A part of a checkpoint: its name, its parameters, and whether a recipe trains it."""

    part: str
    parameters: int
    trained: bool


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training.

    Attributes:
        model: the directory of the checkpoint.
        rows: the log.
        steps: that were taken.
    """

    model: Path
    rows: list[Row]
    steps: int


def train(
    checkpoint: Checkpoint,
    sets: Sequence[TrainingSet],
    recipe: RetrieverRecipe,
    out: Path,
    *,
    validation: Validation | None = None,
    refresh: Refresh | None = None,
    features: Path | None = None,
    keep_features: bool = True,
    origin: Mapping[str, Any] | None = None,
    say: Say = lambda message: None,
    advance: Advance = lambda done, total: None,
) -> Trained:
    """Train a checkpoint; the same call goes on where an interrupted one stopped.

    Args:
        checkpoint: to begin with; its model is changed.
        sets: what is trained on.
        recipe: the settings.
        out: a directory; made if missing.
        validation: decides which checkpoint is kept; None keeps the last one.
        refresh: asked for other negatives after each look at validation.
        features: where what frozen towers say is kept; None for a folder in `out`.
        keep_features: whether it is kept at all; else frozen towers run in every step.
        origin: more about where all this is from, for the record and the model card.
        say: told what is going on.
        advance: told how many steps are done, and of how many at most.

    Raises:
        InvalidTrainingData: the sets cannot be trained on so.
        TrainingMismatch: `out` holds another training.
        TrainingStopped: it cannot go on, or another process trains there; what was done is kept.
        InvalidImage: a picture cannot be used; what was done is kept.
    """
    kept_at = (features or out / FEATURES_NAME) if keep_features else None
    shared = processes()
    with alone(out) if shared.is_main_process else nullcontext():
        training = _Training(
            shared, checkpoint, sets, recipe, out, validation, refresh, kept_at, origin or {}
        )
        say("Training")
        return training.run(say, advance)


def part_sizes(model: FLMR, recipe: RetrieverRecipe) -> list[PartSize]:
    """Return the parts that a model has, and what a recipe does with them."""
    names = trained_names(model, recipe)
    trained = {id(p) for name, p in model.named_parameters() if name in names}
    sizes = []
    for part in get_args(Part):
        parameters = [p for module in modules_of(model, part) for p in module.parameters()]
        moving = sum(p.numel() for p in parameters if id(p) in trained)
        if parameters:
            count = moving or sum(p.numel() for p in parameters)
            sizes.append(PartSize(part, count, bool(moving)))
    return sizes


def processes() -> "Accelerator":
    """Return the processes that share the work: one, or those of `accelerate launch`."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=_WAIT)])


class _Training:
    """A checkpoint in training: its towers, its draws, its loop and its files."""

    def __init__(
        self,
        shared: "Accelerator",
        checkpoint: Checkpoint,
        sets: Sequence[TrainingSet],
        recipe: RetrieverRecipe,
        out: Path,
        validation: Validation | None,
        refresh: Refresh | None,
        features: Path | None,
        origin: Mapping[str, Any],
    ) -> None:
        self._shared = shared
        if recipe.batch % self._shared.num_processes:
            raise InvalidTrainingData(
                f"a batch of {recipe.batch} cannot be shared among {self._shared.num_processes} "
                "processes: give a multiple with --set batch=N"
            )
        self._checkpoint, self._sets, self._recipe, self._out = checkpoint, sets, recipe, out
        self._validation, self._refresh = validation, refresh
        self._draws = Draws(sets, recipe)
        self._record = {
            "recipe": settings(recipe),
            "checkpoint": checkpoint.id,
            "data": {given.name: counts(given) for given in sets},
            "validation": counts(validation) if validation is not None else None,
            **origin,
        }
        checkpoint.model.to(self._shared.device)
        trained = freeze(checkpoint.model, recipe)
        if not trained:
            raise InvalidTrainingData(
                f"{checkpoint.name} has nothing of what recipe {recipe.name!r} trains: "
                f"{', '.join(recipe.trains)}"
            )
        if recipe.recompute:
            recompute_layers(checkpoint.model)
        self._towers = Towers(checkpoint, recipe, self._shared.device, features)
        schedule = Schedule(
            steps=recipe.steps,
            warmup=recipe.warmup,
            decay=recipe.decay,
            weight_decay=recipe.weight_decay,
            clip=recipe.clip,
            look_every=recipe.evaluate_every,
            patience=recipe.patience,
        )
        self._loop = Loop(_groups(trained, recipe), schedule, out, self._record, self._shared)
        self._parameters = list(trained.values())
        self._use_negatives(self._loop.state.step)

    def run(self, say: Say, advance: Advance) -> Trained:
        if not (self._out / CANDIDATE_NAME).exists():  # it is about to take the kept one's place
            self._require_kept()
        look = None
        if self._validation is not None:
            look = Look(partial(self._figures, say), self._keep)
        rows = self._loop.run(self._gradients, look, advance)
        if self._shared.is_main_process:
            if self._validation is None:
                self._export(self._out / MODEL_NAME)
            self._require_kept()
            with _writing(self._out / MODEL_NAME):
                write_card(self._out / MODEL_NAME, self._record, rows)
            shutil.rmtree(self._out / CANDIDATE_NAME, ignore_errors=True)
        self._shared.wait_for_everyone()
        return Trained(self._out / MODEL_NAME, rows, self._loop.state.step)

    def _require_kept(self) -> None:
        """Raise TrainingStopped where the checkpoint that was kept is gone."""
        model = self._out / MODEL_NAME
        if self._loop.state.looked >= 0 and not model.exists():
            raise TrainingStopped(
                f"{model} is gone, and nothing else has the weights that found most: put it back, "
                f"or begin anew: remove {self._out}, or give another --out"
            )

    def _gradients(self, step: int) -> dict[str, float]:
        recipe = self._recipe
        losses = []
        for part in range(recipe.accumulate):
            number = step * recipe.accumulate + part
            losses.append(
                backward(
                    self._draws.batch(number),
                    self._embed,
                    self._shared,
                    chunk=recipe.chunk,
                    weight=1 / recipe.accumulate,
                    seed=f"{recipe.seed}/{number}",
                )
            )
        add_up(self._parameters, self._shared)
        return {"loss": float(torch.stack(losses).sum())}

    def _embed(self, drawn: Sequence[Drawn]) -> Embedded:
        device = self._shared.device.type
        half = self._recipe.bfloat16 and device == "cuda" and torch.cuda.is_bf16_supported()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            queries = self._towers.queries([one.example for one in drawn])
            passages = [passage for one in drawn for passage in one.passages]
            return Embedded(queries, *self._towers.passages(passages))

    def _figures(self, say: Say, step: int) -> Row:
        """Return validation's recall, the same in every process, and renew the negatives."""
        assert self._validation is not None
        ks = sorted({1, self._recipe.recall_at, 10})
        first = ks.index(self._recipe.recall_at)
        values = torch.zeros(2 * len(ks), device=self._shared.device)
        if self._shared.is_main_process:
            say(f"Validation after step {step:,}")
            candidate = self._out / CANDIDATE_NAME
            self._export(candidate)
            loaded = load_checkpoint(candidate)
            loaded.model.config = _scored(loaded.model.config, self._recipe)
            found = measure(loaded, self._validation, ks, self._out / INDEX_NAME)
            values += torch.tensor(
                [*(recall.value for recall in found), *(recall.stderr for recall in found)]
            ).to(values)
            self._renew_negatives(step, loaded)
            say("Training")
        shared = [round(value, 6) for value in self._shared.reduce(values, "sum").tolist()]
        self._use_negatives(step)
        row = {f"recall@{k}": shared[i] for i, k in enumerate(ks)}
        names = [f"recall@{ks[first]}", *row]  # the one that decides stands first
        row = {name: row[name] for name in names}
        return {**row, "stderr": shared[len(ks) + first]}

    def _keep(self) -> None:
        """Let the checkpoint that was just measured be the one that is kept."""
        if self._shared.is_main_process:
            model = self._out / MODEL_NAME
            if model.exists():
                shutil.rmtree(model)
            (self._out / CANDIDATE_NAME).rename(model)

    def _export(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        # A threshold was fitted for other weights.
        uncalibrated = replace(self._checkpoint, unsure_below=None, picture_weight=0.0)
        with _writing(directory):
            save_checkpoint(uncalibrated, directory)

    def _renew_negatives(self, step: int, checkpoint: Checkpoint) -> None:
        path = self._out / NEGATIVES.format(step)
        if self._refresh is not None and step < self._recipe.steps and not path.exists():
            negatives = dict(self._refresh(step, checkpoint))
            partial_path = path.with_suffix(".partial")
            with _writing(path):
                partial_path.write_text(json.dumps(negatives), encoding="utf-8")
                partial_path.replace(path)

    def _use_negatives(self, step: int) -> None:
        """Take the negatives of the last look before or at a step, as an undisturbed run would."""
        if self._refresh is None:
            return
        steps = range(0, step + 1, self._recipe.evaluate_every)
        there = [p for s in steps if (p := self._out / NEGATIVES.format(s)).exists()]
        if there:
            remedy = f"put back a copy of it, or begin anew with another --out than {self._out}"
            with undamaged(there[-1], remedy):
                found = json.loads(there[-1].read_text(encoding="utf-8"))
                self._draws.refresh({id_: tuple(ids) for id_, ids in found.items()})


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Let no other process train in a directory meanwhile."""
    path = out / LOCK_NAME
    with _writing(path):
        out.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    with file:
        with _writing(path):
            free = lock(file)
        if not free:
            raise TrainingStopped(
                f"another process is training in {out}: wait for it, or give another --out"
            )
        yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what a full disk raises into TrainingStopped; the loop's checkpoint is whole."""
    try:
        yield
    except (OSError, SafetensorError) as exc:
        raise TrainingStopped(
            f"{path} cannot be written ({exc}): make room, and give the same command again"
        ) from exc


def _groups(trained: Mapping[str, torch.nn.Parameter], recipe: RetrieverRecipe) -> list[Group]:
    """Return the parameters with their rates: the mapping network has its own."""
    mapping = {
        name: parameter
        for name, parameter in trained.items()
        if name.startswith(("query_vision_projection.", "transformer_mapping_"))
    }
    others = {name: parameter for name, parameter in trained.items() if name not in mapping}
    return [Group(others, recipe.learning_rate), Group(mapping, recipe.mapping_learning_rate)]


def counts(given: TrainingSet | Validation) -> dict[str, Any]:
    """Return how much there is, and a hash by which other data are known, for records.

    A picture is known by its file's place among the others: their folder may be moved, and one
    that is broken may be mended, and the training still goes on.
    """
    digest = hashlib.sha256()
    folders = [example.image.absolute().parent for example in given.examples if example.image]
    root = os.path.commonpath(folders) if folders else ""
    for example in given.examples:
        picture = example.image and example.image.absolute().relative_to(root).as_posix()
        asked = example.id, example.question, example.instruction, picture, example.black_image
        taught = example.positives, example.negatives, example.answers
        digest.update(repr((asked, taught)).encode())
    for passage in given.passages.values():
        digest.update(passage_line(passage))
    return {
        "examples": len(given.examples),
        "passages": len(given.passages),
        "sha256": digest.hexdigest()[:16],
    }


def _scored(config: FLMRConfig, recipe: RetrieverRecipe) -> FLMRConfig:
    """Return the config with which a checkpoint scores the rows that are trained."""
    if recipe.rows == "visual":
        return replace(config, query_concat_output_from_text_encoder=False)
    if recipe.rows == "text":
        return replace(config, query_concat_output_from_vision_encoder=False)
    return config
