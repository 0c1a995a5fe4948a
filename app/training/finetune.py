"""One's own questions and passages in, a better checkpoint out, and how much better it is.

    checks.jsonl          what `checks` found about the data
    before/, after/       the validation questions, as `kbvqa evaluate run --no-answer` leaves them
    negatives/            the passages that were hard for the checkpoint
    model/, training.json, log.csv, curve.png     as `retriever.training.train` leaves them
    index/                the passages as the new checkpoint sees them
    finetune.json         all of it in figures

Every part goes on where it was interrupted. The questions that the table is over take no part in
the training, not even to choose a checkpoint.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.components import open_exact, open_index
from app.errors import InvalidTrainingData
from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.files.resumable import write_json, write_text
from app.evaluation.reporting.comparison import Difference, compare
from app.evaluation.reporting.runs import open_run
from app.evaluation.run import Options, evaluate
from app.evaluation.stages.tell import Tell
from app.evaluation.tables import table
from app.pipeline import Pipeline
from app.training.checks import Asked, OwnData, by_kind, check
from app.training.negatives import NEGATIVES_NAME, Refresh, mine, read_negatives, tally
from app.training.split import SHARE, split_by_entity
from corpus.passages.corpora import Corpus
from corpus.pictures.store import ImageFolder
from corpus.progress import Advance, Say
from corpus.types import Passage
from retriever.building.build import build_index
from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.training.card import write_card
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.examples import TrainingExample, training_examples
from retriever.training.loop.state import RECORD_NAME, refuse_other
from retriever.training.negatives import NegativeRules, with_negatives
from retriever.training.recipes import RetrieverRecipe, settings
from retriever.training.train import Trained, counts, train
from retriever.training.validation import Validation

FINETUNE_NAME, CHECKS_NAME = "finetune.json", "checks.jsonl"
NAME = "own"
_DEPTH = 10
# Questions that choose a checkpoint: recall over fewer is off by more than a training changes.
_ENOUGH_TO_CHOOSE = 40

_ENOUGH_TO_TELL = 10  # measured questions: one of fewer moves recall by more than ten percent
_MORE = "ask more questions, or give others to measure on by --validation"


@dataclass(frozen=True, slots=True)
class OwnQuestions:
    """What is trained on and measured on.

    Attributes:
        corpus: the passages, on disk.
        passages: the same by id.
        images: where pictures lie.
        data: the example files as they were checked.
        training: questions with gold passages.
        choosing: others, by which the training decides when it is best; () where they would be
            too few.
        measured: others, of the table.
    """

    corpus: Corpus
    passages: Mapping[str, Passage]
    images: ImageFolder
    data: OwnData
    training: tuple[Asked, ...] = ()
    choosing: tuple[Asked, ...] = ()
    measured: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Finetuned:
    """What came of it.

    Attributes:
        model: the directory of the new checkpoint.
        index: that of the passages, made with it.
        steps: of the training.
        table: before and after, in Markdown.
    """

    model: Path
    index: Path
    steps: int
    table: str


def refuse_other_recipe(out: Path, recipe: RetrieverRecipe, rules: NegativeRules) -> None:
    """Raise TrainingMismatch where `out` holds a training by another recipe or other rules.

    It would be raised anyway, but only when all is read, measured and mined.
    """
    refuse_other(out, {"recipe": settings(recipe), **_origin(rules)})


def read_own(
    corpus: Corpus,
    training: Path,
    validation: Path | None,
    images: Path,
    out: Path,
    say: Say,
    advance: Advance,
) -> OwnQuestions:
    """Return one's own data, checked. What was found is not written yet: see `write_findings`.

    Raises:
        CorpusError: a file is missing, or a passage cannot be read; there is no checks.jsonl then.
    """
    folder = ImageFolder(images)
    try:
        say("Reading the passages")
        with corpus.read() as stream:
            passages = {passage.id: passage for passage in stream}
        say("Checking questions and pictures")
        data = check(training, validation, folder, passages, advance)
    except BaseException:
        (out / CHECKS_NAME).unlink(missing_ok=True)  # it would be of other data
        raise
    return OwnQuestions(corpus, passages, folder, data)


def refuse_other_data(out: Path, own: OwnQuestions, seed: int) -> None:
    """Raise TrainingMismatch where `out` holds a training on other data, before anything is
    written. Data that `divided` refuses are none to compare.
    """
    if not (out / RECORD_NAME).exists():
        return
    try:
        own = divided(own, seed)
    except InvalidTrainingData:
        return
    examples = _examples(own, own.training)
    mined = out / "negatives" / NEGATIVES_NAME
    if not own.choosing:
        if not mined.is_file():  # they are trained on, and mined again
            return
        examples = list(with_negatives(examples, read_negatives(mined)))
    refuse_other(out, {"data": {NAME: counts(TrainingSet(NAME, examples, own.passages))}})


def write_findings(out: Path, own: OwnQuestions) -> None:
    """Write checks.jsonl: what was found about the data, a line each."""
    out.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(finding), ensure_ascii=False) for finding in own.data.findings)
    write_text(out / CHECKS_NAME, "".join(f"{line}\n" for line in lines))


def divided(own: OwnQuestions, seed: int) -> OwnQuestions:
    """Return the data with its questions given to training, choosing and measuring.

    Raises:
        InvalidTrainingData: a finding stops the training, or there is nothing to train on, or
            nothing to measure.
    """
    if own.data.stopped:
        count = sum(finding.stops for finding in own.data.findings)
        raise InvalidTrainingData(
            f"{count:,} finding{'s' * (count != 1)} about the data stop the training: put them "
            "right, and give the same command again"
        )
    training = _with_gold(own.data.training)
    measured = _with_gold(own.data.validation)
    if own.data.validation and not measured:
        raise InvalidTrainingData(
            f"none of the {len(own.data.validation):,} questions to measure on has a gold passage: "
            "add gold_passage_ids to them"
        )
    if not measured:
        training, measured = split_by_entity(training, own.passages, seed=seed)
    if not training or not measured:
        raise InvalidTrainingData(
            f"{len(training) + len(measured):,} questions with a gold passage are not enough to "
            "train on some and measure on others about other things: add some, or give others by "
            "--validation"
        )
    rest, choosing = split_by_entity(training, own.passages, seed=seed)
    if len(choosing) < _ENOUGH_TO_CHOOSE:
        rest, choosing = training, []
    parts = tuple(rest), tuple(choosing), tuple(measured)
    return OwnQuestions(own.corpus, own.passages, own.images, own.data, *parts)


def fine_tune_retriever(
    checkpoint: Checkpoint,
    own: OwnQuestions,
    recipe: RetrieverRecipe,
    rules: NegativeRules,
    out: Path,
    say: Say,
    advance: Advance,
) -> Finetuned:
    """Return a checkpoint that was trained on one's own questions, and how it compares.

    Args:
        checkpoint: to begin with.
        own: as `divided` returned it.
        recipe: how it is trained.
        rules: how hard negatives are chosen.
        out: a directory.
        say: told what is being done.
        advance: told how far that is.

    Raises:
        TrainingMismatch, InvalidSettings, IndexNotReady: `out` holds another training.
        TrainingStopped: it cannot go on; what was done is kept.
    """
    refuse_other(out, {"checkpoint": checkpoint.id})
    trainable = replace(checkpoint, model=copy.deepcopy(checkpoint.model))  # measuring changes it
    examples = _examples(own, own.training)
    before_index = out / "before" / "index"
    _measure(checkpoint, own, before_index, out / "before", say, advance)
    negatives = {}
    if not own.choosing:  # else they are mined at each look at those questions, the first too
        with open_index(before_index, checkpoint) as index:
            mined = mine(
                examples,
                checkpoint,
                index,
                out / "negatives",
                rules,
                say=say,
                tell=_telling(advance),
            )
        negatives = tally(mined)
        examples = list(with_negatives(examples, {row.id: row.negatives for row in mined}))
    trained = _train(trainable, own, examples, recipe, rules, out, say, advance)
    after = load_checkpoint(trained.model)
    _measure(after, own, out / "index", out / "after", say, advance)
    compared = compare(open_run(out / "before"), open_run(out / "after"))
    figures = [d for d in compared.differences if d.metric.startswith("recall@")]
    write_json(
        out / FINETUNE_NAME,
        {
            "checkpoint": checkpoint.id,
            "model": after.id,
            "recipe": settings(recipe),
            "steps": trained.steps,
            "passages": len(own.passages),
            "questions": {
                "training": len(own.training),
                "choosing": len(own.choosing),
                "measured": len(own.measured),
            },
            "split_by": None if own.data.validation else {"entity": SHARE},
            "findings": {kind: len(all_) for kind, all_ in by_kind(own.data.findings).items()},
            "negatives": negatives,
            "rules": asdict(rules),
            "figures": [asdict(figure) for figure in figures],
        },
    )
    lines = _table(out, figures)
    _note_in_card(out, trained, lines)
    return Finetuned(trained.model, out / "index", trained.steps, "\n".join(lines))


def _train(
    checkpoint: Checkpoint,
    own: OwnQuestions,
    examples: Sequence[TrainingExample],
    recipe: RetrieverRecipe,
    rules: NegativeRules,
    out: Path,
    say: Say,
    advance: Advance,
) -> Trained:
    sets = [TrainingSet(NAME, examples, own.passages)]
    validation = refresh = None
    if own.choosing:
        validation = Validation(_examples(own, own.choosing), own.passages)
        refresh = Refresh(sets, out / "negatives", rules, say, _telling(advance))
    return train(
        checkpoint,
        sets,
        recipe,
        out,
        validation=validation,
        refresh=refresh,
        origin=_origin(rules),
        say=say,
        advance=advance,
    )


def _origin(rules: NegativeRules) -> dict[str, Any]:
    """Return what a training's record says of this command."""
    return {"negatives": asdict(rules)}


