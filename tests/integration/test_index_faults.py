"""A server that is slow, gone, full, locked or restarting: a clear error, and nothing lost."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from retriever.engines.connection import QdrantConnection
from retriever.engines.deadline import wanted_until
from retriever.engines.server.engine import ServerStore
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index.passage_index import PassageIndex
from tests.index_cases import DIM, make_fingerprint, make_passages, random_embeddings, unit
from tests.integration.qdrant_server import Refusal, StandIn

COUNT = 12
PASSAGES, EMBEDDINGS = make_passages(COUNT), random_embeddings(COUNT)


def connection(server: StandIn, **changes: object) -> QdrantConnection:
    quick = QdrantConnection(grpc_port=server.grpc_port, attempts=3, retry_seconds=0.01)
    return replace(quick, **changes)  # type: ignore[arg-type]


def start(server: StandIn, **changes: object) -> PassageIndex:
    return PassageIndex.create_or_resume(
        f"{server.url}/zoo", make_fingerprint(COUNT), connection=connection(server, **changes)
    )


def failing(operation: str, times: int, error: Callable[[], Refusal]) -> Callable[[str], None]:
    """Return a fault that hits an operation so many times."""
    left = [times]

    def fault(current: str) -> None:
        if current == operation and left[0] > 0:
            left[0] -= 1
            raise error()

    return fault


def finish(server: StandIn) -> None:
    """Go on with the build as a new process would, and look at the result."""
    with start(server) as index:
        present = index.passage_ids()
        missing = [i for i, p in enumerate(PASSAGES) if p.id not in present]
        index.upsert([PASSAGES[i] for i in missing], [EMBEDDINGS[i] for i in missing])
        index.finish()
        assert index.count == COUNT and index.passage_ids() == {p.id for p in PASSAGES}
        assert index.search(EMBEDDINGS[3], 1, mode="exact")[0].passage == PASSAGES[3]


def swap(server: StandIn, fault: Callable[[str], None] = lambda operation: None) -> None:
    """Build anew with another checkpoint, and replace what is there, with a fault at the end."""
    place, other = f"{server.url}/zoo", replace(make_fingerprint(1), checkpoint_sha256="c1")
    with PassageIndex.update(place, other, connection=connection(server), fresh=True) as index:
        assert index.count == 0
        index.upsert(PASSAGES[:1], EMBEDDINGS[:1])
        server.fault = fault
        index.finish()
        server.fault = lambda operation: None
    with PassageIndex.open(place, other, connection(server)) as index:
        assert index.count == 1


@pytest.mark.parametrize("operation", ["upsert", "info", "query"])
@pytest.mark.parametrize("status", [503, 0])
def test_a_passing_failure_is_tried_again(stand_in: StandIn, operation: str, status: int) -> None:
    with start(stand_in) as index:
        stand_in.fault = failing(operation, 2, lambda: Refusal(status, "busy"))
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish()
        assert index.search(EMBEDDINGS[3], 1)[0].passage == PASSAGES[3]


def asked_again(server: StandIn, index: PassageIndex, refusal: Refusal, operation: str) -> float:
    """Return how long after a refusal an operation was asked for again, and was answered."""
    moments: list[float] = []

    def fault(current: str) -> None:
        if current == operation:
            moments.append(time.monotonic())
            if len(moments) == 1:
                raise refusal

    server.fault = fault
    if operation == "query":
        assert index.search(EMBEDDINGS[3], 1)[0].passage == PASSAGES[3]
    else:
        assert len(index.rows([PASSAGES[3].id])) == 1
    first, second = moments
    return second - first


@pytest.fixture
def searched(stand_in: StandIn) -> Iterator[PassageIndex]:
    with start(stand_in) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish()
    with PassageIndex.open(f"{stand_in.url}/zoo", connection=connection(stand_in)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "operation"), [(503, "query"), (429, "query"), (429, "retrieve vectors")]
)
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(
    stand_in: StandIn, searched: PassageIndex, status: int, operation: str
) -> None:
    refusal = Refusal(status, "too much", retry_after="1")
    assert 1 <= asked_again(stand_in, searched, refusal, operation) < 2


@pytest.mark.parametrize("status", [429, 503])
def test_it_may_ask_by_a_date_and_what_is_no_time_is_none(
    stand_in: StandIn, searched: PassageIndex, status: int
) -> None:
    when = formatdate(time.time() + 1.5, usegmt=True)  # whole seconds
    refusal = Refusal(status, "too much", retry_after=when)
    assert 0.5 <= asked_again(stand_in, searched, refusal, "query") < 2.5
    refusal = Refusal(status, "too much", retry_after="soon")
    assert asked_again(stand_in, searched, refusal, "query") < 0.5


@pytest.mark.parametrize("status", [429, 503])
def test_nobody_waits_for_a_busy_server_longer_than_its_answer_is_of_use(
    stand_in: StandIn, searched: PassageIndex, status: int
) -> None:
    stand_in.fault = failing("query", 2, lambda: Refusal(status, "too much", retry_after="30"))
    began, asked = time.monotonic(), stand_in.operations.count("query")
    with (
        wanted_until(began + 5),
        pytest.raises(IndexUnavailable, match="as long as the answer was of use: too much"),
    ):
        searched.search(EMBEDDINGS[3], 1)
    assert time.monotonic() - began < 2 and stand_in.operations.count("query") == asked + 1


def test_nor_longer_than_a_request_may_take(stand_in: StandIn, searched: PassageIndex) -> None:
    stand_in.fault = failing("query", 2, lambda: Refusal(503, "too much", retry_after="3600"))
    with pytest.raises(IndexUnavailable, match="It asks to be left alone for 3600 seconds"):
        searched.search(EMBEDDINGS[3], 1)


def test_a_server_that_stays_away_is_reported_and_the_build_goes_on(stand_in: StandIn) -> None:
    with start(stand_in) as index:
        index.upsert(PASSAGES[:5], EMBEDDINGS[:5])
        stand_in.fault = failing("upsert", 3, lambda: Refusal(503, "starting"))
        with pytest.raises(IndexUnavailable, match=r"cannot be reached, 3 times: .*is kept"):
            index.upsert(PASSAGES[5:], EMBEDDINGS[5:])
    finish(stand_in)


def test_a_server_that_is_gone_is_reported(stand_in: StandIn) -> None:
    with start(stand_in) as index:
        index.upsert(PASSAGES[:5], EMBEDDINGS[:5])
        stand_in.stop()
        for call in (
            lambda: index.upsert(PASSAGES[5:], EMBEDDINGS[5:]),
            lambda: index.search(EMBEDDINGS[0], 1),
            lambda: start(stand_in),
        ):
            with pytest.raises(IndexUnavailable, match=r"cannot be reached.*gRPC port open"):
                call()
        stand_in.start()
    finish(stand_in)


def test_a_server_that_restarts_is_waited_for(stand_in: StandIn) -> None:
    import threading

    with start(stand_in, attempts=8, retry_seconds=0.1) as index:
        index.upsert(PASSAGES[:5], EMBEDDINGS[:5])
        stand_in.stop()
        back = threading.Timer(0.3, stand_in.start)
        back.start()
        index.upsert(PASSAGES[5:], EMBEDDINGS[5:])
        back.join()
        assert index.count == COUNT
    finish(stand_in)


def test_a_slow_server_is_reported(stand_in: StandIn) -> None:
    with start(stand_in, timeout_seconds=1, attempts=1) as index:
        index.upsert(PASSAGES[:5], EMBEDDINGS[:5])
        stand_in.fault = lambda operation: time.sleep(1.5)
        for call in (
            lambda: index.upsert(PASSAGES[5:], EMBEDDINGS[5:]),
            lambda: index.search(EMBEDDINGS[0], 1),
        ):
            with pytest.raises(IndexUnavailable, match=r"did not answer within 1 seconds.*TIMEOUT"):
                call()
        stand_in.fault = lambda operation: None
    finish(stand_in)


def test_a_full_server_is_reported_at_once(stand_in: StandIn) -> None:
    text = "Service internal error: No space left on device: WAL buffer size exceeds"
    with start(stand_in) as index:
        index.upsert(PASSAGES[:5], EMBEDDINGS[:5])
        stand_in.fault = failing("upsert", 9, lambda: Refusal(500, text))
        stand_in.operations.clear()
        with pytest.raises(IndexUnavailable, match=r"disk of the Qdrant server .* is full.*kept"):
            index.upsert(PASSAGES[5:], EMBEDDINGS[5:])
        assert stand_in.operations == ["upsert"], "a full disk does not pass by itself"
        stand_in.fault = lambda operation: None
    finish(stand_in)


def test_a_wrong_key_is_reported_and_a_right_one_works(tmp_path: Path) -> None:
    server = StandIn(tmp_path, api_key="right")
    try:
        for key in (None, "wrong"):
            with pytest.raises(IndexUnavailable, match="refuses the key: set KBVQA_QDRANT_API_KEY"):
                start(server, api_key=key)
        with start(server, api_key="right") as index:
            index.upsert(PASSAGES, EMBEDDINGS)
            server.api_key = "changed"
            with pytest.raises(IndexUnavailable, match="refuses the key"):  # over gRPC
                index.upsert(PASSAGES, EMBEDDINGS)
    finally:
        server.stop()


def test_another_dim_is_refused_before_anything_is_sent(stand_in: StandIn) -> None:
    with start(stand_in) as index:
        stand_in.operations.clear()
        with pytest.raises(ValueError, match=rf"expected rows \[>=1, {DIM}\]"):
            index.upsert(PASSAGES[:1], [unit([[1]])[:, :8]])
        assert stand_in.operations == []
    with pytest.raises(IndexNotReady, match="dim is 16 in the index and 8 here"):
        PassageIndex.create_or_resume(
            f"{stand_in.url}/zoo",
            replace(make_fingerprint(COUNT), dim=8),
            connection=connection(stand_in),
        )


def test_a_collection_that_vanishes_is_reported(stand_in: StandIn) -> None:
    with start(stand_in) as index:
        stand_in.drop("zoo-1")
        with pytest.raises(IndexNotReady, match="does not know the collection"):
            index.upsert(PASSAGES, EMBEDDINGS)


def test_a_foreign_collection_is_left_alone(stand_in: StandIn) -> None:
    from qdrant_client import models

    vectors = {"v": models.VectorParams(size=4, distance=models.Distance.DOT)}
    stand_in.create("zoo", models.CreateCollection(vectors=vectors))
    with pytest.raises(IndexUnavailable, match="'zoo' is not an index of kbvqa"):
        start(stand_in)
    assert set(stand_in.collections) == {"zoo"} and stand_in.collections["zoo"].metadata == {}


def test_a_build_killed_before_the_name_exists_leaves_nothing_behind(stand_in: StandIn) -> None:
    stand_in.fault = failing("change_aliases", 9, lambda: Refusal(500, "killed here"))
    with pytest.raises(IndexUnavailable, match="killed here"):
        start(stand_in)
    stand_in.fault = lambda operation: None
    finish(stand_in)
    assert set(stand_in.collections) == {"zoo-1"}


def test_a_collection_that_a_killed_swap_left_goes_with_the_next(stand_in: StandIn) -> None:
    finish(stand_in)
    swap(stand_in, failing("drop", 1, lambda: Refusal(500, "killed here")))
    assert set(stand_in.collections) == {"zoo-1", "zoo-2"}
    assert stand_in.aliases == {"zoo": "zoo-2"}, "the swap is done all the same"
    swap(stand_in)
    assert set(stand_in.collections) == {"zoo-3"}, "and a name is not used again"


def test_what_a_killed_swap_left_goes_though_nothing_is_left_to_build(stand_in: StandIn) -> None:
    place, swapped = f"{stand_in.url}/zoo", replace(make_fingerprint(1), checkpoint_sha256="c1")
    finish(stand_in)
    swap(stand_in, failing("drop", 1, lambda: Refusal(500, "killed here")))
    other = ServerStore(place, connection(stand_in))
    other.lock()
    assert PassageIndex.finished(place, swapped, connection(stand_in)) is not None
    assert set(stand_in.collections) == {"zoo-1", "zoo-2"}, "who builds does it himself"
    other.close()
    found = PassageIndex.finished(place, swapped, connection(stand_in))
    assert found is not None and found.place == "zoo-2"
    assert set(stand_in.collections) == {"zoo-2"}


def test_a_swap_killed_just_before_the_name_comes_to_it_has_nothing_to_do_again(
    stand_in: StandIn,
) -> None:
    place, swapped = f"{stand_in.url}/zoo", replace(make_fingerprint(1), checkpoint_sha256="c1")
    finish(stand_in)
    with pytest.raises(IndexUnavailable, match="killed here"):
        swap(stand_in, failing("change_aliases", 9, lambda: Refusal(500, "killed here")))
    stand_in.fault = lambda operation: None
    assert stand_in.aliases == {"zoo": "zoo-1"}
    made = connection(stand_in)
    with PassageIndex.update(place, swapped, connection=made, fresh=True) as index:
        assert index.count == 1, "what was written is not written again"
        index.finish()
    assert set(stand_in.collections) == {"zoo-2"} and stand_in.aliases == {"zoo": "zoo-2"}


def test_an_index_whose_name_looks_like_a_collection_is_left_alone(stand_in: StandIn) -> None:
    other = f"{stand_in.url}/zoo-1"
    with PassageIndex.create(other, make_fingerprint(1), connection=connection(stand_in)) as index:
        index.upsert(PASSAGES[:1], EMBEDDINGS[:1])
        index.finish()
    finish(stand_in)
    assert stand_in.aliases == {"zoo-1": "zoo-1-1", "zoo": "zoo-2"}
    with PassageIndex.open(other, connection=connection(stand_in)) as index:
        assert index.count == 1


def test_a_collection_is_made_once_though_the_answer_was_lost(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, lost = stand_in.create, iter([True])

    def creates_and_fails(name: str, request: Any) -> bool:
        create(name, request)
        if next(lost, False):
            raise Refusal(503, "the answer was lost")
        return True

    monkeypatch.setattr(stand_in, "create", creates_and_fails)
    finish(stand_in)
    assert stand_in.operations.count("create") == 1


def test_a_snapshot_is_asked_for_once(stand_in: StandIn) -> None:
    finish(stand_in)
    store = ServerStore(f"{stand_in.url}/zoo", connection(stand_in, work_seconds=1))
    stand_in.fault = lambda operation: time.sleep(1.5 * (operation == "snapshot"))
    with pytest.raises(IndexUnavailable, match="did not answer within 1 seconds: it is"):
        store.snapshot()
    store.close()
    assert stand_in.operations.count("snapshot") == 1


def test_a_snapshot_may_take_longer_than_a_request(stand_in: StandIn) -> None:
    finish(stand_in)
    store = ServerStore(f"{stand_in.url}/zoo", connection(stand_in, timeout_seconds=1))
    stand_in.fault = lambda operation: time.sleep(1.5 * (operation == "snapshot"))
    assert store.snapshot() == "zoo-1/zoo-1-2026.snapshot"
    store.close()


def test_writes_are_bounded_by_bytes(stand_in: StandIn) -> None:
    rows = unit([[1, 2]]).repeat(30_000, axis=0)  # 480,000 numbers; a write takes 1,048,576
    with start(stand_in) as index:
        index.upsert(PASSAGES[:5], [rows] * 5)
        assert stand_in.operations.count("upsert") == 3 and index.count == 5


@pytest.mark.parametrize("url", ["http://host:6333", "http://host:6333/", "http:///zoo"])
def test_a_url_without_a_collection_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:6333/NAME"):
        PassageIndex.open(url)
