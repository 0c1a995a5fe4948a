"""A corpus on its way to a server: several writes at once, and what is left when one fails."""

import threading
from collections.abc import Iterable, Iterator
from itertools import count

import pytest

from corpus.types import Passage
from retriever.engines.connection import QdrantConnection
from retriever.errors import IndexUnavailable
from retriever.index.passage_index import PassageIndex
from retriever.index.writing import Batch, Report, write_corpus
from tests.index_cases import make_fingerprint, make_passages, random_embeddings
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


def start(server: StandIn) -> PassageIndex:
    connection = QdrantConnection(grpc_port=server.grpc_port, attempts=2, retry_seconds=0.01)
    location = f"{server.url}/zoo"
    return PassageIndex.create_or_resume(location, make_fingerprint(COUNT), connection=connection)


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
