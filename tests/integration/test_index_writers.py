"""A corpus on its way to a server: several writes at once, and what is left when one fails."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from corpus.types import Passage
from retriever.engines.connection import QdrantConnection
from retriever.engines.interface import Invitation
from retriever.engines.server import lease
from retriever.errors import IndexUnavailable
from retriever.index import writing
from retriever.index.passage_index import PassageIndex
from retriever.index.writing import (
    Batch,
    Report,
    help_to_write,
    write_corpus,
    write_corpus_together,
)
from tests.index_cases import ThreadProcesses, make_fingerprint, make_passages, random_embeddings
from tests.integration.qdrant_answers import NOT_ENOUGH_SPACE, Refusal
from tests.integration.qdrant_server import StandIn

COUNT, BATCH = 80, 10
PASSAGES = make_passages(COUNT)
EMBEDDINGS = dict(zip(PASSAGES, random_embeddings(COUNT), strict=True))


def encode(wanted: Iterable[Passage]) -> Iterator[Batch]:
    passages = list(wanted)
    for start in range(0, len(passages), BATCH):
        batch = passages[start : start + BATCH]
        yield batch, [EMBEDDINGS[passage] for passage in batch]


def at(server: StandIn) -> tuple[str, QdrantConnection]:
    connection = QdrantConnection(grpc_port=server.grpc_port, attempts=2, retry_seconds=0.01)
    return f"{server.url}/zoo", connection


def start(server: StandIn) -> PassageIndex:
    location, connection = at(server)
    return PassageIndex.create_or_resume(location, make_fingerprint(COUNT), connection=connection)


def join(server: StandIn, invitation: Invitation | None) -> PassageIndex:
    location, connection = at(server)
    assert invitation is not None
    return PassageIndex.join(location, invitation, connection)


def test_several_writes_are_under_way_at_once(stand_in: StandIn) -> None:
    met = threading.Barrier(2)

    def fault(operation: str) -> None:
        if operation == "upsert":
            met.wait(10)  # for another write

    told: list[int] = []
    with start(stand_in) as index:
        stand_in.fault = fault
        assert write_corpus(index, PASSAGES, encode, told.append) == Report(written=COUNT)
        assert index.passage_ids() == {passage.id for passage in PASSAGES}
        index.finish()
    assert told == sorted(told) and told[-1] == COUNT


def test_what_was_written_beside_a_write_that_failed_is_kept(stand_in: StandIn) -> None:
    writes, told = count(1), [0]

    def fault(operation: str) -> None:
        if operation == "upsert" and next(writes) == 5:
            raise Refusal(500, NOT_ENOUGH_SPACE)

    with start(stand_in) as index:
        stand_in.fault = fault
        with pytest.raises(IndexUnavailable, match="is full"):
            write_corpus(index, PASSAGES, encode, told.append)
        kept = index.count
        assert kept == told[-1] >= COUNT // 2 - BATCH
        assert kept < COUNT
    stand_in.fault = lambda operation: None
    with start(stand_in) as index:
        report = write_corpus(index, PASSAGES, encode)
        assert report == Report(written=COUNT - kept, unchanged=kept)
        index.finish()


def test_each_process_writes_what_it_encodes(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads stand for two processes; test_index_cli runs real ones."""
    monkeypatch.setattr(writing, "WINDOW", 20)
    wrote: dict[int, list[str]] = {}
    upsert = PassageIndex.upsert

    def noted(index: PassageIndex, passages: Sequence[Passage], embeddings: Sequence[Any]) -> None:
        upsert(index, passages, embeddings)
        wrote.setdefault(id(index), []).extend(passage.id for passage in passages)

    monkeypatch.setattr(PassageIndex, "upsert", noted)
    first, second = ThreadProcesses.make(2)
    helper = threading.Thread(
        target=help_to_write,
        args=(encode, second, lambda invitation: join(stand_in, invitation)),
        daemon=True,
    )
    helper.start()
    told: list[int] = []
    with start(stand_in) as index:
        report = write_corpus_together(index, PASSAGES, encode, first, told.append)
        assert report == Report(written=COUNT)
        assert sorted(map(len, wrote.values())) == [COUNT // 2, COUNT // 2]
        index.finish()
        assert index.passage_ids() == {passage.id for passage in PASSAGES}
    helper.join(20)
    assert not helper.is_alive()
    assert told == sorted(told) and told[-1] == COUNT


def test_who_writes_beside_a_writer_that_is_gone_stops(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_LOOK_SECONDS", 0.0)
    one, other = [PASSAGES[0]], [PASSAGES[1]]
    with start(stand_in) as index, join(stand_in, index.invitation()) as beside:
        beside.upsert(one, [EMBEDDINGS[one[0]]])
        index.close()
        with pytest.raises(IndexUnavailable, match="has given it up"):
            beside.upsert(other, [EMBEDDINGS[other[0]]])
        with start(stand_in) as another, pytest.raises(IndexUnavailable, match="taken over"):
            assert another.passage_ids() == {one[0].id}
            beside.upsert(other, [EMBEDDINGS[other[0]]])
