"""How far confidences of a run can be trusted: risk against coverage, and the calibration error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.evaluation.record import Condition
from app.evaluation.reporting.runs import RIGHT_FROM, Run
from generator.answers.reliability import aurc, expected_calibration_error, risk_coverage

_POINTS = 200


@dataclass(frozen=True, slots=True)
class Reliability:
    """How confidences match what is right, under a condition of a run.

    Attributes:
        run: its name.
        condition: under which.
        n: answers with a confidence.
        asked: examples, with and without one.
        right: share of right ones among the n.
        aurc: area under the risk-coverage curve; 1 - right for confidences that say nothing.
        ece: expected calibration error, over 10 bins.
        curve: (coverage, risk), the most confident first.
    """

    run: str
    condition: Condition
    n: int
    asked: int
    right: float
    aurc: float
    ece: float
    curve: tuple[tuple[float, float], ...]


def reliabilities(run: Run) -> Iterator[Reliability]:
    """Yield them of each condition with a confidence."""
    said = run.said()
    for condition in run.conditions:
        confidence: list[float] = []
        right: list[bool] = []
        asked = 0
        for (of, id_), score in run.scores.items():
            if of != condition:
                continue
            asked += 1
            answer = said.get((of, id_))
            value = score.scores.get(run.results.judged_by)
            if answer is not None and answer.confidence is not None and value is not None:
                confidence.append(answer.confidence)
                right.append(value >= RIGHT_FROM)
        if confidence:
            yield reliability(run.name, condition, confidence, right, asked)


def reliability(
    run: str, condition: Condition, confidence: Sequence[float], right: Sequence[bool], asked: int
) -> Reliability:
    """Return how some confidences match what is right."""
    curve = risk_coverage(confidence, right)
    step = max(1, len(curve) // _POINTS)
    return Reliability(
        run=run,
        condition=condition,
        n=len(right),
        asked=asked,
        right=sum(right) / len(right),
        aurc=aurc(confidence, right),
        ece=expected_calibration_error(confidence, right),
        curve=(*curve[:-1:step], curve[-1]),
    )
