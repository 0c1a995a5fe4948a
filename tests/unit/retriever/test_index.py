"""The passage index on the real embedded engine, in one process."""

import json
import os
import shutil
import tempfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retriever import candidates
from retriever import embeddings as embeddings_module
from retriever.engines import embedded
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index import Fingerprint, PassageIndex
from retriever.index_directory import allocated_bytes
from tests.index_cases import (
    DIM,
    Rows,
    exact_scores,
    ids,
    make_fingerprint,
    make_passages,
    random_embeddings,
    unit,
)


def build(location: Path, embeddings: list[Rows]) -> Fingerprint:
    """Make a finished index and return its fingerprint."""
    fingerprint = make_fingerprint(len(embeddings))
    with PassageIndex.create(location, fingerprint) as index:
        index.upsert(make_passages(len(embeddings)), embeddings)
        index.finish()
    return fingerprint


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the place of a finished index of three passages, for tests that leave it alone."""
    location = tmp_path_factory.mktemp("three")
    build(location, random_embeddings(3))
    return location


@pytest.mark.parametrize("mode", ["exact", "two-stage"])
def test_search_ranks_by_maxsim(tmp_path: Path, mode: str) -> None:
    embeddings = random_embeddings(60)
    fingerprint = build(tmp_path, embeddings)
    q_QD = unit(np.random.default_rng(9).normal(size=(7, DIM)))
    scores = exact_scores(q_QD, embeddings)

    with PassageIndex.open(tmp_path, fingerprint) as index:
        hits = index.search(q_QD, top_k=10, mode=mode)  # type: ignore[arg-type]

    assert ids(hits) == [f"p{i:03}" for i in np.argsort(-scores)[:10]]
    # float16 rows: each of the 7 maxima is off by at most 2 ** -11 of a unit product.
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True)[:10], abs=7e-3)
    assert hits[0].passage == make_passages(60)[int(scores.argmax())]


def test_negative_scores_keep_their_order(tmp_path: Path) -> None:
    build(tmp_path, [unit([[-1, 0]]), unit([[-1, 3], [-1, 1]]), unit([[-1, 1]])])

    with PassageIndex.open(tmp_path) as index:
        hits = index.search(unit([[1, 0]]), top_k=3, mode="exact")

    assert ids(hits) == ["p001", "p002", "p000"]
    assert [hit.score for hit in hits] == pytest.approx([-(10**-0.5), -(2**-0.5), -1.0], abs=1e-3)


def test_zero_query_rows_are_dropped(tmp_path: Path) -> None:
    embeddings = random_embeddings(30)
    build(tmp_path, embeddings)
    q_QD = unit(np.random.default_rng(9).normal(size=(3, DIM)))
    padded = np.concatenate([np.zeros((2, DIM), np.float32), q_QD, np.zeros((4, DIM), np.float32)])

    with PassageIndex.open(tmp_path) as index:
        assert index.search(padded, top_k=5) == index.search(q_QD, top_k=5)
        with pytest.raises(ValueError, match="the query"):
            index.search(np.zeros((4, DIM)), top_k=5)


@pytest.mark.parametrize("mode", ["exact", "two-stage"])
def test_equal_scores_come_in_the_order_of_their_ids(tmp_path: Path, mode: str) -> None:
    best, same = unit([[1, 0]]), unit([[1, 1]])
    build(tmp_path, [same] * 20 + [best] + [same] * 20)

    with PassageIndex.open(tmp_path) as index:
        for top_k in (1, 2, 5, 30):
            hits = index.search(best, top_k=top_k, mode=mode)  # type: ignore[arg-type]
            expected = ["p020"] + [f"p{i:03}" for i in range(41) if i != 20]
            assert ids(hits) == expected[:top_k]


def test_top_k_beyond_the_index_gives_all_of_it(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(5))

    with PassageIndex.open(tmp_path) as index:
        for mode in ("exact", "two-stage"):
            assert len(index.search(unit([[1]]), top_k=1000, mode=mode)) == 5


def test_top_k_does_not_change_what_comes_first(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(80))
    q_QD = unit(np.random.default_rng(3).normal(size=(5, DIM)))

    with PassageIndex.open(tmp_path) as index:
        longest = index.search(q_QD, top_k=20, candidates=20)
        assert all(index.search(q_QD, k, candidates=20) == longest[:k] for k in (1, 3, 19))


def test_candidates_bound_what_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The mean of p000 points away from the query, though one of its rows is the query: eleven
    # other means are nearer, and one candidate looks at ten.
    monkeypatch.setattr(candidates, "LEAST_MEANS", 1)
    hidden = unit([[1, 0], [-1, 3], [-1, 3]])
    build(tmp_path, [hidden] + [unit([[2, 1]])] * 11)
    query = unit([[1, 0]])

    with PassageIndex.open(tmp_path) as index:
        assert ids(index.search(query, 1, mode="exact")) == ["p000"]
        assert ids(index.search(query, 1, candidates=2)) == ["p000"]
        assert ids(index.search(query, 1, candidates=1)) != ["p000"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"top_k": 0}, "got 0"),
        ({"top_k": 1, "candidates": 0}, "got 1 and 0"),
        ({"top_k": 1, "mode": "fast"}, "'fast'"),
        ({"top_k": 1, "q_QD": np.ones((2, 8))}, r"got shape \(2, 8\)"),
        ({"top_k": 1, "q_QD": np.full((1, DIM), np.nan)}, "the query: row 0 has norm nan"),
    ],
)
def test_a_wrong_query_is_refused(three: Path, kwargs: dict[str, object], message: str) -> None:
    with PassageIndex.open(three) as index, pytest.raises(ValueError, match=message):
        index.search(**{"q_QD": unit([[1]]), **kwargs})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (unit([[1, 0], [0, 1]]) * [[1], [1.02]], "row 1 has norm 1.02"),
        (np.concatenate([unit([[1]]), np.zeros((1, DIM))]), "row 1 has norm 0"),
        (np.full((1, DIM), np.nan), "row 0 has norm nan"),
        (np.zeros((0, DIM)), r"got shape \(0, 16\)"),
        (np.ones((2, DIM + 1)), r"got shape \(2, 17\)"),
        (unit([[1]])[0], r"got shape \(16,\)"),
        (np.repeat(unit([[1]]), 65_536, axis=0), "1,048,576 numbers"),
    ],
)
def test_a_wrong_embedding_is_refused_by_name(tmp_path: Path, rows: Rows, message: str) -> None:
    with PassageIndex.create(tmp_path, make_fingerprint(2)) as index:
        with pytest.raises(ValueError, match=f"passage 'p001': .*{message}"):
            index.upsert(make_passages(2), [unit([[1]]), rows])
        assert index.count == 0


def test_slightly_off_norms_are_taken(tmp_path: Path) -> None:
    with PassageIndex.create(tmp_path, make_fingerprint(1)) as index:
        index.upsert(make_passages(1), [unit([[1, 2], [3, 4]]).astype(np.float16) * 1.005])
        assert index.count == 1


def test_writing_a_passage_again_replaces_it(tmp_path: Path) -> None:
    passage = make_passages(1)[0]
    with PassageIndex.create(tmp_path, make_fingerprint(1)) as index:
        index.upsert([passage], [unit([[0, 1]])])
        index.upsert([replace(passage, text="new")], [unit([[1, 0]])])
        index.finish()
        hits = index.search(unit([[1, 0]]), top_k=5)

    assert [(hit.passage.text, round(hit.score, 3)) for hit in hits] == [("new", 1.0)]


def test_passages_come_back_as_written(three: Path) -> None:
    passages = make_passages(3)

    with PassageIndex.open(three) as index:
        assert index.count == 3
        assert index.passage_ids() == {"p000", "p001", "p002"}
        assert index.get(["p002", "p000"]) == [passages[2], passages[0]]
        assert index.get([]) == []
        with pytest.raises(ValueError, match="no passage 'p999'"):
            index.get(["p001", "p999"])


def test_writes_are_cut_into_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "MAX_ELEMENTS", 10 * DIM)
    embeddings = random_embeddings(50)
    sizes = [
        sum(len(embeddings[i]) for i in batch) for batch in embeddings_module.batches(embeddings)
    ]
    assert len(sizes) > 10 and max(sizes) <= 10 and sum(sizes) == sum(map(len, embeddings))

    build(tmp_path, embeddings)
    with PassageIndex.open(tmp_path) as index:
        assert index.count == 50


def test_more_ids_than_one_page(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(2100))
    with PassageIndex.open(tmp_path) as index:
        assert index.passage_ids() == {f"p{i:03}" for i in range(2100)}


def test_a_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    embeddings, passages = random_embeddings(10), make_passages(10)
    fingerprint = make_fingerprint(10)
    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        index.upsert(passages[:6], embeddings[:6])
        with pytest.raises(ValueError, match="holds 6 of 10 passages"):
            index.finish()

    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        assert not index.complete
        assert index.passage_ids() == {passage.id for passage in passages[:6]}
        index.upsert(passages[4:], embeddings[4:])
        index.finish()
        assert index.complete and index.count == 10
        with pytest.raises(ValueError, match="is finished"):
            index.upsert(passages[:1], embeddings[:1])

    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        assert index.complete and index.fingerprint == fingerprint
        assert len(index.search(unit([[1]]), top_k=20)) == 10


def test_a_build_that_died_before_its_first_passage_goes_on(tmp_path: Path) -> None:
    fingerprint = make_fingerprint(1)
    PassageIndex.create(tmp_path, fingerprint).close()
    (tmp_path / "shard").rename(tmp_path / "shard.new")

    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        index.upsert(make_passages(1), random_embeddings(1))
        index.finish()
        assert index.count == 1


def test_create_refuses_a_directory_in_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(IndexUnavailable, match="is not empty"):
        PassageIndex.create(tmp_path, make_fingerprint(1))
    with pytest.raises(IndexNotReady, match="there is no index"):
        PassageIndex.create_or_resume(tmp_path, make_fingerprint(1))


def test_missing_and_unfinished_indexes_say_what_to_run(tmp_path: Path) -> None:
    location = tmp_path / "index"
    command = f"`kbvqa index build PASSAGES.jsonl --index {location}`"
    with pytest.raises(IndexNotReady) as missing:
        PassageIndex.open(location)
    assert str(missing.value) == f"there is no index at {location}: run {command}"

    PassageIndex.create(location, make_fingerprint(3)).close()
    with pytest.raises(IndexNotReady) as unfinished:
        PassageIndex.open(location)
    assert "is not finished" in str(unfinished.value) and command in str(unfinished.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checkpoint_sha256", "c1"),
        ("corpus_sha256", "d1"),
        ("passages", 4),
        ("max_passage_tokens", 64),
    ],
)
def test_another_fingerprint_is_refused(three: Path, field: str, value: object) -> None:
    fingerprint = make_fingerprint(3)
    other = replace(fingerprint, **{field: value})  # type: ignore[arg-type]
    difference = f"{field} is {getattr(fingerprint, field)!r} in the index and {value!r} here"

    for use in (PassageIndex.open, PassageIndex.create_or_resume):
        with pytest.raises(IndexNotReady) as refusal:
            use(three, other)
        assert difference in str(refusal.value)
        assert f"`kbvqa index build PASSAGES.jsonl --index {three}`" in str(refusal.value)


def test_other_names_for_the_same_content_are_fine(three: Path) -> None:
    fingerprint = make_fingerprint(3)
    with PassageIndex.open(three, replace(fingerprint, checkpoint="copy", corpus="zoo2")) as index:
        assert index.get(["p001"])[0].id == "p001"


def test_another_schema_is_refused(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    record = json.loads((tmp_path / "kbvqa-index.json").read_text())
    record["finished"]["fingerprint"]["schema_version"] = 99
    (tmp_path / "kbvqa-index.json").write_text(json.dumps(record))

    with pytest.raises(IndexNotReady, match="schema_version 99"):
        PassageIndex.open(tmp_path)


def test_an_index_of_the_first_schema_is_refused(tmp_path: Path) -> None:
    old = {"fingerprint": {"checkpoint": "tiny", "schema_version": 1}, "complete": True}
    (tmp_path / "kbvqa-index.json").write_text(json.dumps(old))
    for use in (PassageIndex.open, PassageIndex.create_or_resume, PassageIndex.update):
        with pytest.raises(IndexNotReady, match=r"schema_version 1, .*remove it and run"):
            use(tmp_path, make_fingerprint(3))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"finished": null}'])
def test_a_damaged_record_is_reported(tmp_path: Path, content: bytes) -> None:
    build(tmp_path, random_embeddings(3))
    (tmp_path / "kbvqa-index.json").write_bytes(content)

    for use in (PassageIndex.open, PassageIndex.create_or_resume):
        with pytest.raises(IndexUnavailable, match=r"kbvqa-index\.json is damaged"):
            use(tmp_path, make_fingerprint(3))


def test_a_record_cannot_name_files_outside_the_index(tmp_path: Path) -> None:
    build(tmp_path / "index", random_embeddings(3))
    (tmp_path / "outside").write_text("mine")
    path = tmp_path / "index" / "kbvqa-index.json"
    record = json.loads(path.read_text())
    record["finished"]["files"] = {"../../outside": 4}
    path.write_text(json.dumps(record))

    with pytest.raises(IndexUnavailable, match="is missing"):
        PassageIndex.open(tmp_path / "index")


def test_a_copy_that_was_cut_short_is_reported(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    vectors = next((tmp_path / "shard").rglob("vector_storage-tokens/vectors/chunk_0.mmap"))
    os.truncate(vectors, 4096)
    with pytest.raises(IndexUnavailable, match=r"chunk_0\.mmap has 4096 bytes instead of"):
        PassageIndex.open(tmp_path)

    vectors.unlink()
    with pytest.raises(IndexUnavailable, match=r"chunk_0\.mmap is missing"):
        PassageIndex.open(tmp_path)


def test_damage_that_only_the_engine_sees_is_reported(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    for path in (tmp_path / "shard").rglob("segment.json"):
        path.write_bytes(b"x" * path.stat().st_size)

    with pytest.raises(IndexUnavailable, match=r"cannot be used: .*remove .* and run"):
        PassageIndex.open(tmp_path)
    assert list((tmp_path / "readers").iterdir()) == []


def test_a_change_does_not_fill_the_holes_of_files(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    before = allocated_bytes(tmp_path)
    with PassageIndex.update(tmp_path, make_fingerprint(2)) as index:
        index.delete(["p001"])
        index.finish()
    assert not (tmp_path / "shard").exists()
    assert allocated_bytes(tmp_path) < 1.5 * before
    with PassageIndex.open(tmp_path) as index:
        assert index.passage_ids() == {"p000", "p002"}


def test_a_panic_of_the_engine_is_reported(tmp_path: Path) -> None:
    fingerprint = make_fingerprint(3)
    PassageIndex.create(tmp_path, fingerprint).close()
    for path in (tmp_path / "shard").rglob("status.dat"):
        path.write_bytes(b"")

    with pytest.raises(IndexUnavailable, match="cannot be used: damaged"):
        PassageIndex.create_or_resume(tmp_path, fingerprint)


def test_a_full_disk_is_reported_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    with PassageIndex.create(tmp_path, make_fingerprint(2)) as index:
        index.upsert(make_passages(1), random_embeddings(1))
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: usage(free=4096))
            with pytest.raises(IndexUnavailable, match=r"\d bytes are needed and 4,096 are free"):
                index.upsert(make_passages(2), random_embeddings(2))
        assert index.count == 1
        index.upsert(make_passages(2), random_embeddings(2))
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: usage(free=4096))
            with pytest.raises(IndexUnavailable, match="is full"):
                index.finish()
        index.finish()
        assert index.count == 2


def test_a_closed_index_refuses_use(three: Path) -> None:
    index = PassageIndex.open(three)
    index.close()
    index.close()
    with pytest.raises(ValueError, match="is closed"):
        index.search(unit([[1]]), top_k=1)


def test_searching_leaves_no_trace(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(40))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    with PassageIndex.open(tmp_path) as first, PassageIndex.open(tmp_path) as second:
        assert len(list((tmp_path / "readers").iterdir())) == 2
        assert first.search(unit([[1, 2]]), 7) == second.search(unit([[1, 2]]), 7)

    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_dropped_index_is_closed(three: Path) -> None:
    PassageIndex.open(three)
    assert list((three / "readers").iterdir()) == []


def test_an_index_that_cannot_be_written_is_read_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, temporary = tmp_path / "index", tmp_path / "tmp"
    temporary.mkdir()
    build(location, random_embeddings(3))
    (location / "readers").rmdir()
    (location / "readers").write_text("in the way, as a read-only mount would be")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links")))

    with PassageIndex.open(location) as index:
        assert index.count == 3
        assert len(list(temporary.iterdir())) == 1
    assert list(temporary.iterdir()) == []


def test_threads_share_an_index(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(60))
    queries = random_embeddings(24, seed=5)

    with PassageIndex.open(tmp_path) as index, ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda q_QD: index.search(q_QD, top_k=5), queries))
        assert together == [index.search(q_QD, top_k=5) for q_QD in queries]


def test_a_finished_index_can_be_moved(tmp_path: Path) -> None:
    fingerprint = build(tmp_path / "here", random_embeddings(3))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    with PassageIndex.open(tmp_path / "there", fingerprint) as index:
        assert index.count == 3


def test_a_removed_index_serves_those_who_have_it_open(tmp_path: Path) -> None:
    build(tmp_path / "index", random_embeddings(3))
    with PassageIndex.open(tmp_path / "index") as index:
        shutil.rmtree(tmp_path / "index")
        assert len(index.search(unit([[1]]), top_k=3)) == 3


def finish_and_be_killed(location: Path, monkeypatch: pytest.MonkeyPatch) -> Fingerprint:
    """Update a finished index to one passage less, killed before the old build is removed."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    smaller = replace(make_fingerprint(2), corpus_sha256="d1")
    with PassageIndex.update(location, smaller) as index, monkeypatch.context() as patch:
        index.delete(["p001"])
        patch.setattr(embedded, "drop_others", killed)
        with pytest.raises(KeyboardInterrupt):
            index.finish()
    assert {"shard", "shard-2"} <= {path.name for path in location.iterdir()}
    return smaller


