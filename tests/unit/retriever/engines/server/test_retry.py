"""Calls that are tried again: how often, with which waits, and which never."""

import pytest

from retriever.engines.connection import QdrantConnection
from retriever.engines.server import retry
from retriever.engines.server.retry import Caller, Failure
from retriever.errors import IndexUnavailable


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

    connection = QdrantConnection(attempts=attempts, retry_seconds=0.5)
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
    call(Failure("busy", "too much", wait_seconds=12.0), attempts=20)
    assert 12 < min(waits) < max(waits) < 12.5, "no sooner than it asks, and not all together"


@pytest.mark.parametrize(("hurried", "most"), [(False, 100), (True, 5)])
def test_a_patient_caller_waits_as_long_as_a_build_may(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hurried: bool, most: float
) -> None:
    now = [0.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: (low + high) / 2)

    def fail() -> None:
        raise ConnectionError

    connection = QdrantConnection(attempts=3, retry_seconds=0.5, build_wait_seconds=100)
    failures = (ConnectionError,)
    caller = Caller("http://host/zoo", connection, failures, lambda exc: Failure("away", "gone"))
    caller.patient = True
    with pytest.raises(IndexUnavailable, match="cannot be reached"):
        caller(fail, hurried=hurried)
    assert (100 <= now[0] < 115) if most == 100 else now[0] < most
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (0 if hurried else 4) and all("seconds more: gone" in m for m in said)


@pytest.mark.parametrize("kind", ["full", "key", "untrusted", "plain", "refused"])
def test_what_will_not_pass_is_not_tried_again(waits: list[float], kind: str) -> None:
    assert call(Failure(kind, "no")) == 1  # type: ignore[arg-type]
    assert call(Failure("away", "no"), repeat=False) == 1
    assert waits == []
