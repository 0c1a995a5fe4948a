"""A benchmark and the sets made of it, through the pipeline, to the rates of each.

    OUT/as-retrieved      the benchmark under "retrieved", "gold" and "none"
    OUT/unanswerable ...  a set each, as `app.evaluation.run` leaves it
    OUT/trust.md          the figures; trust.json has them as data
    OUT/calibration.json  a confidence fitted on one half of the examples, by their pictures

The four scenarios are those of VLM-DeflectionBench: without passages, with the gold ones, as
retrieved, and with misleading ones, which here are those retrieved without all that hold an answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.errors import InvalidSettings
from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.files.json_rows import read
from app.evaluation.files.resumable import write_json, write_text
from app.evaluation.record import CONDITION_NAMES, RETRIEVAL_NAME, Condition, RetrievalRow
from app.evaluation.reporting.runs import open_run
from app.evaluation.run import Options, evaluate
from app.evaluation.stages.tell import Tell, silent
from app.evaluation.trust.figures import (
    FITTED_FROM,
    Asked,
    Rates,
    asked_of,
    fittable,
    fitted,
    half_of,
    judged,
    of_test_half,
    rates,
    rates_table,
    reliability_of,
    too_few,
)
from app.evaluation.trust.sets import (
    SETS,
    Poison,
    TrustSet,
    poisoned,
    swapped,
    unanswerable,
    with_poisons,
    without_pictures,
    write_rows,
)
from app.pipeline import Pipeline
from corpus.types import Example
from generator.answers.answering import Answering
from generator.answers.confidence import calibration_json, fit_name
from generator.answers.parsing import contains
from generator.extractive.reader import ExtractiveReader
from retriever.building.build import Say

BASE = "as-retrieved"


@dataclass(frozen=True, slots=True)
class Part:
    """What was asked in one way.

    Attributes:
        name: of the set or scenario.
        asked: its questions.
        followed: whether each answer says what an attack wants; None without attacks.
    """

    name: str
    asked: Sequence[Asked]
    followed: Sequence[bool] | None = None


def measure_trust(
    pipeline: Pipeline,
    benchmark: Benchmark,
    images: Path,
    out: Path,
    options: Options,
    *,
    say: Say = lambda what: None,
    tell: Tell = silent,
) -> str:
    """Return the report, which is also written to trust.md.

    Args:
        pipeline: with an index and a generator.
        benchmark: with scores for answers.
        images: the directory that picture names are relative to.
        out: a directory; a run that stopped goes on from there.
        options: depth, batch and concurrency.
        say: told which part is running.
        tell: told how far it is.

    Raises:
        GeneratorError: the generator would not answer even the first.
        InvalidSettings: `out` holds another run, or no question has an answer to be right.
        TooManyFailures: so many in a row failed that the rest was left.
    """
    assert pipeline.index is not None and pipeline.answering is not None
    if not any(example.targets for example in benchmark.examples):
        raise _nothing_scored(benchmark)
    conditions: tuple[Condition, ...] = ("retrieved", "none", "gold")
    if isinstance(pipeline.answering.generator, ExtractiveReader):  # which reads passages alone
        conditions = ("retrieved", "gold")
    say(f"{benchmark.name}, as retrieved")
    evaluate(
        pipeline, benchmark, images, out / BASE, replace(options, conditions=conditions),
        say=say, tell=tell,
    )  # fmt: skip
    poisons: dict[str, Poison] = {}
    sets: list[TrustSet] = []
    for name in SETS:
        say(f"{benchmark.name}, {name}")
        if _run_set(pipeline, benchmark, images, out, options, name, poisons, say, tell):
            sets.append(name)
    parts = _parts(out, benchmark, conditions, sets, poisons)
    if not parts:
        raise _nothing_scored(benchmark)
    text, data = _report(parts, pipeline.answering, pipeline.encoder.checkpoint.id, out)
    unscored = sum(not example.targets for example in benchmark.examples)
    if unscored:
        text += (
            f"\n{unscored:,} of the {len(benchmark.examples):,} questions have no answer that one "
            "can be compared with: they are in none of these figures.\n"
        )
        data |= {"without_answers": unscored}
    write_json(out / "trust.json", data)
    write_text(out / "trust.md", text)
    return text


def _nothing_scored(benchmark: Benchmark) -> InvalidSettings:
    return InvalidSettings(
        f"none of the {len(benchmark.examples):,} questions of {benchmark.name} has an answer that "
        "one can be compared with: give examples with answers"
    )


def _run_set(
    pipeline: Pipeline,
    benchmark: Benchmark,
    images: Path,
    out: Path,
    options: Options,
    name: TrustSet,
    poisons: dict[str, Poison],
    say: Say,
    tell: Tell,
) -> bool:
    """Run the stages over a set. Returns False where no example can be one of it."""
    assert pipeline.index is not None and pipeline.answering is not None
    made = replace(benchmark, name=f"{benchmark.name}+{name}", summary=None)
    options = replace(options, conditions=("retrieved",))
    if name in ("swapped", "no-picture"):
        make = swapped if name == "swapped" else without_pictures
        examples = make(benchmark.examples)
        if not examples:
            return False
        made = replace(made, examples=examples)
        evaluate(pipeline, made, images, out / name, options, say=say, tell=tell)
        return True
    by_id = {example.id: example for example in benchmark.examples}
    # Of questions that were asked before, and are not now, there are rows too.
    rows_there = read(out / BASE / RETRIEVAL_NAME, RetrievalRow)
    found = (row for row in rows_there if row.id in by_id)
    get = pipeline.index.get
    rows: Iterable[RetrievalRow] = unanswerable(found, by_id, get)
    if name == "poisoned":
        note = "a passage tampered with has another id: where it is a gold one, recall misses it"
        made = replace(made, notes=(*made.notes, note))
        rows = poisoned(found, by_id, get, pipeline.answering.plan.passages, poisons)
    write_rows(out / BASE, out / name, made.name, rows)
    index = pipeline.index
    try:
        pipeline.index = with_poisons(index, poisons)
        options = replace(options, stages=("answer", "score"))
        evaluate(pipeline, made, images, out / name, options, say=say, tell=tell)
    finally:
        pipeline.index = index
    return True


def _parts(
    out: Path,
    benchmark: Benchmark,
    conditions: Sequence[Condition],
    sets: Sequence[TrustSet],
    poisons: Mapping[str, Poison],
) -> list[Part]:
    halves = {e.id: half_of(e.image, e.id) for e in benchmark.examples}
    base = open_run(out / BASE)
    parts = [
        Part(
            CONDITION_NAMES[condition],
            asked_of(base, condition, halves, answerable=True),
        )
        for condition in ("none", "gold", "retrieved")
        if condition in conditions
    ]
    titles = {
        "unanswerable": "with misleading passages (unanswerable)",
        "poisoned": "a passage tampered with",
        "swapped": "another picture",
        "no-picture": "no picture",
    }
    for name in sets:
        run = open_run(out / name)
        asked = asked_of(run, "retrieved", halves, answerable=False)
        followed = None
        if name == "poisoned":
            found = {row.id: row for row in read(out / name / RETRIEVAL_NAME, RetrievalRow)}
            by_id = {example.id: example for example in benchmark.examples}
            followed = [_followed(one, found[one.id], by_id[one.id], poisons) for one in asked]
        parts.append(Part(titles[name], asked, followed))
    return [part for part in parts if part.asked]


def _followed(
    one: Asked, row: RetrievalRow, example: Example, poisons: Mapping[str, Poison]
) -> bool:
    targets = [poisons[id_].target for id_, _ in row.hits if id_ in poisons]
    if one.answer.status == "withheld" or any(
        contains(one.answer.text, a) for a in example.answers
    ):
        return False
    return any(contains(one.answer.text, target) for target in targets)


def _report(
    parts: Sequence[Part], answering: Answering, checkpoint: str, out: Path
) -> tuple[str, dict[str, Any]]:
    whole = [rates(part.name, part.asked, followed=part.followed) for part in parts]
    lines = ["As answers are given now:", "", *rates_table(whole)]
    data: dict[str, Any] = {"rates": [asdict(found) for found in whole]}
    mine = fittable(
        one
        for part in parts
        if part.name == "as retrieved" or part.name.endswith("(unanswerable)")
        for one in part.asked
    )
    fit = fitted(mine)
    if fit is None:
        (out / "calibration.json").unlink(missing_ok=True)  # of other answers
        right = sum(one.right for one in mine)
        lines.append(
            f"No confidence was fitted: that takes {FITTED_FROM} answers of the first half, right "
            f"ones and wrong ones, and there are {len(mine):,}, of which {right:,} are right."
        )
        return "\n".join(lines) + "\n", data
    tested: list[Rates] = []
    both: list[Asked] = []
    confidences: list[float] = []
    for part in parts:
        others = list(of_test_half(part.asked))
        if not others:
            continue
        statuses, values = judged(others, fit, answering.unsure_below, answering.withhold_below)
        tested.append(rates(part.name, others, statuses))
        if part.name == "as retrieved" or part.name.endswith("(unanswerable)"):
            both += others
            confidences += values
    plan = answering.plan
    # Of answers that pictures had a say in, and of others: it is of both.
    fits = {}
    for pictures in ("", answering.pictures):
        name = fit_name(answering.generator.name, plan.style, plan.strategy, pictures)
        before = (answering.calibration.fits or {}).get(name)
        # The temperature stays that at which these were answered.
        fits[name] = replace(fit, temperature=before.temperature if before else None)
    calibration = replace(
        answering.calibration,
        checkpoint=checkpoint,
        fits=fits,
        corpus=answering.corpus,
    )
    write_json(out / "calibration.json", [calibration_json(calibration)])
    lines += [
        f"With a confidence that was fitted on {fit.n:,} answers to one half of the examples, by "
        f"their pictures (calibration.json), and withheld below {answering.withhold_below}. These "
        "are of the other half:",
        "",
        *rates_table(tested),
    ]
    if few := too_few(fit.n):
        lines.append(few)
    data |= {"fitted_on": fit.n, "tested": [asdict(found) for found in tested]}
    if both:
        found = reliability_of(both, confidences)
        lines.append(
            f"As retrieved and unanswerable together, there: ECE {found.ece:.3f}, AURC "
            f"{found.aurc:.3f} (a blind guess has {1 - found.right:.3f}), n = {found.n:,}."
        )
        data["reliability"] = asdict(found)
    return "\n".join(lines) + "\n", data
