"""An index behind a broken wire: an honest error in time, whatever answers or does not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api.health import Health
from app.errors import OutOfTime
from app.machine.request import of_request
from app.pipeline import Pipeline
from corpus.files.passages import write_passages
from corpus.types import Query
from retriever.building.build import build_index
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.engines.connection import QdrantConnection
from retriever.engines.deadline import wanted_until
from retriever.errors import IndexUnavailable
from retriever.index.passage_index import PassageIndex
from tests.chaos.link import GARBAGE, Link, Mode
from tests.golden_cases import GOLDEN
from tests.index_cases import make_fingerprint, make_passages, random_embeddings
from tests.integration.qdrant_server import StandIn

PASSAGES, EMBEDDINGS = make_passages(5), random_embeddings(5)


@pytest.fixture
def link(stand_in: StandIn) -> Iterator[Link]:
    running = Link(stand_in.port)
    yield running
    running.close()


@pytest.fixture
def index(stand_in: StandIn, link: Link) -> Iterator[PassageIndex]:
    """An index of five passages, searched through the link."""
    direct = QdrantConnection(grpc_port=stand_in.grpc_port)
    fingerprint = make_fingerprint(5)
    with PassageIndex.create(f"{stand_in.url}/zoo", fingerprint, connection=direct) as made:
        made.upsert(PASSAGES, EMBEDDINGS)
        made.finish()
    through = QdrantConnection(
        grpc_port=stand_in.grpc_port, timeout_seconds=60, attempts=2, retry_seconds=0.01
    )
    with PassageIndex.open(f"http://127.0.0.1:{link.port}/zoo", fingerprint, through) as opened:
        yield opened


@pytest.mark.parametrize("said", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_answer_of_qdrant_is_no_result(
    index: PassageIndex, link: Link, said: bytes
) -> None:
    link.garbage = [said]
    link.become("garbage")
    with pytest.raises(IndexUnavailable, match=r"does not answer as Qdrant|cannot be reached|502"):
        index.search(EMBEDDINGS[3], 1)
    link.become("whole")
    assert index.search(EMBEDDINGS[3], 1)[0].passage == PASSAGES[3]


@pytest.mark.parametrize(
    ("mode", "most"),
    [
        ("silent", 5),  # and not the 60 s that a request may take
        ("trickle", 2),  # and not for as long as there is always a little more, a minute
    ],
)
def test_an_answer_that_is_of_no_use_is_not_waited_for(
    index: PassageIndex, link: Link, mode: Mode, most: float
) -> None:
    link.become(mode)
    began = time.monotonic()
    with (
        wanted_until(began + 0.5),
        pytest.raises(IndexUnavailable, match="as long as the answer was of use"),
    ):
        index.search(EMBEDDINGS[3], 1)
    assert time.monotonic() - began < most
    link.become("whole")
    assert index.search(EMBEDDINGS[3], 1)[0].passage == PASSAGES[3]


def test_nothing_is_asked_whose_answer_is_of_no_use_any_more(
    stand_in: StandIn, index: PassageIndex
) -> None:
    asked = len(stand_in.operations)
    with (
        wanted_until(time.monotonic() - 1),
        pytest.raises(IndexUnavailable, match="as long as the answer was of use"),
    ):
        index.search(EMBEDDINGS[3], 1)
    assert len(stand_in.operations) == asked


def test_nor_are_rows_which_come_by_grpc(stand_in: StandIn, index: PassageIndex) -> None:
    vectors = Link(stand_in.grpc_port)
    through = QdrantConnection(grpc_port=vectors.port, timeout_seconds=60)
    ids = [PASSAGES[3].id]
    with PassageIndex.open(f"{stand_in.url}/zoo", index.fingerprint, through) as opened:
        assert len(opened.rows(ids)) == 1
        vectors.become("silent")
        began = time.monotonic()
        with (
            wanted_until(began + 0.5),
            pytest.raises(IndexUnavailable, match="as long as the answer was of use"),
        ):
            opened.rows(ids)
        assert time.monotonic() - began < 0.9, "and not to the end of a whole second, nor for 60"
    vectors.close()


@pytest.fixture
def pipeline(stand_in: StandIn, link: Link, tmp_path: Path) -> Iterator[Pipeline]:
    """The tiny retriever, on an index behind the link."""
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    write_passages(tmp_path / "passages.jsonl", PASSAGES)
    place, through = (
        f"http://127.0.0.1:{link.port}/tiny",
        QdrantConnection(grpc_port=stand_in.grpc_port),
    )
    build_index(
        tmp_path / "passages.jsonl", place, checkpoint, lambda done, total: None, connection=through
    )
    with PassageIndex.open(place, connection=through) as opened:
        yield Pipeline(Encoder(checkpoint), opened)


def test_a_search_ends_with_its_request(pipeline: Pipeline, link: Link) -> None:
    query = Query("What is it?", None)
    assert pipeline.retrieve(query).hits
    link.become("silent")
    began = time.monotonic()
    with of_request("1") as request, pytest.raises((IndexUnavailable, OutOfTime)):
        request.give(1.0)
        pipeline.retrieve(query)
    assert time.monotonic() - began < 5


def test_an_index_that_says_nothing_is_missing_soon(
    pipeline: Pipeline, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.health.LOOK_SECONDS", 0.5)
    health = Health.of(pipeline)
    health.check()
    assert health.readiness.ready
    link.become("silent")
    began = time.monotonic()
    health.check()
    assert health.readiness.missing == ["index"]
    assert time.monotonic() - began < 5
