"""Which recipes a study compares, and what they are trained on: decided before the first one runs.

Cell     one recipe: towers, mapping layers, with or without the intermediate stage
Stages   how its stages are trained: `published` ones, or `planted` ones that take seconds
Sources  where the data are
Study    all of it, with the data in memory: `read_study`
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from app.errors import InvalidSettings
from app.training.retriever import Source, apart, read_set, read_validation
from corpus.demo.banners import MORE, PASSAGES, TRAINING, VALIDATION, write_banners
from retriever.training.contrastive.draw import Draws, TrainingSet
from retriever.training.recipes import (
    RetrieverRecipe,
    intermediate,
    m2kr,
    mapping,
    override,
    settings,
)
from retriever.training.study.towers import require_tower
from retriever.training.train import counts
from retriever.training.validation import Validation

_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True, slots=True)
class Cell:
    """One recipe of a grid.

    Attributes:
        vision: the vision tower, as `retriever.training.study.towers` names it.
        text: the text towers.
        mapping_layers: of the mapping transformer.
        intermediate: whether the intermediate stage is trained.
    """

    vision: str
    text: str
    mapping_layers: int
    intermediate: bool

    @property
    def start(self) -> str:
        """Return the folder's name of what cells with and without the stage have in common."""
        names = (_UNSAFE.sub("-", name.rstrip("/").split("/")[-1]) for name in self.towers)
        return f"{'+'.join(names)}+{self.mapping_layers}"

    @property
    def name(self) -> str:
        """Return the run's folder name."""
        return f"{self.start}-{'intermediate' if self.intermediate else 'direct'}"

    @property
    def towers(self) -> tuple[str, str]:
        """Return the names of both towers."""
        return self.vision, self.text

    def __str__(self) -> str:
        stage = "with" if self.intermediate else "without"
        layers = f"{self.mapping_layers} mapping layer{'s' * (self.mapping_layers != 1)}"
        return f"{self.vision}, {self.text}, {layers}, {stage} intermediate stage"


@dataclass(frozen=True, slots=True)
class Stages:
    """How the stages are trained, of every cell; losses are measured in batches as of `full`."""

    mapping: RetrieverRecipe
    intermediate: RetrieverRecipe
    full: RetrieverRecipe

    @property
    def record(self) -> dict[str, Any]:
        """Return all settings as plain data."""
        return {f.name: settings(getattr(self, f.name)) for f in fields(self)}

    def changed(self, assignments: Sequence[str]) -> "Stages":
        """Return stages with other settings.

        Args:
            assignments: "NAME=VALUE" for all stages, or "STAGE.NAME=VALUE" for one.

        Raises:
            ValueError: there is no such stage or setting, or no such value.
        """
        stages = {f.name: getattr(self, f.name) for f in fields(self)}
        for assignment in assignments:
            setting = assignment.partition("=")[0]
            stage, dot, _ = setting.partition(".")
            if dot and stage not in stages:
                raise ValueError(f"{assignment!r}: stages are {', '.join(stages)}")
            changed, change = (
                ((stage,), assignment[len(stage) + 1 :]) if dot else (stages, assignment)
            )
            stages |= {name: override(stages[name], [change]) for name in changed}
        return Stages(**stages)


def published() -> Stages:
    """Return PreFLMR's stages 1 to 3, as far as they are known."""
    return Stages(mapping(), intermediate(), m2kr())


def planted() -> Stages:
    """Return stages for banners and random towers, which take seconds on a CPU."""
    shared: dict[str, Any] = {
        "steps": 60,
        "batch": 16,
        "chunk": 0,
        "negatives": 1,
        "learning_rate": 1e-3,
        "mapping_learning_rate": 2e-3,
        "warmup": 10,
        "decay": "linear",
    }
    return Stages(
        replace(mapping(), **(shared | {"steps": 100})),
        replace(intermediate(), **shared),
        replace(m2kr(), **shared),
    )


