"""Copying an index between homes, and finding what is wrong with one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from retriever.building.tools import copy_index, verify_index
from retriever.engines.connection import QdrantConnection
from retriever.engines.embedded import EmbeddedEngine
from retriever.engines.interface import Point
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index.passage_index import PassageIndex, Storage
from retriever.index.points import point_of
from tests.index_cases import ids, make_fingerprint, make_passages, random_embeddings, unit
from tests.integration.conftest import Home
from tests.integration.qdrant_server import Refusal, StandIn

COUNT = 300
PASSAGES, EMBEDDINGS = make_passages(COUNT), random_embeddings(COUNT)
QUERY = random_embeddings(1, seed=8)[0]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("source") / "index"
    with PassageIndex.create(location, make_fingerprint(COUNT + 2)) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish(skipped=2)
    return location


def test_there_and_back_again(source: Path, home: Home, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    with PassageIndex.open(source) as original:
        copy_index(original, home.location, home.connection, advance=lambda *p: progress.append(p))
        assert progress[-1] == (COUNT, COUNT)
        with PassageIndex.open(home.location, connection=home.connection) as there:
            assert there.fingerprint == original.fingerprint and there.built.skipped == 2
            assert verify_index(there) == []
            copy_index(there, tmp_path / "back")
        with PassageIndex.open(tmp_path / "back", original.fingerprint) as back:
            assert back.count == COUNT and verify_index(back) == []
            expected = original.search(QUERY, 20, mode="exact")
            assert back.search(QUERY, 20, mode="exact") == expected


def test_what_is_damaged_is_not_copied(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "damaged")
    [path] = (tmp_path / "damaged").rglob("vector_storage-tokens/vectors/chunk_0.mmap")
    with path.open("r+b") as damaged:
        damaged.write(bytes(400_000))
    with (
        PassageIndex.open(tmp_path / "damaged") as original,
        pytest.raises(IndexUnavailable, match="has a row of norm") as caught,
    ):
        copy_index(original, tmp_path / "copy")
    assert "is damaged" in str(caught.value) and "kbvqa index build" in str(caught.value)
    assert f"remove {tmp_path / 'copy'}" in str(caught.value)


def test_an_index_is_not_copied_onto_itself(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    with PassageIndex.open(source) as original:
        for target in (source, Path("index"), "index/"):
            with pytest.raises(ValueError, match="is the source itself"):
                copy_index(original, target)


@pytest.mark.parametrize("passages", [COUNT, 5])
def test_another_index_is_not_taken_for_a_copy(source: Path, tmp_path: Path, passages: int) -> None:
    rows = random_embeddings(COUNT, seed=9)
    with PassageIndex.open(source) as original:
        made_from = original.fingerprint if passages == COUNT else make_fingerprint(passages)
        with PassageIndex.create(tmp_path / "other", made_from) as other:
            other.upsert(PASSAGES[:passages], rows[:passages])
            other.finish(skipped=made_from.passages - passages)
        with pytest.raises(IndexNotReady, match=r"holds another index.*give a free place"):
            copy_index(original, tmp_path / "other")
    with PassageIndex.open(tmp_path / "other") as other:
        assert other.count == passages


@pytest.mark.parametrize("tokens", ["float32", "turbo4"])
def test_a_copy_may_be_kept_otherwise(source: Path, tmp_path: Path, tokens: str) -> None:
    storage = Storage(tokens)  # type: ignore[arg-type]
    with PassageIndex.open(source) as original:
        copy_index(original, tmp_path / tokens, storage=storage)
        with PassageIndex.open(tmp_path / tokens) as copy:
            assert copy.storage == storage and verify_index(copy) == []
            copy_index(copy, tmp_path / "float16", storage=Storage())
        with PassageIndex.open(tmp_path / "float16") as copy:
            assert verify_index(copy) == []


def test_a_stopped_copy_goes_on(source: Path, stand_in: StandIn) -> None:
    connection = QdrantConnection(grpc_port=stand_in.grpc_port, attempts=1)
    url = f"{stand_in.url}/copy"

    def fails_at_the_second(operation: str) -> None:
        if stand_in.operations.count("upsert") == 2 and operation == "upsert":
            raise Refusal(500, "out of luck")

    stand_in.fault = fails_at_the_second
    with PassageIndex.open(source) as original:
        with pytest.raises(IndexUnavailable, match="out of luck"):
            copy_index(original, url, connection)
        stand_in.fault = lambda operation: None
        stand_in.operations.clear()
        copy_index(original, url, connection)
        assert stand_in.operations.count("upsert") == 1, "the first page was there already"
        copy_index(original, url, connection)
        assert stand_in.operations.count("upsert") == 1
        with pytest.raises(IndexNotReady, match="stored as float16, not turbo4 with a binary copy"):
            copy_index(original, url, connection, Storage("turbo4", "binary"))
        other = make_fingerprint(5)
        with pytest.raises(IndexNotReady, match="made from something else"):
            PassageIndex.create_or_resume(url, other, connection=connection)


def damage(location: Path, change: Sequence[Point], *, count: int = 3) -> list[str]:
    """Return what is found in an index of three passages after writing points past the checks."""
    with PassageIndex.create(location, make_fingerprint(count)) as index:
        index.upsert(PASSAGES[:3], EMBEDDINGS[:3])
        engine = index._engine
        assert isinstance(engine, EmbeddedEngine)
        engine.upsert(change)
        return verify_index(index)


def point(number: int, **changes: object) -> Point:
    passage, rows = PASSAGES[number], EMBEDDINGS[number]
    made = point_of("zoo", passage, rows)
    fields = {"id": made.id, "vectors": made.vectors, "payload": made.payload}
    return Point(**(fields | changes))  # type: ignore[arg-type]


def test_every_kind_of_damage_is_found(tmp_path: Path) -> None:
    good = point(1)
    vectors, payload = dict(good.vectors), dict(good.payload)
    cases: dict[str, Point] = {
        "has a row of norm 2.000": point(1, vectors=vectors | {"tokens": 2 * vectors["tokens"]}),
        "has a mean that is not the mean of its rows": point(
            1, vectors=vectors | {"mean": unit([[0] * 9 + [1]])[0]}
        ),
        "rows, but says that it has 99": point(1, payload=payload | {"rows": 99}),
        "another text than its hash says": point(1, payload=payload | {"text": "tampered"}),
        "is there twice": point(1, id="11111111-1111-5111-8111-111111111111"),
    }  # fmt: skip
    assert damage(tmp_path / "good", [good]) == []
    for number, (expected, bad) in enumerate(cases.items()):
        problems = damage(tmp_path / str(number), [bad])
        assert expected in problems[0] and "'p001'" in problems[0]
    assert damage(tmp_path / "short", [good], count=5) == [
        "it holds 3 passages, but its record says 5"
    ]


def test_many_problems_are_cut_short(tmp_path: Path) -> None:
    with PassageIndex.create(tmp_path, make_fingerprint(40)) as index:
        index.upsert(PASSAGES[:40], EMBEDDINGS[:40])
        engine = index._engine
        engine.upsert([point(i, payload=dict(point(i).payload) | {"rows": 0}) for i in range(40)])
        assert len(verify_index(index)) == 20


def test_searches_are_the_same_in_both_homes(source: Path, home: Home) -> None:
    with PassageIndex.open(source) as original:
        copy_index(original, home.location, home.connection)
        queries = random_embeddings(10, seed=4)
        with PassageIndex.open(home.location, connection=home.connection) as copy:
            for mode in ("exact", "two-stage"):
                ours = original.search_many(queries, 10, mode=mode)  # type: ignore[arg-type]
                theirs = copy.search_many(queries, 10, mode=mode)  # type: ignore[arg-type]
                assert [ids(hits) for hits in ours] == [ids(hits) for hits in theirs]
