"""A study from its first run to its tables; the same call goes on where it was stopped.

    OUT/study.json               what all runs depend on but the cells
    OUT/starts/START/            checkpoint/, towers.json with the names it was made of, and what
                                 the mapping stage made of it in mapping/
    OUT/runs/RUN/                intermediate/, full/, and outcome.json as soon as it has figures
    OUT/features/                what frozen towers say
    OUT/results.json, table.md, study.png

Runs with and without the intermediate stage begin with the same checkpoint and share the mapping
stage. A finished run is not run again, one that was interrupted goes on by the loop's checkpoint,
and one that failed is tried again.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from app.evaluation.files.json_rows import from_json
from app.evaluation.files.resumable import write_json
from app.evaluation.provenance import Stopwatch
from app.training.study.grid import Cell, Study
from app.training.study.outcome import Outcome, Share, write_results
from app.training.study.plot import draw_study
from corpus.errors import KbvqaError
from corpus.progress import Advance, Say
from retriever.checkpoint.loading import Checkpoint, load_checkpoint, save_checkpoint
from retriever.errors import InvalidTrainingData, TrainingMismatch
from retriever.metrics import mean_and_stderr, pseudo_recall_at_k, recall_at_k
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.contrastive.towers import trained_names
from retriever.training.loop.state import undamaged
from retriever.training.recipes import RetrieverRecipe
from retriever.training.study.loss import validation_losses
from retriever.training.study.towers import new_checkpoint
from retriever.training.train import FEATURES_NAME, INDEX_NAME, alone, processes, train
from retriever.training.validation import search_all

STUDY_NAME, OUTCOME_NAME, PLOT_NAME = "study.json", "outcome.json", "study.png"
TOWERS_NAME = "towers.json"
KS = (1, 5, 10)

# What ends one run and not the study: data, disk, memory of a GPU. A bug ends both.
_OF_ONE_RUN = (KbvqaError, OSError, RuntimeError)

log = logging.getLogger(__name__)


def run_study(
    study: Study,
    out: Path,
    say: Say,
    advance: Advance,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Return what came of all runs that the directory has, earlier cells' among them.

    Args:
        study: as `grid.read_study` returns it.
        out: a directory; made if missing.
        say: told what is being done.
        advance: told how far that is.
        tell: told what came of each of the study's cells, in their order.

    Raises:
        TrainingMismatch: `out` holds a study on other data or by other stages, or other towers
            whose folder has the name of one of these.
        TrainingStopped: another process works there.
    """
    if processes().num_processes > 1:
        raise InvalidTrainingData(
            "a study is run by one process: start it without `accelerate launch`"
        )
    with alone(out):
        _refuse_other(out, study)
        for cell in study.cells:
            _refuse_other_towers(out, cell)
        for number, cell in enumerate(study.cells, start=1):
            outcome = _earlier(out, cell)
            if outcome is None or outcome.failed:
                title = f"Run {number} of {len(study.cells)}, {cell}"
                outcome = _Run(study, cell, out, title, say, advance)()
                write_json(out / "runs" / cell.name / OUTCOME_NAME, asdict(outcome))
            tell(outcome)
        outcomes = _all(out)
        write_results(out, outcomes, study.record)
        draw_study(outcomes, out / PLOT_NAME)
    return outcomes


