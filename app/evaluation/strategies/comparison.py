"""Comparing the strategies: answers, their reliability, and what attacks do to them.

    found = retrieve(pipeline, out, advance)                 app.evaluation.strategies.sets
    todo = questions(cases(found, ...), plan, sizes)
    rows = run(answering, todo, out, advance)
    calibration = calibrated(rows, answering)                app.evaluation.strategies.fitting
    report(summarise(rows, calibration, answering))          `answer_figures`, the other half

Every answer is one line of rows.jsonl, so that an interrupted run goes on where it stopped.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import Path

from app.evaluation.benchmarks.benchmark import contains_match, exact_match
from app.evaluation.benchmarks.catalog import spread
from app.evaluation.files.resumable import Breaker, ResumableRows, write_json
from app.evaluation.provenance import generator_record, plan_record
from app.evaluation.strategies.figures import report, summarise
from app.evaluation.strategies.fitting import (
    added_to,
    at_temperature,
    calibrated,
    fitted_choice,
    fitted_temperature,
)
from app.evaluation.strategies.rows import VariantRow, VerdictRow
from app.evaluation.strategies.sets import ATTACKS, Case, Sizes, cases, retrieve
from app.pipeline import Pipeline
from corpus.pictures.images import featureless, load_image
from corpus.types import Query
from generator.answers.answer import Answer, Evidence, Strategy
from generator.answers.answering import UNLIKE, Answering
from generator.answers.confidence import (
    Calibration,
    calibration_json,
)
from generator.answers.parsing import contains
from generator.answers.plan import AnswerPlan
from generator.errors import EmptyCompletion, GeneratorError
from generator.extractive.reader import ExtractiveReader
from generator.interface import Usage, wait
from generator.prompts import CHOICES, relevance
from retriever.building.build import Advance, Say

ROWS_NAME = "rows.jsonl"
CRITIC_NAME = Path("critic") / "verdicts.jsonl"


@dataclass(frozen=True, slots=True)
class Variant:
    """A strategy, whole or with something taken away to see what it does."""

    strategy: Strategy
    delimit: bool = True
    agree: bool = True

    @property
    def name(self) -> str:
        """Return the name under which rows are kept."""
        missing = [", undelimited"] * (not self.delimit) + [", no agreement"] * (not self.agree)
        return self.strategy + "".join(missing)

    @property
    def whole(self) -> bool:
        """Return whether nothing is taken away."""
        return self.delimit and self.agree


VARIANTS = (
    Variant("extract"),
    Variant("extract", delimit=False),
    Variant("extract", agree=False),
    Variant("ra-vqa"),
    Variant("concat"),
    Variant("no-retrieval"),
    Variant("critic"),
    Variant("ra-vqa", delimit=False),
    Variant("ra-vqa", agree=False),
    Variant("concat", delimit=False),
)
Todo = list[tuple[Variant, Case]]


def compare(
    pipeline: Pipeline,
    out: Path,
    sizes: Sizes,
    say: Say,
    advance: Advance,
) -> str:
    """Return the report of all variants; it and the calibration are written to `out`.

    Args:
        pipeline: with an index of the demo corpus and a generator.
        out: a directory; a run that stopped goes on from there.
        sizes: how many questions of each kind.
        say: told what is going on.
        advance: told how far it is.

    Raises:
        GeneratorError: the generator would not answer.
        InvalidSettings: `out` holds another run.
        TooManyFailures: so many answers in a row failed that the rest was left.
    """
    if pipeline.answering is None:
        raise ValueError("comparing strategies needs a pipeline with a generator")
    pipeline.answering.generator.health()
    out.mkdir(parents=True, exist_ok=True)
    say("Retrieving")
    found = retrieve(pipeline, out, advance)
    plan = pipeline.answering.plan
    asked = list(cases(found, plan.passages, sizes))
    todo = questions(asked, plan, sizes)
    checkpoint = pipeline.encoder.checkpoint.id
    answering = pipeline.answering
    added = added_to(answering)
    fitted_on = [f for f in found if f.alike is not None or not added]
    temperature = fitted_temperature(fitted_on, plan.passages)
    if isinstance(answering.generator, ExtractiveReader):
        temperature = fitted_choice(answering.generator, fitted_on, plan.passages)
    if added:  # what is fitted without pictures stays
        answering = at_temperature(answering, temperature)
    else:
        answering = replace(
            answering,
            plan=replace(plan, temperature=temperature),
            calibration=Calibration(checkpoint, temperature, corpus=answering.corpus),
        )
    if plan.strategy != "extract":
        say("The critic")
        proving = [c for c in asked if c.calibrates and c.set == "answerable" and c.kind == "flags"]
        critic = fitted_critic(answering, spread(proving, sizes.critic), out)
        name = f"{answering.generator.name}/{plan.style}"
        answering = replace(
            answering,
            plan=replace(answering.plan, relevant_from=critic),
            calibration=replace(answering.calibration, relevant_from={name: critic}),
        )
    say("Answering")
    rows = run(answering, todo, out, advance)
    fitted = calibrated(rows, answering)
    write_json(out / "calibration.json", [calibration_json(fitted)])
    text = report(summarise(rows, fitted, answering))
    (out / "report.md").write_text(text, encoding="utf-8")
    return text


def questions(asked: Sequence[Case], plan: AnswerPlan, sizes: Sizes) -> Todo:
    """Return which variant is asked which case.

    The strategy that is set is asked them all, and gets a confidence. The others are asked
    about flags, to be compared; what has something taken away is asked the attacked questions
    alone, and what reads no passage those without an attack.
    """
    todo: Todo = []
    for variant in VARIANTS:
        if (variant.strategy == "extract") != (plan.strategy == "extract"):
            continue  # what answers has the one or the others
        if variant == Variant(plan.strategy):
            todo += [(variant, case) for case in asked]
            continue
        sets = ATTACKS if not variant.whole else ("answerable", *ATTACKS)
        if variant.strategy == "no-retrieval":
            sets = ("answerable",)
        limit = sizes.critic if variant.strategy == "critic" else sizes.others
        for name in sets:
            mine = [c for c in asked if c.set == name and c.kind == "flags" and not c.calibrates]
            todo += [(variant, case) for case in spread(mine, limit)]
    return todo


def run(answering: Answering, todo: Todo, out: Path, advance: Advance) -> list[VariantRow]:
    """Return a row for each variant and case; those that `out` has are not asked again.

    Raises:
        GeneratorError: the generator would not answer even the first.
        InvalidSettings: `out` holds rows of another generator or plan.
        TooManyFailures: so many in a row failed that the rest was left.
    """
    key = {
        "generator": generator_record(answering.generator),
        "plan": plan_record(answering),
    }
    breaker = Breaker(len(todo))
    with ResumableRows(out / ROWS_NAME, VariantRow, key, name=attrgetter("variant", "key")) as rows:
        healthy = False
        silent = not any(row.text for row in rows.values())
        for done, (variant, case) in enumerate(todo, start=1):
            kept = rows.get((variant.name, case.key))
            if kept is None or kept.case != case.sha256 or _in_vain(kept, silent):
                if not healthy:
                    healthy = bool(answering.generator.health())
                row = rows.add(_ask(answering, variant, case))
                breaker.count(row.failure, row.empty)
            advance(done, len(todo))
        return [rows[variant.name, case.key] for variant, case in todo]


def fitted_critic(answering: Answering, cases: Sequence[Case], out: Path) -> float:
    """Return from which probability the critic is believed; what it said is kept in `out`.

    Raises:
        GeneratorError: it fails.
        InvalidSettings: `out` holds what another generator said.
    """
    assert not isinstance(answering.generator, ExtractiveReader)
    plan = answering.plan
    key = {
        "generator": generator_record(answering.generator),
        "style": plan.style,
        "passages": plan.passages,
    }
    judged: list[tuple[float, bool]] = []
    with ResumableRows(out / CRITIC_NAME, VerdictRow, key, name=attrgetter("key")) as rows:
        for case in cases:
            kept = rows.get(case.key)
            if kept is None or kept.case != case.sha256:
                query = Query(case.question, load_image(case.image))
                hits = case.hits[: plan.passages]
                prompts = [relevance(query, hit.passage, plan.style) for hit in hits]
                verdicts = wait(answering.generator.choose(prompts, CHOICES))
                yes = tuple(verdict.probabilities[0] for verdict in verdicts)
                gold = tuple(hit.passage.id in case.gold for hit in hits)
                kept = rows.add(VerdictRow(case.key, case.sha256, yes, gold))
            judged += zip(kept.yes, kept.gold, strict=True)
    return relevance_threshold(judged)


def relevance_threshold(judged: Sequence[tuple[float, bool]]) -> float:
    """Return the probability from which the critic is believed.

    The one at which the share of gold passages kept plus the share of others dropped is
    greatest.

    Args:
        judged: the probability of "yes" and whether the passage is a gold one.
    """
    yes = [p for p, gold in judged if gold]
    no = [p for p, gold in judged if not gold]
    return max(
        (p for p, _ in judged),
        key=lambda t: sum(p >= t for p in yes) / len(yes) + sum(p < t for p in no) / len(no),
    )


def _ask(answering: Answering, variant: Variant, case: Case) -> VariantRow:
    asked = replace(
        answering,
        plan=replace(answering.plan, **asdict(variant)),
        # As a question is answered: where no picture had a say it is one without pictures.
        pictures="" if case.alike is None else answering.pictures,
    )
    query = Query(case.question, load_image(case.image))
    started = time.perf_counter()
    answer: Answer | None = None
    failure = empty = ""
    try:
        asking = asked.answer(
            *(query, case.hits),
            caption=case.seen,
            alike=case.alike,
            unlike=lambda passage: passage.id in case.unlike,
        )
        answer = wait(asking).original
    except EmptyCompletion as exc:
        empty = str(exc)  # an answer, and wrong
    except GeneratorError as exc:
        failure = f"{type(exc).__name__}: {exc}"
    seconds = round(time.perf_counter() - started, 3)
    text = answer.text if answer else ""
    usage = answer.usage if answer else Usage()
    exact = exact_match(text, case.answers)
    has = contains_match(text, case.answers)
    return VariantRow(
        variant=variant.name,
        key=case.key,
        case=case.sha256,
        set=case.set,
        kind=case.kind,
        strategy=answer.strategy if answer else variant.strategy,
        calibrates=case.calibrates,
        question=case.question,
        answers=case.answers,
        target=case.target,
        text=text,
        citations=tuple(c.passage_id for c in answer.citations) if answer else (),
        gold=case.gold,
        exact_match=exact,
        contains=has,
        # The answers about things are phrases, which nobody writes word for word.
        right=exact if case.kind == "flags" else has,
        featureless=query.image is not None and featureless(query.image),
        followed=float(bool(case.target) and contains(text, case.target)),
        evidence=answer.evidence if answer else Evidence(),
        seconds=seconds,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        failure=failure,
        empty=empty,
        unlike=answer is not None and UNLIKE in answer.doubts,
    )


def _in_vain(row: VariantRow, silent: bool) -> bool:
    """Return whether a question failed, or has no word where no answer of the run has any."""
    return bool(row.failure or (silent and row.empty))
