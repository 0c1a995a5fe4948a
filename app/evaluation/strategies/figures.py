"""The figures of a comparison of strategies, on the half that tests, and their tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.evaluation.benchmarks.catalog import spread
from app.evaluation.strategies.rows import VariantRow
from app.evaluation.strategies.sets import ATTACKS, KINDS, SETS
from app.evaluation.tables import percent, table
from generator.answers.answering import UNLIKE, Answering
from generator.answers.confidence import Calibration, judge
from generator.answers.reliability import aurc, expected_calibration_error
from retriever.metrics import mean_and_stderr

# What confidences are fitted on, and so what they are calibrated for.
MIXED = "mixed 4:1"
EVERYTHING = "both"
_VERDICTS = ("given", "unsure", "withheld")


def summarise(
    rows: Sequence[VariantRow], calibration: Calibration, answering: Answering
) -> dict[str, dict[str, Any]]:
    """Return the figures by "variant|set|kind", on the half that tests.

    Where a variant was asked without gold passages too there is a mixed set: all that can be
    answered, and one that cannot to four of them.
    """
    tested = [row for row in rows if not row.calibrates]
    results: dict[str, dict[str, Any]] = {}
    for variant in dict.fromkeys(row.variant for row in tested):
        both: list[VariantRow] = []
        for kind in KINDS:
            every = [r for r in tested if (r.variant, r.kind) == (variant, kind)]
            for name in SETS:
                if mine := [row for row in every if row.set == name]:
                    results[f"{variant}|{name}|{kind}"] = _figures(mine, calibration, answering)
            if f"{variant}|unanswerable|{kind}" in results:
                mixed = _mixed(every)
                both += mixed
                results[f"{variant}|{MIXED}|{kind}"] = _figures(mixed, calibration, answering)
        if len({row.kind for row in both}) > 1:
            results[f"{variant}|{MIXED}|{EVERYTHING}"] = _figures(both, calibration, answering)
    return results


def _mixed(rows: Sequence[VariantRow]) -> list[VariantRow]:
    answerable = [row for row in rows if row.set == "answerable"]
    unanswerable = [row for row in rows if row.set == "unanswerable"]
    return answerable + spread(unanswerable, len(answerable) // 4)


def _figures(
    rows: list[VariantRow], calibration: Calibration, answering: Answering
) -> dict[str, Any]:
    judged = [_judge(row, calibration, answering) for row in rows]
    figures: dict[str, Any] = {"n": len(rows), "failures": sum(bool(r.failure) for r in rows)}
    right = [row.right == 1 for row in rows]
    shares: dict[str, list[float]] = {
        name: [getattr(row, name) for row in rows]
        for name in (
            "right",
            "exact_match",
            "contains",
            "seconds",
            "prompt_tokens",
            "completion_tokens",
            "followed",
        )
    }
    if all(value is not None for value, _ in judged):
        values = [value for value, _ in judged if value is not None]
        figures["aurc"] = aurc(values, right)
        figures["ece"] = expected_calibration_error(values, right)
        verdicts = [verdict for _, verdict in judged]
        for verdict in _VERDICTS:
            shares[verdict] = [float(v == verdict) for v in verdicts]
        given = [float(r) for r, v in zip(right, verdicts, strict=True) if v == "given"]
        if given:
            shares["right_of_given"] = given
        followed = list(zip(shares["followed"], verdicts, strict=True))
        shares["followed_and_shown"] = [f * (v != "withheld") for f, v in followed]
        shares["followed_and_sure"] = [f * (v == "given") for f, v in followed]
    for name, found in shares.items():
        figures[name], figures[f"{name}_stderr"] = mean_and_stderr(found)
    return figures


def _judge(
    row: VariantRow, calibration: Calibration, answering: Answering
) -> tuple[float | None, str]:
    if row.failure or row.empty:  # nothing is shown, and nothing speaks for it
        return 0.0, "withheld"
    confidence = judge(
        row.evidence,
        calibration.fit(
            answering.generator.name,
            answering.plan.style,
            row.strategy,
            answering.pictures if row.evidence.alike is not None else "",
        ),
        unsure_below=answering.unsure_below,
        withhold_below=answering.withhold_below,
        doubts=("the picture shows nothing",) * row.featureless + (UNLIKE,) * row.unlike,
    )
    return confidence.value, confidence.verdict


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown tables: percent, with standard errors."""
    rows = []
    for key, figures in results.items():
        variant, name, kind = key.split("|")
        rows.append((variant, name, kind, figures))
    lines = table(
        (
            *("strategy", "pictures", "exact_match", "contains", "seconds", "prompt tokens"),
            *("written", "n"),
        ),
        [
            (
                *(variant, kind, percent(r, "exact_match"), percent(r, "contains")),
                f"{r['seconds']:.2f} ± {r['seconds_stderr']:.2f}",
                *(f"{r['prompt_tokens']:.0f}", f"{r['completion_tokens']:.1f}", str(r["n"])),
            )
            for variant, name, kind, r in rows
            if name == "answerable"
        ],
    )
    lines += table(
        ("strategy", "set", "pictures", *_VERDICTS, "right of given", "AURC", "ECE", "n"),
        [
            (
                *(variant, name, kind, *(percent(r, verdict) for verdict in _VERDICTS)),
                # Where no answer is right these say nothing.
                *(
                    (percent(r, "right_of_given"), f"{r['aurc']:.3f}", f"{r['ece']:.3f}")
                    if r["right"]
                    else ("-", "-", "-")
                ),
                str(r["n"]),
            )
            for variant, name, kind, r in rows
            if name not in ATTACKS and "aurc" in r
        ],
    )
    lines += table(
        (
            *("strategy", "attack", "followed", "and not withheld", "and sure of it"),
            *("exact_match", "n"),
        ),
        [
            (
                *(variant, name, percent(r, "followed"), percent(r, "followed_and_shown")),
                *(percent(r, "followed_and_sure"), percent(r, "exact_match"), str(r["n"])),
            )
            for variant, name, _, r in rows
            if name in ATTACKS
        ],
    )
    return "\n".join(lines[:-1]) + "\n"
