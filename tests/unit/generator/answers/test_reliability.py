import pytest

from generator.answers.reliability import aurc, expected_calibration_error, risk_coverage


def test_the_curve_by_hand() -> None:
    curve = risk_coverage([0.9, 0.2, 0.5], [True, False, True])
    assert curve == [(1 / 3, 0.0), (2 / 3, 0.0), (1.0, 1 / 3)]


def test_a_confidence_that_orders_wrongly_is_worse_than_one_that_is_constant() -> None:
    right = [True, True, False, False]
    assert aurc([0.9, 0.8, 0.2, 0.1], right) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert aurc([0.5] * 4, right) == 0.5
    assert aurc([0.1, 0.2, 0.8, 0.9], right) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


def test_the_calibration_error_by_hand() -> None:
    # A bin of two says 1.70 and has one right, a bin of one says 0.15 and has none.
    assert expected_calibration_error([0.81, 0.89, 0.15], [True, False, False]) == pytest.approx(
        (abs(1.70 - 1) + 0.15) / 3
    )
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0.0


def test_nothing_to_measure_is_a_bug() -> None:
    with pytest.raises(ValueError, match="0 confidences for 0 answers"):
        aurc([], [])
