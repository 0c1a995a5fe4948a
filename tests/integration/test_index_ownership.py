"""Whose a collection is: restored snapshots, swaps under open searches, several writers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from retriever.building.tools import verify_index
from retriever.engines.connection import QdrantConnection
from retriever.engines.server import lease
from retriever.engines.server.lease import Lease
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index import reading as index_reading
from retriever.index.passage_index import Fingerprint, PassageIndex
from tests.index_cases import ids, make_fingerprint, make_passages, random_embeddings
from tests.integration.qdrant_answers import CONSENSUS_TIMEOUT, READ_TIMEOUT, Refusal
from tests.integration.qdrant_server import StandIn

COUNT = 12
PASSAGES, EMBEDDINGS = make_passages(COUNT), random_embeddings(COUNT)
OTHERS = random_embeddings(COUNT, seed=1)  # as of another checkpoint
ROOT = Path(__file__).parents[2]


def at(server: StandIn, **changes: Any) -> QdrantConnection:
    quick = QdrantConnection(grpc_port=server.grpc_port, attempts=2, retry_seconds=0.01)
    return replace(quick, **changes)


def update(
    server: StandIn, name: str, made_from: Fingerprint, *, fresh: bool = False, **changes: Any
) -> PassageIndex:
    url = f"{server.url}/{name}"
    return PassageIndex.update(url, made_from, connection=at(server, **changes), fresh=fresh)


def build(server: StandIn, name: str = "zoo", *, fresh: bool = False, other: bool = False) -> None:
    made_from = make_fingerprint(COUNT)
    if other:
        made_from = replace(made_from, checkpoint="big", checkpoint_sha256="c1")
    with update(server, name, made_from, fresh=fresh) as index:
        index.upsert(PASSAGES, OTHERS if other else EMBEDDINGS)
        index.finish()


def opened(server: StandIn, name: str = "zoo") -> PassageIndex:
    return PassageIndex.open(f"{server.url}/{name}", connection=at(server))


def count(server: StandIn, collection: str) -> int:
    return int(server.info(collection)["points_count"])


def record_of(server: StandIn, collection: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(server.collections[collection].metadata["kbvqa"])
    return record


@pytest.fixture
def restored(stand_in: StandIn) -> StandIn:
    """A server with an index, `zoo`, and its snapshot restored as the collection `bak`."""
    build(stand_in)
    stand_in.recover("bak", stand_in.snapshot("zoo"))
    return stand_in


def test_a_restored_snapshot_is_searched_and_verified_as_it_is(restored: StandIn) -> None:
    with opened(restored, "bak") as index:
        assert index.built.place == "bak" and verify_index(index) == []
        assert ids(index.search(EMBEDDINGS[3], 1)) == ["p003"]
        restored.drop("zoo-1")
        assert ids(index.search(EMBEDDINGS[3], 1)) == ["p003"]


def test_an_update_of_a_restored_snapshot_writes_there_alone(restored: StandIn) -> None:
    before = record_of(restored, "zoo-1")
    smaller = replace(make_fingerprint(COUNT - 1), corpus_sha256="d1")
    with update(restored, "bak", smaller) as index:
        index.delete(["p001"])
        index.finish()
    assert (count(restored, "bak"), count(restored, "zoo-1")) == (COUNT - 1, COUNT)
    assert record_of(restored, "zoo-1") == before
    with opened(restored, "bak") as index:
        assert index.fingerprint == smaller and index.built.place == "bak"


def test_a_restored_snapshot_cannot_be_swapped_and_says_so_at_once(restored: StandIn) -> None:
    restored.operations.clear()
    with pytest.raises(IndexUnavailable, match=r"'bak' is a collection, not an alias.*give the"):
        update(restored, "bak", make_fingerprint(1), fresh=True)
    assert not {"create", "upsert", "drop"} & set(restored.operations)
    restored.aliases["spare"] = "bak"
    build(restored, "spare", fresh=True, other=True)
    assert restored.aliases == {"zoo": "zoo-1", "spare": "spare-1"}
    assert set(restored.collections) == {"zoo-1", "spare-1"}, "bak was what spare replaced"


@pytest.mark.parametrize("change", ["update", "swap"])
def test_a_restored_snapshot_of_a_name_like_ours_is_left_alone(
    restored: StandIn, change: str
) -> None:
    restored.recover("zoo-2", restored.snapshot("zoo"))
    if change == "swap":
        build(restored, fresh=True, other=True)
        assert restored.aliases["zoo"] == "zoo-3"
    else:
        with update(restored, "zoo", replace(make_fingerprint(COUNT), corpus_sha256="d1")) as index:
            index.finish()
    assert count(restored, "zoo-2") == count(restored, "bak") == COUNT
    with opened(restored, "zoo-2") as index:
        assert index.fingerprint == make_fingerprint(COUNT)


def test_a_snapshot_that_was_taken_during_a_swap_does_not_name_the_live_index(
    stand_in: StandIn,
) -> None:
    build(stand_in)
    other = replace(make_fingerprint(COUNT), checkpoint_sha256="c1")
    with update(stand_in, "zoo", other, fresh=True) as index:
        index.upsert(PASSAGES[:5], OTHERS[:5])
        snapshot = stand_in.snapshot("zoo")  # its record says that zoo-2 is being built
        index.upsert(PASSAGES, OTHERS)
        index.finish()
    stand_in.recover("zoo-1", snapshot)
    foreign_lease(stand_in, "zoo-1", time.time() - 121)
    stand_in.aliases["old"] = "zoo-1"
    with update(stand_in, "old", other, fresh=True) as index:
        assert index.count == 0, "zoo-2 is the live index of zoo"
        index.upsert(PASSAGES[:1], OTHERS[:1])
    assert count(stand_in, "zoo-2") == COUNT
    with opened(stand_in) as index:
        assert index.count == COUNT and index.fingerprint == other


def test_what_a_swap_replaced_is_not_dropped_once_it_is_another(stand_in: StandIn) -> None:
    build(stand_in)
    snapshot = stand_in.snapshot("zoo")
    stand_in.fault = lambda operation: _raise(500, "no") if operation == "drop" else None
    build(stand_in, fresh=True, other=True)
    stand_in.fault = lambda operation: None
    assert set(stand_in.collections) == {"zoo-1", "zoo-2"}
    stand_in.recover("zoo-1", snapshot)
    stand_in.aliases["old"] = "zoo-1"  # somebody uses it
    build(stand_in, fresh=True)
    assert set(stand_in.collections) == {"zoo-1", "zoo-3"}


def test_the_way_back_from_a_snapshot(stand_in: StandIn) -> None:
    """As docs/guide/qdrant.md tells it: recover, point the alias, verify, go on."""
    build(stand_in)
    snapshot = stand_in.snapshot("zoo")
    stand_in.drop("zoo-1")
    with pytest.raises(IndexNotReady, match="there is no index"):
        opened(stand_in)
    stand_in.recover("zoo-restored", f"file:///qdrant/snapshots/zoo-1/{snapshot}")
    stand_in.aliases["zoo"] = "zoo-restored"
    with opened(stand_in) as index:
        assert verify_index(index) == [] and index.fingerprint == make_fingerprint(COUNT)
    build(stand_in, fresh=True, other=True)
    assert stand_in.aliases == {"zoo": "zoo-1"} and set(stand_in.collections) == {"zoo-1"}


def test_a_search_does_not_go_on_over_a_swap_to_another_checkpoint(stand_in: StandIn) -> None:
    build(stand_in)
    with opened(stand_in) as searching:
        assert ids(searching.search(EMBEDDINGS[3], 1)) == ["p003"]
        build(stand_in, fresh=True, other=True)
        for _ in range(2):
            with pytest.raises(IndexNotReady, match=r"replaced while it was open.*'c0'.*'c1'"):
                searching.search(EMBEDDINGS[3], 1)
        build(stand_in, fresh=True)  # and back
        assert ids(searching.search(EMBEDDINGS[3], 1)) == ["p003"]
        assert searching.built.place == "zoo-3"


def test_a_search_follows_a_swap_to_the_same_checkpoint(stand_in: StandIn) -> None:
    build(stand_in)
    larger = replace(make_fingerprint(COUNT + 1), corpus_sha256="d1")
    new = replace(PASSAGES[0], id="new")
    with opened(stand_in) as searching:
        with update(stand_in, "zoo", larger, fresh=True) as index:
            index.upsert([*PASSAGES, new], [*EMBEDDINGS, OTHERS[0]])
            assert ids(searching.search(OTHERS[0], 1, mode="exact")) != ["new"]
            index.finish()
        assert ids(searching.search(OTHERS[0], 1, mode="exact")) == ["new"]
        assert searching.fingerprint == larger and searching.built.place == "zoo-2"
        assert searching.get(["new"]) == [new]


def test_an_alias_that_is_moved_by_hand_is_noticed(
    restored: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(restored, "other", other=True)
    with opened(restored) as searching:
        restored.aliases["zoo"] = "other-1"  # and zoo-1 stays
        assert ids(searching.search(EMBEDDINGS[3], 1)) == ["p003"], "of what it says it searches"
        monkeypatch.setattr(index_reading, "_LOOK_SECONDS", 0.0)
        with pytest.raises(IndexNotReady, match="replaced while it was open"):
            searching.search(EMBEDDINGS[3], 1)
        restored.aliases["zoo"] = "bak"
        assert ids(searching.search(EMBEDDINGS[3], 1)) == ["p003"]
        assert searching.built.place == "bak"


HOLDER = """
import sys
from retriever.index.passage_index import PassageIndex
from retriever.engines.connection import QdrantConnection
from tests.index_cases import make_fingerprint, make_passages, random_embeddings
url, port = sys.argv[1:]
made_from = make_fingerprint(12)
with PassageIndex.update(url, made_from, connection=QdrantConnection(grpc_port=int(port))) as index:
    index.upsert(make_passages(5), random_embeddings(12)[:5])
    print("holding", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(server: StandIn) -> Iterator["subprocess.Popen[str]"]:
    """Run another process that is building the index."""
    command = [sys.executable, "-c", HOLDER, f"{server.url}/zoo", str(server.grpc_port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "holding\n"
            yield child
        finally:
            child.kill()


def test_one_process_builds_at_a_time_and_a_killed_one_is_taken_over(stand_in: StandIn) -> None:
    with holder(stand_in) as child:
        for fresh in (False, True):
            with pytest.raises(IndexUnavailable, match=r"another process is building.*process \d+"):
                update(stand_in, "zoo", make_fingerprint(COUNT), fresh=fresh)
        assert count(stand_in, "zoo-1") == 5
        child.kill()
        child.wait()
        with update(stand_in, "zoo", make_fingerprint(COUNT)) as index:
            assert index.count == 5
            index.upsert(PASSAGES[5:], EMBEDDINGS[5:])
            index.finish()
    assert set(stand_in.collections) == {"zoo-1"}


def foreign_lease(server: StandIn, collection: str, renewed: float) -> None:
    """Leave the lease of a process on another machine."""
    elsewhere = Lease("other", collection, "elsewhere", "boot/ns", 77, renewed, renewed)
    server.collections[collection].metadata["kbvqa-lease"] = json.dumps(asdict(elsewhere))


def test_a_lease_of_another_machine_holds_until_it_is_old(stand_in: StandIn) -> None:
    build(stand_in)
    changed = replace(make_fingerprint(COUNT), corpus_sha256="d1")
    foreign_lease(stand_in, "zoo-1", time.time())
    with pytest.raises(IndexUnavailable, match=r"process 77 on elsewhere, since .*takes over 120"):
        update(stand_in, "zoo", changed)
    foreign_lease(stand_in, "zoo-1", time.time() - 121)
    with update(stand_in, "zoo", changed) as index:
        assert "elsewhere" not in stand_in.collections["zoo-1"].metadata["kbvqa-lease"]
        index.finish()
    assert stand_in.collections["zoo-1"].metadata["kbvqa-lease"] == "", "and is given back"


def test_a_lease_is_renewed_and_its_loss_is_noticed(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.02)
    with update(stand_in, "zoo", make_fingerprint(COUNT)) as index:
        metadata = stand_in.collections["zoo-1"].metadata
        first = metadata["kbvqa-lease"]
        deadline = time.monotonic() + 10
        while metadata["kbvqa-lease"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert metadata["kbvqa-lease"] != first
        # A renewal that has read its own lease just now would write over the other's.
        monkeypatch.setattr(lease, "_RENEW_SECONDS", 3600.0)
        settled = metadata["kbvqa-lease"]
        time.sleep(0.3)
        while metadata["kbvqa-lease"] != settled:
            settled = metadata["kbvqa-lease"]
            time.sleep(0.3)
        with stand_in.lock:
            foreign_lease(stand_in, "zoo-1", time.time())
        monkeypatch.setattr(lease, "LEASE_SECONDS", 0)  # the last renewal is long ago
        with pytest.raises(IndexUnavailable, match=r"has taken over.*elsewhere"):
            index.upsert(PASSAGES, EMBEDDINGS)
    assert "elsewhere" in metadata["kbvqa-lease"], "it is not given back for another"


def test_of_two_first_builds_one_is_told_of_the_other(stand_in: StandIn) -> None:
    """Also in the moment in which the other has a collection, and no alias yet."""
    with update(stand_in, "zoo", make_fingerprint(COUNT)) as index:
        index.upsert(PASSAGES[:3], EMBEDDINGS[:3])
        foreign_lease(stand_in, "zoo-1", time.time())
        named = dict(stand_in.aliases)
        for aliases in ({}, named):
            stand_in.aliases = dict(aliases)
            for fresh in (False, True):
                with pytest.raises(IndexUnavailable, match="another process is building"):
                    update(stand_in, "zoo", make_fingerprint(COUNT), fresh=fresh)
        assert set(stand_in.collections) == {"zoo-1"} and count(stand_in, "zoo-1") == 3


def test_of_two_builds_that_make_one_collection_the_second_is_refused(stand_in: StandIn) -> None:
    made = []

    def another_is_quicker(operation: str) -> None:
        if operation == "create" and not made:
            made.append(True)
            with update(stand_in, "zoo", make_fingerprint(COUNT)) as index:
                index.upsert(PASSAGES[:2], EMBEDDINGS[:2])

    stand_in.fault = another_is_quicker
    with pytest.raises(IndexUnavailable, match=r"another process is building the index .*zoo-1"):
        update(stand_in, "zoo", make_fingerprint(COUNT))
    assert count(stand_in, "zoo-1") == 2 and stand_in.aliases == {"zoo": "zoo-1"}


@pytest.mark.parametrize("operation", ["change_aliases", "drop", "create", "patch"])
@pytest.mark.parametrize(("status", "text"), [(500, CONSENSUS_TIMEOUT), (408, READ_TIMEOUT)])
def test_an_error_after_the_deed_is_checked_against_what_is_there(
    stand_in: StandIn, operation: str, status: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(stand_in)
    method = "change_aliases" if operation == "change_aliases" else operation
    real, failures = getattr(stand_in, method), [0]

    def does_it_and_fails(*arguments: Any) -> Any:
        done = real(*arguments)
        if failures[0] < 2:  # as often as it is tried
            failures[0] += 1
            raise Refusal(status, text)
        return done

    monkeypatch.setattr(stand_in, method, does_it_and_fails)
    if operation == "patch":
        with pytest.raises(IndexUnavailable, match="did not answer"):
            build(stand_in, fresh=True, other=True)
        return
    build(stand_in, fresh=True, other=True)
    assert failures[0] >= 1
    assert stand_in.aliases == {"zoo": "zoo-2"} and set(stand_in.collections) == {"zoo-2"}


def test_a_lease_that_a_snapshot_brought_along_is_none(stand_in: StandIn) -> None:
    build(stand_in)
    foreign_lease(stand_in, "zoo-1", time.time())
    stand_in.recover("bak", stand_in.snapshot("zoo"))
    build(stand_in, "bak")


def test_a_record_without_its_place_is_one_from_before(stand_in: StandIn) -> None:
    build(stand_in)
    record = record_of(stand_in, "zoo-1")
    del record["place"], record["replaced"], record["finished"]["id"]
    stand_in.collections["zoo-1"].metadata["kbvqa"] = json.dumps(record)
    stand_in.recover("bak", stand_in.snapshot("zoo"))
    for name, place in (("zoo", "zoo-1"), ("bak", "bak")):
        with opened(stand_in, name) as index:
            assert index.built.place == place
    build(stand_in, fresh=True, other=True)
    assert set(stand_in.collections) == {"zoo-2", "bak"}


def _raise(status: int, text: str) -> None:
    raise Refusal(status, text)
