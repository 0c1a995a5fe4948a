"""What is fitted on the half that calibrates: a temperature of scores, and the confidence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from app.evaluation.benchmarks.benchmark import contains_match
from app.evaluation.strategies.rows import VariantRow
from app.evaluation.strategies.sets import Finding
from generator.answers.answer import Candidate
from generator.answers.answering import Answering
from generator.answers.confidence import (
    Calibration,
    centred,
    fit_confidence,
    fit_name,
    fit_temperature,
)
from generator.answers.extracting import shown, sureness
from generator.answers.selection import choose, log_prior
from generator.extractive.reader import ExtractiveReader

TEMPERATURES = (0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
# What the probabilities are of: four in five questions can be answered.
ASKED = {"answerable": 1.0, "unanswerable": 1 / 4}


def fitted_temperature(found: Sequence[Finding], read: int) -> float:
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


def fitted_choice(reader: ExtractiveReader, found: Sequence[Finding], read: int) -> float:
    """Return the temperature at which most answers are right, on the half that calibrates.

    The extractive reader says little of whether a passage is the right one, so that what is
    likeliest for the passages is not what is best for the answers. Of equal ones the greatest.

    Args:
        reader: reads the passages.
        found: all examples with their hits.
        read: how many hits it reads.
    """
    right = dict.fromkeys(TEMPERATURES, 0.0)
    for f in found:
        if not f.calibrates or not f.known:
            continue
        hits = f.hits[:read]
        question = f.example.question
        readings = reader.read(question, [hit.passage.text for hit in hits])
        for temperature in TEMPERATURES:
            priors = log_prior([hit.score for hit in hits], temperature)
            candidates = [
                Candidate(i + 1, shown(question, hits[i].passage, r)[0], priors[i], sureness(r))
                for i, r in enumerate(readings)
                if r.text
            ]
            if candidates:
                answer = choose(candidates).winner.text
                right[temperature] += contains_match(answer, f.example.answers)
    return max(TEMPERATURES, key=lambda t: (right[t], t))


def calibrated(rows: Iterable[VariantRow], answering: Answering) -> Calibration:
    """Return the calibration with the confidence of the strategy that is set.

    Fitted on the rows that calibrate, flags and things alike, to sixteen with their gold
    passage four without it, one with it but without the sentence that answers, two of which nothing
    is known that the picture shows, and one to a picture that shows nothing. Beside pictures it is
    added to the one without, where there is one, and fitted on what pictures had a say in, with
    four to a picture that shows nothing: how alike it is to others tells it apart. The
    probabilities are those of questions of which four in five can be answered.
    """
    plan, added = answering.plan, added_to(answering)
    mine = [
        row
        for row in rows
        if row.calibrates
        and not (row.failure or row.empty)
        and row.variant == plan.strategy
        and (row.evidence.alike is not None or not added)
    ]
    right = [row.right == 1 for row in mine]
    if not 0 < sum(right) < len(right):
        return answering.calibration
    learnt = {
        **ASKED,
        "unsaid": 1 / 16,
        "absent": 1 / 8,
        "unknown": 1 / 4 if added else 1 / 16,
    }
    counts = [shares_of(mine, learnt), shares_of(mine, ASKED)]
    # A fit that is for both knows nothing of pictures.
    evidence = [row.evidence if added else replace(row.evidence, alike=None) for row in mine]
    fit = centred(fit_confidence(evidence, right, counts[0]), evidence, right, counts[1])
    names = [
        fit_name(answering.generator.name, plan.style, plan.strategy, pictures)
        for pictures in ((answering.pictures,) if added else ("", answering.pictures))
    ]
    kept = (answering.calibration.fits or {}) if added else {}
    if added:
        fit = replace(fit, temperature=answering.planned().temperature)
    return replace(answering.calibration, fits={**kept, **dict.fromkeys(names, fit)})


def shares_of(rows: Sequence[VariantRow], shares: Mapping[str, float]) -> list[float]:
    """Return how much each row counts, so that sets of a kind have these shares.

    Args:
        rows: of any sets and kinds.
        shares: by set, to one of those that can be answered; sets that are not named count nothing.
    """
    found = Counter((row.kind, row.set) for row in rows)
    return [
        shares.get(row.set, 0.0) * found[row.kind, "answerable"] / found[row.kind, row.set]
        for row in rows
    ]


def added_to(answering: Answering) -> bool:
    """Return whether a confidence beside pictures is added to one without them, which is kept."""
    alone = replace(answering, pictures="").fit(answering.plan.strategy)
    return bool(answering.pictures) and alone is not None


def at_temperature(answering: Answering, temperature: float) -> Answering:
    """Return how is answered where scores have a temperature of their own beside pictures."""
    plan, calibration = answering.plan, answering.calibration
    fit = answering.fit(plan.strategy)
    assert fit is not None, "added to one that is there"
    name = fit_name(answering.generator.name, plan.style, plan.strategy, answering.pictures)
    fits = {**(calibration.fits or {}), name: replace(fit, temperature=temperature)}
    return replace(answering, calibration=replace(calibration, fits=fits))