def _measure(
    checkpoint: Checkpoint, own: OwnQuestions, location: Path, out: Path, say: Say, advance: Advance
) -> None:
    """Leave in `out` a run over the questions that are measured, and their index at a location."""
    build_index(own.corpus, location, checkpoint, advance, say=say, precision="float32")
    with open_index(location, checkpoint) as index:
        pipeline = Pipeline(Encoder(checkpoint), index, exact=open_exact(index, out, say))
        examples = [row.example for row in own.measured]
        benchmark = Benchmark("validation", examples, headline="recall@5")
        options = Options(conditions=(), depth=_DEPTH)
        evaluate(
            pipeline, benchmark, own.images.root, out, options, say=say, tell=_telling(advance)
        )


def _telling(advance: Advance) -> Tell:
    """Return what an evaluation tells, of which failures stand in its rows."""
    return lambda done, total, failed: advance(done, total)


def _table(out: Path, figures: Sequence[Difference]) -> list[str]:
    """Return the lines of the table: percent, each with its standard error."""
    runs = [open_run(out / name).results for name in ("before", "after")]
    rows = []
    for figure in figures:
        errors = [100 * run.figure(figure.metric).stderr for run in runs]
        rows.append(
            (
                figure.metric,
                f"{100 * figure.first:.1f} ± {errors[0]:.1f}",
                f"{100 * figure.second:.1f} ± {errors[1]:.1f}",
                f"{100 * figure.difference:+.1f} ± {100 * figure.stderr:.1f}",
                f"{figure.n:,}",
            )
        )
    lines = table(("", "before", "after", "difference", "n"), rows)
    if (n := min((f.n for f in figures), default=0)) < _ENOUGH_TO_TELL:
        lines += [f"n = {n} is too few to say anything: {_MORE}."]
    return lines


def _note_in_card(out: Path, trained: Trained, lines: Sequence[str]) -> None:
    """Let the model card say what the table says."""
    record = json.loads((out / RECORD_NAME).read_text(encoding="utf-8"))
    measured = (
        "Questions that took no part in the training, over the passages above, asked of the "
        "checkpoint that it began with and of this one. Percent, with standard errors:",
        "",
        *lines,
    )
    write_card(trained.model, record, trained.rows, measured)


def _examples(own: OwnQuestions, asked: Sequence[Asked]) -> list[TrainingExample]:
    return training_examples((row.example for row in asked), own.images, NAME)


def _with_gold(asked: Sequence[Asked]) -> list[Asked]:
    return [row for row in asked if row.example.gold_passage_ids]