def test_what_a_kill_at_the_very_end_leaves_goes_with_the_next_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, random_embeddings(3))
    with PassageIndex.open(tmp_path) as before:
        smaller = finish_and_be_killed(tmp_path, monkeypatch)
        with PassageIndex.open(tmp_path, smaller) as after:
            assert not (tmp_path / "shard").exists()
            assert after.passage_ids() == {"p000", "p002"}
        # Who has had the old build open goes on with it.
        assert ids(before.search(unit([[1]]), 5)) and before.count == 3


def test_what_a_killed_build_left_is_not_taken_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, random_embeddings(3))
    smaller = finish_and_be_killed(tmp_path, monkeypatch)
    other = replace(smaller, checkpoint_sha256="c1")
    with PassageIndex.update(tmp_path, other, fresh=True) as index:
        assert index.build.place == "shard" and index.count == 0


def test_nothing_is_tidied_while_a_process_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, random_embeddings(3))
    with PassageIndex.update(tmp_path, make_fingerprint(3)):
        (tmp_path / "shard-3.new").mkdir()
        PassageIndex.open(tmp_path).close()
        assert (tmp_path / "shard-3.new").exists()
    PassageIndex.open(tmp_path).close()
    assert {path.name for path in tmp_path.glob("shard*")} == {"shard", "shard-2"}