PLANTED_VISION = ("random:32x2", "random:64x2")
PLANTED_TEXT = ("random:32x1",)
PLANTED_PREFIX = 4
PLANTED_NAME = "planted"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a study's data are.

    Attributes:
        full: of the mapping stage and the last one.
        intermediate: of the stage between them; None for none.
        validation: what is measured on.
    """

    full: tuple[Source, ...]
    intermediate: Source | None
    validation: Source


@dataclass(frozen=True, slots=True)
class Study:
    """What is run.

    Attributes:
        cells: the grid.
        stages: how each is trained.
        full: what the first and the last stage are trained on.
        intermediate: what the stage between them is; () where no cell has it.
        validation: what is measured on.
        prefix: tokens of the prefix MLP.
        seed: of first weights.
    """

    cells: tuple[Cell, ...]
    stages: Stages
    full: tuple[TrainingSet, ...]
    intermediate: tuple[TrainingSet, ...]
    validation: Validation
    prefix: int = 32
    seed: int = 0

    @property
    def record(self) -> dict[str, Any]:
        """Return what every figure depends on but the cells, as plain data."""
        return {
            "stages": self.stages.record,
            "data": {given.name: counts(given) for given in self.full},
            "intermediate_data": {given.name: counts(given) for given in self.intermediate},
            "validation": counts(self.validation),
            "prefix": self.prefix,
            "seed": self.seed,
        }


def cells_of(
    vision: Sequence[str], text: Sequence[str], layers: Sequence[int], *, with_stage: bool
) -> tuple[Cell, ...]:
    """Return every combination, each without the intermediate stage and, if so, with it.

    Raises:
        InvalidCheckpoint: there is no tower of some name.
        InvalidSettings: two towers would share a folder.
    """
    for name in dict.fromkeys(vision):
        require_tower("vision", name)
    for name in dict.fromkeys(text):
        require_tower("text", name)
    combined = product(dict.fromkeys(vision), dict.fromkeys(text), dict.fromkeys(layers))
    stages = (False, True) if with_stage else (False,)
    cells = [Cell(v, t, number, stage) for v, t, number in combined for stage in stages]
    by_name: dict[str, Cell] = {}
    for cell in cells:
        if (other := by_name.setdefault(cell.name, cell)) != cell:
            raise InvalidSettings(
                f"{other.towers} and {cell.towers} would share the folder {cell.start}: rename the "
                "directory of one"
            )
    return tuple(cells)


def planted_sources(folder: Path) -> Sources:
    """Return the banners' files, drawn where they are not there yet."""
    if not (folder / VALIDATION).exists():  # which is written last
        write_banners(folder)
    full, more, validation = (
        Source(str(folder / name), folder / PASSAGES) for name in (TRAINING, MORE, VALIDATION)
    )
    return Sources((full,), more, validation)


def read_study(
    cells: Sequence[Cell], stages: Stages, sources: Sources, root: Path, prefix: int, seed: int
) -> Study:
    """Return a study with its data in memory, checked for every stage.

    Args:
        cells: as `cells_of` returns them.
        stages: how each is trained.
        sources: of the data.
        root: the data directory, of benchmarks.
        prefix: tokens of the prefix MLP.
        seed: of first weights.

    Raises:
        CorpusError, UnknownBenchmark: data are missing or cannot be read.
        InvalidTrainingData: a stage could not be trained on its data, or not measured.
    """
    between = sources.intermediate
    study = Study(
        tuple(cells),
        stages,
        tuple(apart([read_set(source, root) for source in sources.full])),
        (read_set(between, root),) if between is not None else (),
        read_validation(sources.validation, root),
        prefix,
        seed,
    )
    Draws(study.full, stages.mapping)
    Draws(study.full, stages.full)
    if study.intermediate:
        Draws(study.intermediate, stages.intermediate)
    measured = TrainingSet("validation", study.validation.examples, study.validation.passages)
    Draws([measured], replace(stages.full, repeats={}))
    return study
