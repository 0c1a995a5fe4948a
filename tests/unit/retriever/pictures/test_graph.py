"""Collections of many pictures: a graph names those that are compared."""

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retriever.engines.graph import VectorGraph
from retriever.errors import IndexUnavailable
from retriever.pictures import collection as collections
from retriever.pictures import neighbours
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.neighbours import SimilarPicture
from retriever.pictures.parts import compact

WIDTH, PICTURES = 32, 600


def rows(n: int, seed: int = 0) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).standard_normal((n, WIDTH)).astype(np.float32)
    unit: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def made(entity_of: list[int] | None = None) -> PictureCollection:
    """600 pictures, two an entity unless others are said."""
    whose = entity_of or [i // 2 for i in range(PICTURES)]
    names = [(f"{i}.png", f"e:{entity}") for i, entity in enumerate(whose)]
    return PictureCollection("c", names, compact(rows(len(whose))), Fusion(), "", {"e:0": "Zero"})


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collections, "GRAPHED", 500)
    monkeypatch.setattr(neighbours, "_NEAR", 40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lead.safetensors"


def alike(found: list[list[SimilarPicture]], other: list[list[SimilarPicture]]) -> bool:
    return [
        [(s.image, s.entity, s.name, round(s.similarity, 4)) for s in similar] for similar in found
    ] == [
        [(s.image, s.entity, s.name, round(s.similarity, 4)) for s in similar] for similar in other
    ]


def test_what_is_found_by_the_graph_is_what_is_found_by_comparing_all(path: Path) -> None:
    whole = made()
    whole.save(path)
    graphed = PictureCollection.open(path)
    assert graphed.graph is not None and isinstance(graphed.vectors_IV, np.memmap)
    queries = rows(20, seed=7)
    among = [{f"e:{n}", "e:0", "nobody"} for n in range(20)]
    assert alike(graphed.search(queries, 3, among), whole.search(queries, 3, among))
    assert alike(graphed.search(queries, 10), whole.search(queries, 10))
    [own] = graphed.search(whole.vectors_IV[:1] / np.float32(100), 1)
    assert (own[0].image, own[0].entity, own[0].name) == ("0.png", "e:0", "Zero")
    assert len(graphed.search(queries[:1], 10_000)[0]) == PICTURES // 2


def test_the_graph_is_asked_for_more_where_one_entity_has_most_of_the_pictures(path: Path) -> None:
    whole = made([0] * 550 + list(range(1, 51)))
    whole.save(path)
    [found], [wanted] = (c.search(rows(1), 5) for c in (PictureCollection.open(path), whole))
    assert [s.entity for s in found] == [s.entity for s in wanted] and len(found) == 5


def test_a_small_collection_has_none_and_removes_the_one_that_was_there(path: Path) -> None:
    made().save(path)
    graph = path.with_name("lead.safetensors.graph")
    assert graph.is_dir()
    made([0, 1, 2]).save(path)
    assert not graph.exists() and PictureCollection.open(path).graph is None


def test_two_processes_search_and_leave_nothing_behind(path: Path) -> None:
    made().save(path)
    readers = path.with_name("lead.safetensors.graph") / "readers"
    first, second = PictureCollection.open(path), PictureCollection.open(path)
    assert len(list(readers.iterdir())) == 2
    for collection in (first, second):
        assert collection.search(rows(1), 1) and collection.graph is not None
        collection.graph.close()
    assert list(readers.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_it_is_searched_where_nothing_can_be_written(path: Path) -> None:
    made().save(path)
    graph = path.with_name("lead.safetensors.graph")
    graph.chmod(0o555)
    try:
        assert PictureCollection.open(path).search(rows(1), 1)
    finally:
        graph.chmod(0o755)


def test_without_its_graph_all_are_compared_and_that_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = made()
    whole.save(path)
    graph = path.with_name("lead.safetensors.graph")
    shutil.rmtree(graph)
    with caplog.at_level(logging.WARNING):
        alone = PictureCollection.open(path)
    assert alone.graph is None and "make the collection anew" in caplog.text
    assert alike(alone.search(rows(3), 3), whole.search(rows(3), 3))
    # One of other pictures is not used either.
    VectorGraph.build(graph, compact(rows(PICTURES, seed=3)), "others")
    assert PictureCollection.open(path).graph is None


def test_a_collection_with_a_graph_is_another_one_to_an_evaluation(path: Path) -> None:
    made().save(path)
    with_graph = PictureCollection.open(path).sha256
    shutil.rmtree(path.with_name("lead.safetensors.graph"))
    assert PictureCollection.open(path).sha256 == made().sha256 != with_graph


@pytest.mark.parametrize("what", ["cut", "more", "record"])
def test_a_damaged_graph_is_named(path: Path, what: str) -> None:
    made().save(path)
    graph = path.with_name("lead.safetensors.graph")
    record = json.loads((graph / "graph.json").read_text("utf-8"))
    if what == "cut":
        largest = max(record["files"], key=record["files"].get)
        (graph / "shard" / largest).write_bytes(b"")
    elif what == "more":
        (graph / "shard" / "more.dat").write_bytes(b"x")
    else:
        (graph / "graph.json").write_text("{", "utf-8")
    with pytest.raises(IndexUnavailable, match=r"graph.* is damaged.*kbvqa index pictures"):
        PictureCollection.open(path)


def test_a_build_that_is_stopped_leaves_the_graph_before(path: Path) -> None:
    location = path.with_name("g")
    VectorGraph.build(location, compact(rows(PICTURES)), "first")

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VectorGraph.build(location, compact(rows(PICTURES, seed=1)), "second", stop)
    before = VectorGraph.open(location, "first")
    assert before is not None and before.nearest(rows(1)[0], 1).tolist() == [0]
    VectorGraph.build(location, compact(rows(PICTURES, seed=1)), "second")
    assert sorted(p.name for p in path.parent.iterdir()) == ["g"]


def test_a_disk_that_is_full_is_said_before_anything_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(IndexUnavailable, match="full"):
        made().save(path)
    assert not path.exists()
