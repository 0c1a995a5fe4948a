"""What a real Qdrant 1.19.0 did: passing faults, restarts, unfinished optimisation, strict mode."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from retriever.building.tools import copy_index, verify_index
from retriever.engines import candidates
from retriever.engines.connection import Cluster, QdrantConnection
from retriever.engines.interface import LEARNED, MEAN
from retriever.engines.server import retry
from retriever.engines.server.engine import ServerStore
from retriever.errors import IndexUnavailable
from retriever.index import search as index_search
from retriever.index.passage_index import Learning, PassageFilter, PassageIndex
from tests.index_cases import ids, make_fingerprint, make_passages, random_embeddings
from tests.integration.conftest import Server
from tests.integration.qdrant_answers import NOT_ENOUGH_SPACE, PASSING, Refusal
from tests.integration.qdrant_server import StandIn

COUNT = 60
PASSAGES, EMBEDDINGS = make_passages(COUNT), random_embeddings(COUNT)
ALL_PASSING = [text for texts in PASSING.values() for text in texts]


def at(server: StandIn, **changes: Any) -> QdrantConnection:
    quick = QdrantConnection(grpc_port=server.grpc_port, attempts=3, retry_seconds=0.01)
    return replace(quick, **changes)


def start(server: StandIn, **changes: Any) -> PassageIndex:
    return PassageIndex.create_or_resume(
        f"{server.url}/zoo", make_fingerprint(COUNT), connection=at(server, **changes)
    )


def opened(server: StandIn, **changes: Any) -> PassageIndex:
    return PassageIndex.open(f"{server.url}/zoo", connection=at(server, **changes))


@pytest.fixture
def built(stand_in: StandIn) -> StandIn:
    with start(stand_in) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish()
    return stand_in


def twice(operations: set[str], status: int, text: str) -> Callable[[str], None]:
    """Return a fault that hits each of some operations twice."""
    left = dict.fromkeys(operations, 2)

    def fault(operation: str) -> None:
        if left.get(operation, 0) > 0:
            left[operation] -= 1
            raise Refusal(status, text)

    return fault


@pytest.mark.parametrize("text", ALL_PASSING)
def test_a_build_and_a_search_outlive_what_passes_in_a_cluster(
    stand_in: StandIn, text: str
) -> None:
    everything = {"aliases", "create", "change_aliases", "info", "patch", "index", "count"}
    everything |= {"upsert", "query", "scroll", "scroll vectors", "retrieve", "delete"}
    stand_in.fault = twice(everything, 500, text)
    with start(stand_in) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        assert index.delete(["p059"]) == 1
        index.upsert(PASSAGES[59:], EMBEDDINGS[59:])
        index.finish()
        assert ids(index.search(EMBEDDINGS[3], 1)) == ["p003"]
        assert verify_index(index) == []
    assert set(stand_in.collections) == {"zoo-1"}


def test_an_internal_error_of_another_kind_ends_at_once(built: StandIn) -> None:
    with opened(built) as index:
        built.fault = lambda operation: (_ for _ in ()).throw(Refusal(500, "Wal is broken"))
        built.operations.clear()
        with pytest.raises(IndexUnavailable, match="refused a request: Wal is broken"):
            index.search(EMBEDDINGS[3], 1)
        assert built.operations == ["query"]


def test_a_build_waits_for_a_server_that_restarts_and_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It is away for longer than the tries of a search take."""
    location, made_from = server.home.location, make_fingerprint(COUNT)
    hurried = replace(server.home.connection, attempts=2, retry_seconds=0.01)
    patient = replace(hurried, build_wait_seconds=300)
    with PassageIndex.create_or_resume(location, made_from, connection=patient) as index:
        index.upsert(PASSAGES[:5], EMBEDDINGS[:5])
        server.stop()
        with pytest.raises(IndexUnavailable, match="cannot be reached, 2 times"):
            PassageIndex.open(location, connection=hurried)
        waited = threading.Event()

        class Waiting(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "waiting for the Qdrant server" in record.getMessage():
                    waited.set()

        def come_back() -> None:
            assert waited.wait(30)
            server.start()

        handler = Waiting()
        retry.logger.addHandler(handler)
        back = threading.Thread(target=come_back)
        back.start()
        try:
            index.upsert(PASSAGES[5:], EMBEDDINGS[5:])
        finally:
            retry.logger.removeHandler(handler)
            back.join()
        index.finish()
        assert index.count == COUNT and verify_index(index) == []
    assert "seconds more: " in caplog.text


def test_a_build_gives_up_when_its_wait_is_over(stand_in: StandIn) -> None:
    with start(stand_in, attempts=1, build_wait_seconds=1) as index:
        stand_in.fault = twice(set(), 0, "")
        stand_in.stop()
        with pytest.raises(IndexUnavailable, match=r"times in \d+ seconds .*BUILD_WAIT_SECONDS"):
            index.upsert(PASSAGES, EMBEDDINGS)
        stand_in.start()


def test_a_server_is_told_how_long_a_request_may_take(stand_in: StandIn) -> None:
    with start(stand_in, timeout_seconds=77) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        index.delete(["p000"])
        index.upsert(PASSAGES[:1], EMBEDDINGS[:1])
        index.finish()
        index.search(EMBEDDINGS[0], 3)
        index.get(["p001"])
        index.sources()
        assert len(list(index.row_counts())) == len(list(index.points())) == COUNT
    asked = {"upsert", "delete", "count", "query", "retrieve", "scroll", "create", "index"}
    asked |= {"change_aliases", "facet", "patch", "scroll vectors"}
    assert all(stand_in.timeouts[name] - {None} == {77} for name in asked), stand_in.timeouts


def test_exact_searches_are_cut_by_what_a_request_may_take(
    built: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first query alone shows how long they take: here as if 0.1 seconds a row."""
    now = [0.0]
    monkeypatch.setattr(index_search.time, "monotonic", lambda: now[0])
    queries = [rows[:1] for rows in EMBEDDINGS[:20]]
    sizes: list[int] = []
    with opened(built, timeout_seconds=4) as index:
        engine = index._engine
        query = engine.query

        def slow(searches: Any) -> Any:
            sizes.append(len(searches))
            now[0] += 0.1 * len(searches)
            return query(searches)

        monkeypatch.setattr(engine, "query", slow)
        hits = index.search_many(queries, 1, mode="exact")
        assert sizes == [1, 10, 9], "a quarter of the limit"
        sizes.clear()
        index.search_many(queries, 1)
        assert sizes == [20]
    assert len(hits) == 20


def pending(server: StandIn, status: str = "grey", trouble: str = "") -> None:
    """Leave a collection as a restart, or a full disk, leaves it."""
    collection = server.collections[server.aliases["zoo"]]
    collection.status, collection.trouble, collection.looks = status, trouble, 3


def test_a_finish_wakes_what_a_restart_left_grey(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with start(stand_in) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        pending(stand_in)
        index.finish(say=said.append)
    assert stand_in.collections["zoo-1"].status == "green"
    assert said == [
        "Optimising: grey, 69 segments, 0 vectors indexed",
        "Optimising: yellow, 69 segments, 0 vectors indexed",
    ]


def test_info_and_verify_say_that_a_collection_is_not_optimised(built: StandIn) -> None:
    with opened(built) as index:
        assert index.state == "" and index.facts["status"] == "green"
        pending(built)
        assert index.facts["status"] == "grey" and index.facts["segments"] == 69
        (problem,) = verify_index(index)
        assert "zoo-1 is not optimised (grey; 69 segments)" in problem
        assert "`kbvqa index optimise`" in problem
        index.optimise()
        assert index.state == "" and verify_index(index) == []


def test_a_full_disk_that_stops_the_optimiser_is_named(stand_in: StandIn) -> None:
    with start(stand_in) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        pending(stand_in, "red", NOT_ENOUGH_SPACE)
        stand_in.room = False
        with pytest.raises(IndexUnavailable, match=r"no room on its disk.*needed: 2048.*is kept"):
            index.finish()
        stand_in.room = True
        index.finish()
        assert index.complete and stand_in.collections["zoo-1"].status == "green"


def test_a_red_collection_without_a_reason_says_where_to_look(stand_in: StandIn) -> None:
    with start(stand_in) as index:
        index.upsert(PASSAGES, EMBEDDINGS)

        def stays_red(operation: str) -> None:
            pending(stand_in, "red")

        stand_in.fault = stays_red
        with pytest.raises(IndexUnavailable, match=r"cannot optimise zoo-1 \(red\): .*its log"):
            index.finish()
        stand_in.fault = lambda operation: None


def test_an_optimiser_that_stands_still_is_given_up(stand_in: StandIn) -> None:
    with start(stand_in, work_seconds=1) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        collection = stand_in.collections["zoo-1"]
        collection.status, collection.looks = "yellow", 10**9
        with pytest.raises(
            IndexUnavailable, match=r"\(yellow\) has made no progress for 1 sec.*WORK_SEC"
        ):
            index.finish()
        collection.looks = 1
        index.finish()


FITTING = {
    "max_query_limit": 100,
    "max_timeout": 5,
    "search_max_hnsw_ef": 64,
    "upsert_max_batchsize": 7,
    "search_max_batchsize": 3,
    "condition_max_size": 10,
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
}


def strict(server: StandIn, **settings: Any) -> None:
    config = models.StrictModeConfig(enabled=True, **settings)
    server.collections[server.aliases["zoo"]].strict = config


def test_learned_vectors_and_means_are_all_compared(
    built: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[models.QueryRequestBatch] = []
    check = built.check

    def seen(operation: str, names: Any, request: Any, timeout: Any) -> None:
        asked.extend([request] if operation == "query" else [])
        check(operation, names, request, timeout)

    monkeypatch.setattr(built, "check", seen)
    monkeypatch.setattr(candidates, "LEARNED_FROM", COUNT)
    first = []
    for learning in (None, Learning(random_embeddings(30, seed=5))):
        with PassageIndex.update(
            f"{built.url}/zoo", make_fingerprint(COUNT), connection=at(built)
        ) as index:
            index.finish(learning=learning)
        with opened(built) as index:
            assert ids(index.search(EMBEDDINGS[3], 1, candidates=400)) == [PASSAGES[3].id]
        step = asked[-1].searches[0]
        while isinstance(step.prefetch, models.Prefetch):
            step = step.prefetch
        first.append((step.using, step.params.exact, step.params.hnsw_ef))
    assert first == [(MEAN, True, None), (LEARNED, True, None)]


def test_requests_keep_to_what_strict_mode_lets_them_ask(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    start(stand_in).close()
    strict(stand_in, **FITTING)
    with start(stand_in) as index:
        assert "max_query_limit is 100, but a step of the search takes 4,000" in caplog.text
        index.upsert(PASSAGES, EMBEDDINGS)
        assert index.delete([p.id for p in PASSAGES[:25]]) == 25
        index.upsert(PASSAGES[:25], EMBEDDINGS[:25])
        index.finish()
        with PassageIndex.open(f"{stand_in.url}/zoo", connection=at(stand_in)) as again:
            assert again.unfit(10) == [] and verify_index(again) == []
        expected = [[p.id] for p in PASSAGES[:8]]
        assert [ids(h) for h in index.search_many(EMBEDDINGS[:8], 1, candidates=10)] == expected
        assert len(index.passage_ids()) == COUNT
        chosen = PassageFilter(ids=tuple(p.id for p in PASSAGES[5:45]))
        for mode in ("exact", "two-stage"):
            hits = index.search(EMBEDDINGS[3], 10, chosen, mode, candidates=10)  # type: ignore[arg-type]
            strict(stand_in)
            assert ids(hits) == ids(index.search(EMBEDDINGS[3], 10, chosen, "exact"))
            strict(stand_in, **FITTING)


def test_strict_mode_that_refuses_every_search_is_named_before_a_build(stand_in: StandIn) -> None:
    start(stand_in).close()
    strict(stand_in, search_allow_exact=False)
    stand_in.operations.clear()
    with pytest.raises(
        IndexUnavailable, match=r"search_allow_exact is false.*docs/guide/qdrant\.md"
    ):
        start(stand_in)
    assert "upsert" not in stand_in.operations


def test_a_search_that_strict_mode_refuses_names_the_setting(built: StandIn) -> None:
    strict(built, search_allow_exact=False, max_query_limit=1000)
    with opened(built) as index:
        first, second = index.unfit(200)
        assert "search_allow_exact is false" in first
        assert "max_query_limit is 1,000" in second and "at most 100 candidates" in second
        with pytest.raises(IndexUnavailable, match="search_allow_exact is false"):
            index.search(EMBEDDINGS[3], 1)
    strict(built, max_query_limit=1000)
    with opened(built) as index:
        with pytest.raises(IndexUnavailable, match=r"max_query_limit is 1,000.*2,000 points"):
            index.search(EMBEDDINGS[3], 1, candidates=200)
        assert ids(index.search(EMBEDDINGS[3], 1, candidates=100)) == ["p003"]


def test_strict_mode_that_is_set_meanwhile_is_named(built: StandIn) -> None:
    with opened(built) as index:
        strict(built, search_allow_exact=False)
        with pytest.raises(IndexUnavailable, match=r"strict mode.*search_allow_exact.*qdrant\.md"):
            index.search(EMBEDDINGS[3], 1)
        with pytest.raises(IndexUnavailable, match=r"strict mode.*search_allow_exact"):
            _ = index.count


@pytest.mark.parametrize("version", ["1.18.4", "1.9.7", "0.11.0"])
def test_an_older_server_is_refused(built: StandIn, version: str) -> None:
    built.version = version
    for use in (opened, start):
        with pytest.raises(IndexUnavailable, match=rf"of version {version}: 1\.19 or newer"):
            use(built)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.19.3", ""),
        ("1.20.0", "is of version 1.20.0, newer than the tested 1.19"),
        ("2.0.0-dev", "newer than the tested"),
        ("dev", "does not say its version (dev)"),
    ],
)
def test_a_newer_server_is_warned_of_once(
    built: StandIn, version: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    built.version = version
    with opened(built) as index:
        index.search(EMBEDDINGS[3], 1)
        index.search(EMBEDDINGS[3], 1)
    messages = [record.getMessage() for record in caplog.records if "version" in record.message]
    assert len(messages) == (1 if said else 0) and said in "".join(messages)


def test_a_snapshot_of_a_part_is_refused_and_a_copy_advised(built: StandIn, tmp_path: Path) -> None:
    store = ServerStore(f"{built.url}/zoo", at(built))
    built.collections["zoo-1"].request.shard_number = 6
    built.peers = 3
    with pytest.raises(IndexUnavailable, match=r"holds 2 of 6 shards.*`kbvqa index copy http"):
        store.snapshot()
    assert "snapshot" not in built.operations
    built.collections["zoo-1"].request.replication_factor = 3
    assert store.snapshot() == "zoo-1/zoo-1-2026.snapshot", "every node has every shard"
    store.close()
    with opened(built) as index:
        copy_index(index, tmp_path / "backup")
    built.drop("zoo-1")
    with PassageIndex.open(tmp_path / "backup") as backup:
        copy_index(backup, f"{built.url}/zoo", at(built))
    with opened(built) as index:
        assert index.count == COUNT and verify_index(index) == []


def test_replicas_that_could_not_be_made_are_told(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    with start(stand_in, cluster=Cluster(shards=6, replicas=2)) as index:
        assert "2 replicas were asked for and 1 made" in caplog.text
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish()
        assert index.facts["shards"] == 6 and index.facts["replicas"] == "1 of 2 asked for"
        stand_in.peers = 3
        assert index.facts["replicas"] == "2"


def test_what_is_opened_is_closed_also_where_it_is_refused(
    built: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_stores = [0]
    connect, close = ServerStore.__init__, ServerStore.close

    def counted_connect(self: ServerStore, *arguments: Any) -> None:
        open_stores[0] += 1
        connect(self, *arguments)

    def counted_close(self: ServerStore) -> None:
        open_stores[0] -= 1
        close(self)

    monkeypatch.setattr(ServerStore, "__init__", counted_connect)
    monkeypatch.setattr(ServerStore, "close", counted_close)
    url, other = f"{built.url}/zoo", replace(make_fingerprint(COUNT), dim=8)
    for use in (PassageIndex.create, PassageIndex.create_or_resume, PassageIndex.update):
        with pytest.raises(Exception, match=r"not empty|something else"):
            use(url, other, connection=at(built))
    built.version = "1.0.0"
    for use in (PassageIndex.create, PassageIndex.create_or_resume, PassageIndex.update):
        with pytest.raises(IndexUnavailable, match="newer is needed"):
            use(url, other, connection=at(built))
    assert open_stores == [0]
