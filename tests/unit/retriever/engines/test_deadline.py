"""Until when anybody waits: for the whole of a request, whatever it does meanwhile."""

import threading
import time

import pytest

from retriever.engines.deadline import in_time, seconds_left, wanted_until


def test_without_an_end_a_request_is_made_here() -> None:
    assert in_time(threading.get_ident) == threading.get_ident()


def test_with_one_it_is_waited_for_no_longer() -> None:
    released = threading.Event()
    began = time.monotonic()
    with wanted_until(began + 0.2), pytest.raises(TimeoutError):
        in_time(released.wait)
    assert 0.2 <= time.monotonic() - began < 2
    released.set()


def test_it_knows_the_end_and_its_errors_are_told() -> None:
    def fail() -> None:
        raise LookupError(f"{seconds_left():.0f}")

    with wanted_until(time.monotonic() + 100), pytest.raises(LookupError, match="100"):
        in_time(fail)


def test_behind_the_end_none_is_made() -> None:
    made: list[int] = []
    with wanted_until(time.monotonic()), pytest.raises(TimeoutError):
        in_time(lambda: made.append(1))
    assert made == []