class _Run:
    """One run of a study."""

    def __init__(
        self, study: Study, cell: Cell, out: Path, title: str, say: Say, advance: Advance
    ) -> None:
        self._study, self._cell, self._out = study, cell, out
        self._title, self._tell, self._advance = title, say, advance

    def __call__(self) -> Outcome:
        """Return what came of it, figures or why there are none."""
        folder = self._out / "runs" / self._cell.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._outcome(folder)
        except _OF_ONE_RUN as exc:
            if not isinstance(exc, KbvqaError):
                log.warning("%s failed", self._cell, exc_info=exc)
            return Outcome(self._cell, failed=str(exc) or type(exc).__name__)

    def _outcome(self, folder: Path) -> Outcome:
        watch = Stopwatch({})
        study, stages = self._study, self._study.stages
        start = self._out / "starts" / self._cell.start
        model = self._first(start / "checkpoint")
        model = self._train(stages.mapping, model, study.full, start / "mapping")
        recipes = [stages.mapping, stages.full]
        if self._cell.intermediate:
            recipes.append(stages.intermediate)
            data = study.intermediate
            model = self._train(stages.intermediate, model, data, folder / "intermediate")
        model = self._train(stages.full, model, study.full, folder / "full")
        loaded = load_checkpoint(model)
        parameters = dict(loaded.model.named_parameters())
        trained = {name for recipe in recipes for name in trained_names(loaded.model, recipe)}
        self._say("validation loss")
        losses = validation_losses(loaded, study.validation, stages.full, self._advance)
        self._say("recall")
        recall, pseudo_recall = self._found(load_checkpoint(model), folder / INDEX_NAME)
        return Outcome(
            self._cell,
            checkpoint=loaded.id,
            parameters=sum(p.numel() for p in parameters.values()),
            trained=sum(parameters[name].numel() for name in trained),
            recall=recall,
            pseudo_recall=pseudo_recall,
            losses=losses,
            provenance=watch.record(1),
        )

    def _say(self, what: str) -> None:
        self._tell(f"{self._title}: {what}")

    def _first(self, directory: Path) -> Path:
        """Return the checkpoint that the run begins with, made where it is not there yet."""
        if not directory.exists():
            self._say("first weights")
            cell, study = self._cell, self._study
            made = new_checkpoint(
                cell.start, *cell.towers, cell.mapping_layers, prefix=study.prefix, seed=study.seed
            )
            partial = directory.with_name(f"{directory.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            save_checkpoint(made, partial)
            write_json(directory.with_name(TOWERS_NAME), cell.towers)
            partial.rename(directory)
        return directory

    def _train(
        self, recipe: RetrieverRecipe, begin: Path, sets: Sequence[TrainingSet], out: Path
    ) -> Path:
        self._say(f"stage {out.name}")
        features = self._out / FEATURES_NAME
        loaded = load_checkpoint(begin)
        return train(loaded, sets, recipe, out, features=features, advance=self._advance).model

    def _found(
        self, checkpoint: Checkpoint, index_at: Path
    ) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
        """Return recall and pseudo recall."""
        hits: dict[int, list[float]] = {k: [] for k in KS}
        pseudo: dict[int, list[float]] = {k: [] for k in KS}
        for example, best in search_all(checkpoint, self._study.validation, max(KS), index_at):
            for k in KS:
                hits[k].append(recall_at_k([p.id for p in best], example.positives, k))
                if example.answers:
                    texts = [passage.text for passage in best]
                    pseudo[k].append(pseudo_recall_at_k(texts, example.answers, k))
        return _shares(hits), _shares(pseudo)


def _shares(values: dict[int, list[float]]) -> tuple[Share, ...]:
    return tuple(Share(k, *mean_and_stderr(v), len(v)) for k, v in values.items() if v)


def _refuse_other(out: Path, study: Study) -> None:
    """Write study.json, or raise TrainingMismatch where another one stands there."""
    path, wanted = out / STUDY_NAME, json.loads(json.dumps(study.record))
    if not path.exists():
        write_json(path, wanted)
        return
    with undamaged(path, f"begin anew: remove {out}, or give another --out"):
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    if changed := [name for name in wanted if found.get(name) != wanted[name]]:
        raise TrainingMismatch(
            f"{out} holds another study: its {' and '.join(changed)} differs (see {STUDY_NAME} "
            "there). Give another directory with --out, or remove it."
        )


def _refuse_other_towers(out: Path, cell: Cell) -> None:
    """Raise TrainingMismatch where a cell's folders are those of towers of the same last name."""
    path = out / "starts" / cell.start / TOWERS_NAME
    if not path.exists():
        return
    with undamaged(path, f"begin anew: remove {out}, or give another --out"):
        found = tuple(json.loads(path.read_text(encoding="utf-8")))
    if found != cell.towers:
        raise TrainingMismatch(
            f"{out} has runs of {' and '.join(found)} in the folder {cell.start}, which those of "
            f"{' and '.join(cell.towers)} would share: rename the directory of one, or give "
            "another --out"
        )


def _earlier(out: Path, cell: Cell) -> Outcome | None:
    path = out / "runs" / cell.name / OUTCOME_NAME
    if not path.exists():
        return None
    with undamaged(path, "remove it: the run's figures are then measured again"):
        return from_json(Outcome, path.read_bytes())


def _all(out: Path) -> list[Outcome]:
    """Return all runs that a directory has: small ones first, those that failed last."""
    found = []
    for path in sorted(out.glob(f"runs/*/{OUTCOME_NAME}")):
        with undamaged(path, "remove it: the run's figures are then measured again"):
            found.append(from_json(Outcome, path.read_bytes()))
    return sorted(found, key=lambda one: (bool(one.failed), one.parameters, one.cell.name))
