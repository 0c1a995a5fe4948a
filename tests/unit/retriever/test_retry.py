"""Calls that are tried again: how often, with which waits, and which never."""

import pytest

from retriever.engines import retry
from retriever.engines.retry import Caller, Failure
from retriever.errors import IndexUnavailable
from retriever.index_settings import Connection


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", slept.append)
    return slept


def call(failure: Failure, *, attempts: int = 5, repeat: bool = True) -> int:
    """Return how often a function that always fails was called."""
    calls = [0]

    def fail() -> None:
        calls[0] += 1
        raise ConnectionError

    connection = Connection(attempts=attempts, retry_seconds=0.5)
    caller = Caller("http://host/zoo", connection, (ConnectionError,), lambda exc: failure)
    with pytest.raises(IndexUnavailable):
        caller(fail, repeat=repeat)
    return calls[0]


def test_waits_double_give_or_take_half_and_differ(waits: list[float]) -> None:
    for _ in range(20):
        assert call(Failure("away", "refused")) == 5
    assert len(waits) == 20 * 4
    for number in range(4):
        ours = waits[number::4]
        assert 0.25 * 2**number <= min(ours) < max(ours) <= 0.75 * 2**number
        assert len(set(ours)) > 10, "many clients would come back together"


def test_waits_are_bounded_and_heed_the_server(waits: list[float]) -> None:
    assert call(Failure("slow", "timeout"), attempts=12) == 12
    assert max(waits) == 10.0
    waits.clear()
    call(Failure("away", "busy", wait_seconds=3.0), attempts=3)
    assert waits == [3.0, 3.0]


@pytest.mark.parametrize("kind", ["full", "key", "untrusted", "plain", "refused"])
def test_what_will_not_pass_is_not_tried_again(waits: list[float], kind: str) -> None:
    assert call(Failure(kind, "no")) == 1  # type: ignore[arg-type]
    assert call(Failure("away", "no"), repeat=False) == 1
    assert waits == []
