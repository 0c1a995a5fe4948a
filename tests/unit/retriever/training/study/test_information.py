"""The gain of a stage, by hand."""

import math

import pytest

from retriever.training.study.information import intermediate_gain


def test_the_gain_is_the_mean_of_paired_differences_in_nats_and_bits() -> None:
    """Right among four, two, one against right among two each: ln 2, 0 and -ln 2, twice the first.

    The mean of (1, 0, -1, 1) ln 2 is a quarter of ln 2. Their deviations from it are 3/4, -1/4,
    -5/4 and 3/4, whose squares sum to 44/16: the standard error is sqrt(44/16 / 3 / 4) ln 2.
    """
    without = [math.log(4), math.log(2), 0.0, math.log(4)]
    gain = intermediate_gain(without, [math.log(2)] * 4)
    assert gain.nats == pytest.approx(math.log(2) / 4)
    assert gain.bits == pytest.approx(1 / 4)
    assert gain.stderr == pytest.approx(math.sqrt(44 / 16 / 12) * math.log(2))
    assert gain.n == 4


def test_what_a_stage_loses_is_a_gain_below_nothing() -> None:
    assert intermediate_gain([1.0, 1.0], [2.0, 3.0]).nats == -1.5


def test_losses_of_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="1 losses without the stage, and 2 with it"):
        intermediate_gain([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="nothing was scored"):
        intermediate_gain([], [])
