"""How well confidences match what is right. Pure functions over parallel sequences."""

from collections.abc import Sequence


def risk_coverage(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """Return (coverage, risk) after each answer, the most confident first.

    Coverage is the share of questions answered, risk the share of wrong answers among those.
    Answers of equal confidence are answered together.
    """
    _check(confidence, right)
    order = sorted(range(len(right)), key=lambda i: -confidence[i])
    points, wrong = [], 0
    for done, i in enumerate(order, start=1):
        wrong += not right[i]
        last = done == len(order) or confidence[order[done]] != confidence[i]
        if last:
            points.append((done / len(order), wrong / done))
    return points


def aurc(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Return the area under the risk-coverage curve: the mean risk over all coverages.

    0 is perfect; the share of wrong answers is what a constant confidence has.

    >>> round(aurc([0.9, 0.8, 0.1], [True, True, False]), 4)  # the last third adds risk 1/3
    0.1111
    """
    area = before = 0.0
    for coverage, risk in risk_coverage(confidence, right):
        area += (coverage - before) * risk
        before = coverage
    return area


def ranked_right(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Return how often a right answer has more confidence than a wrong one, ties counting half.

    The area under the ROC curve: 0.5 is chance, 1 perfect.

    Raises:
        ValueError: all answers are right, or none is.

    >>> ranked_right([0.9, 0.4, 0.5, 0.4], [True, True, False, False])
    0.625
    """
    _check(confidence, right)
    good = [value for value, is_right in zip(confidence, right, strict=True) if is_right]
    bad = [value for value, is_right in zip(confidence, right, strict=True) if not is_right]
    if not good or not bad:
        raise ValueError(f"{len(good)} of {len(right)} answers are right: there is nothing to rank")
    return sum((g > b) + (g == b) / 2 for g in good for b in bad) / (len(good) * len(bad))


def expected_calibration_error(
    confidence: Sequence[float], right: Sequence[bool], bins: int = 10
) -> float:
    """Return the mean gap between confidence and accuracy over equally wide bins of confidence.

    >>> expected_calibration_error([0.75, 0.75], [True, False])
    0.25
    """
    _check(confidence, right)
    gap = 0.0
    for b in range(bins):
        inside = [
            i
            for i, value in enumerate(confidence)
            if b / bins <= value < (b + 1) / bins or (b == bins - 1 and value == 1)
        ]
        if inside:
            said = sum(confidence[i] for i in inside)
            gap += abs(said - sum(right[i] for i in inside))
    return gap / len(right)


def _check(confidence: Sequence[float], right: Sequence[bool]) -> None:
    if len(confidence) != len(right) or not right:
        raise ValueError(f"{len(confidence)} confidences for {len(right)} answers")
