"""Comparing the strategies: answers, their reliability, and what attacks do to them.

    found = retrieve(pipeline, out, advance)                 app.answer_sets
    rows = run(answering, cases, VARIANTS, out, advance)
    calibration = calibrated(rows, answering)                on the half that calibrates
    report(summarise(rows, calibration, answering))          on the half that tests

Every answer is one line of rows.jsonl, so that an interrupted run goes on where it stopped.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.answer_sets import SETS, Case, Found, Sizes, cases, retrieve
from app.answering import Answering, Outcome
from app.benchmarks import contains_match, exact_match
from app.errors import InvalidSettings
from app.pipeline import Pipeline
from corpus.images import load_image
from corpus.types import Query
from generator.answers import contains
from generator.confidence import (
    Calibration,
    calibration_json,
    fit_confidence,
    fit_temperature,
    judge,
)
from generator.errors import GeneratorError
from generator.interface import wait
from generator.prompts import CHOICES, relevance
from generator.reliability import aurc, expected_calibration_error
from generator.strategies import Evidence, Strategy
from retriever.metrics import mean_and_stderr

Row = dict[str, Any]
STRATEGIES: tuple[Strategy, ...] = ("ra-vqa", "concat", "critic", "no-retrieval")
ROWS_NAME = "rows.jsonl"
# What confidences are fitted on, and so what they are calibrated for.
MIXED = "mixed 4:1"


@dataclass(frozen=True, slots=True)
class Variant:
    """A strategy, with or without passages being put in as data ("undelimited" without)."""

    strategy: Strategy
    delimit: bool = True

    @property
    def name(self) -> str:
        """Return the name under which rows are kept."""
        return self.strategy if self.delimit else f"{self.strategy}, undelimited"


VARIANTS = (
    Variant("ra-vqa"),
    Variant("concat"),
    Variant("no-retrieval"),
    Variant("critic"),
    Variant("ra-vqa", delimit=False),
    Variant("concat", delimit=False),
)


def compare(
    pipeline: Pipeline,
    out: Path,
    sizes: Sizes,
    say: Callable[[str], None],
    advance: Callable[[int, int], None],
) -> str:
    """Return the report of all variants; it and the calibration are written to `out`.

    Args:
        pipeline: with an index of the demo corpus and a generator.
        out: a directory; a run that stopped goes on from there.
        sizes: how many questions of each kind.
        say: told what is going on.
        advance: told how far it is.

    Raises:
        InvalidSettings: `out` holds another run.
    """
    if pipeline.answering is None:
        raise ValueError("comparing strategies needs a pipeline with a generator")
    out.mkdir(parents=True, exist_ok=True)
    say("Retrieving")
    found = retrieve(pipeline, out, advance)
    plan = pipeline.answering.plan
    asked = list(cases(found, plan.passages, sizes))
    checkpoint = pipeline.encoder.checkpoint.id
    calibration = Calibration(checkpoint, fitted_temperature(found, plan.passages))
    answering = replace(
        pipeline.answering,
        plan=replace(plan, temperature=calibration.temperature),
        calibration=calibration,
    )
    say("The critic")
    proving = [c for c in asked if c.calibrates and c.set == "answerable"]
    critic = fitted_critic(answering, proving, out)
    name = f"{answering.generator.name}/{plan.style}"
    answering = replace(
        answering,
        plan=replace(answering.plan, relevant_from=critic),
        calibration=replace(calibration, relevant_from={name: critic}),
    )
    say("Answering")
    rows = run(answering, asked, VARIANTS, out, advance)
    fitted = calibrated(rows, answering)
    entry = [calibration_json(fitted)]
    (out / "calibration.json").write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    text = report(summarise(rows, fitted, answering))
    (out / "report.md").write_text(text, encoding="utf-8")
    return text


def run(
    answering: Answering,
    cases: Sequence[Case],
    variants: Sequence[Variant],
    out: Path,
    advance: Callable[[int, int], None],
) -> list[Row]:
    """Return a row for each variant and case; those that `out` has are not asked again.

    Variants without delimiters are asked the attacked questions only.

    Raises:
        InvalidSettings: `out` holds rows of another generator or plan.
    """
    rows = _finished(out, answering)
    todo = [
        (variant, case) for variant in variants for case in cases if variant.delimit or case.target
    ]
    with (out / ROWS_NAME).open("a", encoding="utf-8") as file:
        for done, (variant, case) in enumerate(todo, start=1):
            key = (variant.name, case.key)
            if key not in rows:
                rows[key] = _ask(answering, variant, case)
                file.write(json.dumps(rows[key], ensure_ascii=False) + "\n")
                file.flush()
            advance(done, len(todo))
    return [rows[variant.name, case.key] for variant, case in todo]


def fitted_temperature(found: Sequence[Found], read: int) -> float:
    """Return the temperature of retrieval scores, fitted on the half that calibrates.

    Args:
        found: all examples with their hits.
        read: how many hits the softmax is over; queries whose gold passage is not among them
            say nothing.
    """
    scores, gold = [], []
    for f in found:
        proves = [hit.passage.id in f.example.gold_passage_ids for hit in f.hits[:read]]
        if f.calibrates and True in proves:
            scores.append([hit.score for hit in f.hits[:read]])
            gold.append(proves.index(True))
    return fit_temperature(scores, gold)


def fitted_critic(answering: Answering, cases: Sequence[Case], out: Path) -> float:
    """Return from which probability the critic is believed; what it said is kept in `out`."""
    path = out / "critic.json"
    if not path.exists():
        judged: list[tuple[float, bool]] = []
        for case in cases:
            hits = case.hits[: answering.plan.passages]
            query = Query(case.question, load_image(case.image))
            prompts = [relevance(query, hit.passage, answering.plan.style) for hit in hits]
            verdicts = wait(answering.generator.choose(prompts, CHOICES))
            judged += [
                (verdict.probabilities[0], hit.passage.id in case.gold)
                for verdict, hit in zip(verdicts, hits, strict=True)
            ]
        path.write_text(json.dumps(judged), encoding="utf-8")
    return relevance_threshold(json.loads(path.read_text(encoding="utf-8")))


def calibrated(rows: Iterable[Row], answering: Answering) -> Calibration:
    """Return the calibration with confidences fitted on the rows that calibrate."""
    fits = {}
    held = [row for row in rows if row["calibrates"] and not row["failure"]]
    for strategy in STRATEGIES:
        mine = _mixed([row for row in held if row["variant"] == strategy])
        right = [row["exact_match"] == 1 for row in mine]
        if 0 < sum(right) < len(right):
            evidence = [Evidence(**row["evidence"]) for row in mine]
            name = f"{answering.generator.name}/{answering.plan.style}/{strategy}"
            fits[name] = fit_confidence(evidence, right)
    return replace(answering.calibration, fits=fits)


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


def summarise(
    rows: Sequence[Row], calibration: Calibration, answering: Answering
) -> dict[str, dict[str, Any]]:
    """Return the figures of every variant and set, on the half that tests."""
    tested = [row for row in rows if not row["calibrates"]]
    results: dict[str, dict[str, Any]] = {}
    for variant in dict.fromkeys(row["variant"] for row in tested):
        every = [row for row in tested if row["variant"] == variant]
        for name in SETS:
            if mine := [row for row in every if row["set"] == name]:
                results[f"{variant}|{name}"] = _figures(mine, calibration, answering)
        if f"{variant}|unanswerable" in results:
            results[f"{variant}|{MIXED}"] = _figures(_mixed(every), calibration, answering)
    return results


def _mixed(rows: Sequence[Row]) -> list[Row]:
    """Return the answerable rows, and one unanswerable to four of them."""
    answerable = [row for row in rows if row["set"] == "answerable"]
    unanswerable = [row for row in rows if row["set"] == "unanswerable"]
    wanted = min(len(answerable) // 4, len(unanswerable))
    spread = [unanswerable[i * len(unanswerable) // wanted] for i in range(wanted)]
    return answerable + spread


def _figures(rows: list[Row], calibration: Calibration, answering: Answering) -> dict[str, Any]:
    judged = [_judge(row, calibration, answering) for row in rows]
    figures: dict[str, Any] = {"n": len(rows), "failures": sum(bool(r["failure"]) for r in rows)}
    shares: dict[str, list[float]] = {
        "exact_match": [row["exact_match"] for row in rows],
        "contains": [row["contains"] for row in rows],
        "seconds": [row["seconds"] for row in rows],
        "prompt_tokens": [row["prompt_tokens"] for row in rows],
        "completion_tokens": [row["completion_tokens"] for row in rows],
        "followed": [row["followed"] for row in rows],
        "followed_and_shown": [
            row["followed"] * (verdict != "withheld")
            for row, (_, verdict) in zip(rows, judged, strict=True)
        ],
        "followed_and_sure": [
            row["followed"] * (verdict == "given")
            for row, (_, verdict) in zip(rows, judged, strict=True)
        ],
        **{
            verdict: [float(v == verdict) for _, v in judged]
            for verdict in ("given", "unsure", "withheld")
        },
    }
    for name, values in shares.items():
        figures[name], figures[f"{name}_stderr"] = mean_and_stderr(values)
    right = [row["exact_match"] == 1 for row in rows]
    if all(value is not None for value, _ in judged):
        values = [value for value, _ in judged if value is not None]
        figures["aurc"], figures["ece"] = (
            aurc(values, right),
            expected_calibration_error(values, right),
        )
    return figures


def _judge(row: Row, calibration: Calibration, answering: Answering) -> tuple[float | None, str]:
    if row["failure"]:
        return 0.0, "withheld"
    confidence = judge(
        Evidence(**row["evidence"]),
        calibration.fit(answering.generator.name, answering.plan.style, row["strategy"]),
        unsure_below=answering.unsure_below,
        withhold_below=answering.withhold_below,
    )
    return confidence.value, confidence.verdict


def _ask(answering: Answering, variant: Variant, case: Case) -> Row:
    asked = replace(
        answering,
        plan=replace(answering.plan, strategy=variant.strategy, delimit=variant.delimit),
    )
    query = Query(case.question, load_image(case.image))
    started = time.perf_counter()
    outcome: Outcome | None = None
    failure = ""
    try:
        for step in asked.answer(query, case.hits, caption=case.seen):
            if isinstance(step, Outcome):
                outcome = step
    except GeneratorError as exc:
        failure = str(exc)
    seconds = round(time.perf_counter() - started, 3)
    text = outcome.reply.answer.text if outcome else ""
    usage = outcome.reply.usage if outcome else None
    return {
        "variant": variant.name,
        "key": case.key,
        "set": case.set,
        "strategy": outcome.reply.strategy if outcome else variant.strategy,
        "calibrates": case.calibrates,
        "question": case.question,
        "answers": list(case.answers),
        "target": case.target,
        "text": text,
        "citations": [c.passage_id for c in outcome.reply.answer.citations] if outcome else [],
        "gold": list(case.gold),
        "exact_match": exact_match(text, case.answers) if text else 0.0,
        "contains": contains_match(text, case.answers) if text else 0.0,
        "followed": float(bool(case.target) and contains(text, case.target)),
        "evidence": asdict(outcome.reply.evidence) if outcome else asdict(Evidence()),
        "seconds": seconds,
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "failure": failure,
    }


def _finished(out: Path, answering: Answering) -> dict[tuple[str, str], Row]:
    record = out / "run.json"
    described = {"generator": answering.generator.name, "plan": asdict(answering.plan)}
    if record.exists() and json.loads(record.read_text(encoding="utf-8")) != described:
        raise InvalidSettings(
            f"{out} holds answers of another generator or plan (see run.json there): give "
            "another directory with --out"
        )
    record.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    rows: dict[tuple[str, str], Row] = {}
    path = out / ROWS_NAME
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        path.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            row = json.loads(line)
            rows[row["variant"], row["key"]] = row
    return rows


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown tables: percent, with standard errors."""
    lines = [
        "| strategy | exact_match | contains | seconds | prompt tokens | written | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, r in results.items():
        variant, name = key.split("|")
        if name == "answerable":
            lines.append(
                f"| {variant} | {_percent(r, 'exact_match')} | {_percent(r, 'contains')} "
                f"| {r['seconds']:.2f} ± {r['seconds_stderr']:.2f} | {r['prompt_tokens']:.0f} "
                f"| {r['completion_tokens']:.1f} | {r['n']} |"
            )
    lines += [
        "",
        "| strategy | set | given | unsure | withheld | AURC | ECE | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, r in results.items():
        variant, name = key.split("|")
        if name in (*SETS[:2], MIXED) and "aurc" in r:
            lines.append(
                f"| {variant} | {name} | {_percent(r, 'given')} | {_percent(r, 'unsure')} "
                f"| {_percent(r, 'withheld')} | {r['aurc']:.3f} | {r['ece']:.3f} | {r['n']} |"
            )
    lines += [
        "",
        "| strategy | attack | followed | and not withheld | and sure of it | exact_match | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, r in results.items():
        variant, name = key.split("|")
        if name in ("instruction", "false-statement"):
            lines.append(
                f"| {variant} | {name} | {_percent(r, 'followed')} "
                f"| {_percent(r, 'followed_and_shown')} | {_percent(r, 'followed_and_sure')} "
                f"| {_percent(r, 'exact_match')} | {r['n']} |"
            )
    return "\n".join(lines) + "\n"


def _percent(result: Mapping[str, Any], name: str) -> str:
    return f"{100 * result[name]:.1f} ± {100 * result[f'{name}_stderr']:.1f}"
