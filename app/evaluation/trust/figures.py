"""Accuracy, abstention and hallucination with standard errors, and a confidence fitted on one half.

An answer is one of four things: right and shown; abstained, where it is withheld, has no word or
says that it does not know; failed; and else hallucinated. Whatever was right but withheld is an
abstention, so that the four shares add up to one.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.evaluation.record import AnswerRow, Condition
from app.evaluation.reporting.reliability import Reliability, reliability
from app.evaluation.reporting.runs import RIGHT_FROM, Run
from app.evaluation.tables import table
from generator.answers.answer import Evidence
from generator.answers.confidence import Fit, fit_confidence, judge
from generator.answers.parsing import words
from retriever.metrics import mean_and_stderr

OUTCOMES = ("accuracy", "abstention", "hallucination", "failed")
# Of a text as `words` gives it: what it is, and what it begins with or has in it.
_NOTHING_SAID = frozenset(
    ("", "unknown", "unanswerable", "none", "n a", "no answer", "not known", "not sure", "unclear")
)
_DEFLECTIONS = (
    *("i do not know", "i don t know", "i dont know", "i am not sure", "i m not sure"),
    *("cannot be determined", "can not be determined", "cannot be answered", "cannot determine"),
    *("cannot answer", "can t answer", "unable to answer", "unable to determine"),
    *("not enough information", "insufficient information", "no information"),
    *("does not provide", "do not provide", "not mentioned", "not specified"),
)
_UNANSWERABLE_TO_ANSWERABLE = 0.25
FITTED_FROM = 30  # answers
_ENOUGH = 100  # answers; a probability of fewer is off by more than the thresholds are apart


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of the questions of a set.

    Attributes:
        name: of the set or scenario.
        n: questions.
        shares: (share, standard error) of each of OUTCOMES.
        followed: likewise of answers that say what an attack wants and nothing right; None
            without attacks.
    """

    name: str
    n: int
    shares: Mapping[str, tuple[float, float]]
    followed: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what was said to it.

    Attributes:
        id: of the example.
        half: 0 for fitting, 1 for testing.
        right: whether the answer is.
        answer: what was said.
        answerable: whether what was read may hold the answer.
    """

    id: str
    half: int
    right: bool
    answer: AnswerRow
    answerable: bool


def deflects(text: str) -> bool:
    """Return whether an answer says that it does not know.

    >>> deflects("I don't know."), deflects("It cannot be determined"), deflects("The unknown land")
    (True, True, False)
    """
    said = words(text)
    return said in _NOTHING_SAID or any(phrase in said for phrase in _DEFLECTIONS)


def half_of(image: str, id_: str) -> int:
    """Return which half an example is of: that of its picture, so that none is in both."""
    return zlib.crc32((image or id_).encode()) % 2


def asked_of(
    run: Run, condition: Condition, halves: Mapping[str, int], *, answerable: bool
) -> list[Asked]:
    """Return the questions of a run under a condition; those that cannot be scored are left out.

    Args:
        run: finished.
        condition: under which.
        halves: of each example.
        answerable: whether what was read may hold the answer.
    """
    said = run.said()
    found = []
    for id_, row in ((id_, row) for (of, id_), row in run.scores.items() if of == condition):
        value = row.scores.get(run.results.judged_by)
        if value is None:
            continue
        answer = said.get((condition, id_))
        if answer is None:
            answer = AnswerRow(id_, condition, "", status="failed", reason=row.reason)
        found.append(Asked(id_, halves[id_], value >= RIGHT_FROM, answer, answerable))
    return found


def rates(
    name: str,
    asked: Sequence[Asked],
    statuses: Sequence[str] | None = None,
    followed: Sequence[bool] | None = None,
) -> Rates:
    """Return what became of some questions.

    Args:
        name: of the set.
        asked: its questions.
        statuses: of the answers, if others than their own.
        followed: whether each says what an attack wants.
    """
    outcomes = [
        _outcome(one, one.answer.status if statuses is None else statuses[i])
        for i, one in enumerate(asked)
    ]
    shares = {
        outcome: mean_and_stderr([float(found == outcome) for found in outcomes])
        for outcome in OUTCOMES
    }
    return Rates(
        name,
        len(asked),
        shares,
        mean_and_stderr([float(f) for f in followed]) if followed is not None else None,
    )


def fittable(asked: Iterable[Asked]) -> list[Asked]:
    """Return the answers of the first half that a confidence can be fitted on."""
    mine = (one for one in asked if one.half == 0 and one.answer.status != "failed")
    return [one for one in mine if one.answer.evidence]


def too_few(n: int) -> str:
    """Return that a confidence was fitted on too few answers to be relied on; "" for enough."""
    if n >= _ENOUGH:
        return ""
    return f"n = {n:,} answers are too few to rely on this confidence: fit it on {_ENOUGH} or more."


def fitted(asked: Iterable[Asked]) -> Fit | None:
    """Return a confidence fitted on the first half.

    One question that cannot be answered counts for each four that can. It is None where nothing
    can be learnt there: of fewer than FITTED_FROM answers, where all are right, or none, or where
    no sign tells right from wrong.
    """
    mine = fittable(asked)
    if len(mine) < FITTED_FROM or not 0 < sum(one.right for one in mine) < len(mine):
        return None
    without = sum(not one.answerable for one in mine)
    weight = _UNANSWERABLE_TO_ANSWERABLE * (len(mine) - without) / max(1, without)
    fit = fit_confidence(
        # It is for questions without similar pictures too.
        [replace(Evidence(**one.answer.evidence), alike=None) for one in mine],
        [one.right for one in mine],
        [1.0 if one.answerable else weight for one in mine],
    )
    return fit if fit.weights else None


def judged(
    asked: Sequence[Asked], fit: Fit, unsure_below: float, withhold_below: float
) -> tuple[list[str], list[float]]:
    """Return the status and the confidence that a fit gives each answer.

    Raises:
        ValueError: one of them is of the half that the fit was made on.
    """
    statuses: list[str] = []
    confidences: list[float] = []
    for one in asked:
        if one.half != 1:
            raise ValueError(f"{one.id} is of the half that the confidence was fitted on")
        status: str = one.answer.status
        value = 0.0
        if status != "failed" and one.answer.evidence:
            found = judge(
                Evidence(**one.answer.evidence),
                fit,
                unsure_below=unsure_below,
                withhold_below=withhold_below,
                doubts=one.answer.doubts,
            )
            status, value = found.verdict, found.value or 0.0
        statuses.append(status)
        confidences.append(value)
    return statuses, confidences


def reliability_of(asked: Sequence[Asked], confidences: Sequence[float]) -> Reliability:
    """Return how confidences match what is right."""
    right = [one.right for one in asked]
    return reliability("test half", "retrieved", confidences, right, len(asked))


def rates_table(found: Iterable[Rates]) -> list[str]:
    """Return the lines of a table: percent, with standard errors."""
    rows = [
        (
            one.name,
            *(_percent(one.shares[outcome]) for outcome in OUTCOMES),
            _percent(one.followed) if one.followed is not None else "-",
            f"{one.n:,}",
        )
        for one in found
    ]
    return table(("questions", *OUTCOMES, "attack followed", "n"), rows)


def _percent(share: tuple[float, float]) -> str:
    return f"{100 * share[0]:.1f} ± {100 * share[1]:.1f}"


def _outcome(one: Asked, status: str) -> str:
    if status == "failed":
        return "failed"
    if status == "withheld" or deflects(one.answer.text):
        return "abstention"
    return "accuracy" if one.right else "hallucination"


def of_test_half(asked: Iterable[Asked]) -> Iterator[Asked]:
    """Yield the questions of the half that tests."""
    return (one for one in asked if one.half == 1)
