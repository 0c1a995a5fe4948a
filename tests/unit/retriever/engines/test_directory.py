"""An index directory: damage, full disks, builds that are killed, readers side by side."""

import json
import os
import shutil
import tempfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from retriever.building.tools import copy_index
from retriever.engines import embedded
from retriever.engines.directory import allocated_bytes
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index.passage_index import Fingerprint, PassageIndex
from tests.index_cases import (
    build,
    ids,
    make_fingerprint,
    make_passages,
    random_embeddings,
    unit,
)


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
    for use in (PassageIndex.create, PassageIndex.create_or_resume, PassageIndex.update):
        with pytest.raises(IndexUnavailable, match="not empty and holds no index: choose another"):
            use(tmp_path, make_fingerprint(1))
    with pytest.raises(
        IndexNotReady, match=r"holds no index: give the folder .*`kbvqa index build .* INDEX`"
    ):
        PassageIndex.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


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
            index.finish()  # what was only written is in order
        assert index.count == 2
    with PassageIndex.update(tmp_path, replace(make_fingerprint(1), corpus_sha256="d1")) as index:
        index.delete(["p001"])
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: usage(free=4096))
            with pytest.raises(IndexUnavailable, match="is full"):
                index.finish()
        index.finish()
        assert index.count == 1


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
        assert index.built.place == "shard" and index.count == 0


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


def test_only_what_a_build_made_is_tidied(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    for name in ("shard-backup", "shards", "shard-2.old", "shard-2", "shard-3.new"):
        (tmp_path / name).mkdir()
    with PassageIndex.update(tmp_path, make_fingerprint(2)) as index:
        index.delete(["p001"])
        index.finish()
    left = {path.name for path in tmp_path.glob("shard*")}
    assert left == {"shard-backup", "shards", "shard-2.old", index.built.place}


def test_searching_leaves_no_trace(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(40))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    with PassageIndex.open(tmp_path) as first, PassageIndex.open(tmp_path) as second:
        assert len(list((tmp_path / "readers").iterdir())) == 2
        assert first.search(unit([[1, 2]]), 7) == second.search(unit([[1, 2]]), 7)

    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_dropped_index_is_closed(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    PassageIndex.open(tmp_path)
    assert list((tmp_path / "readers").iterdir()) == []


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


def test_the_precisions_of_an_index_are_remembered_over_updates(tmp_path: Path) -> None:
    """Also those of a build that was killed: its rows stay."""
    fingerprint = make_fingerprint(2)
    with PassageIndex.update(tmp_path, fingerprint, precisions=("float32",)):
        pass
    with PassageIndex.update(tmp_path, fingerprint, precisions=("bfloat16",)) as index:
        index.upsert(make_passages(2), random_embeddings(2))
        index.finish()
        assert index.built.precisions == ("bfloat16", "float32")
    larger = replace(make_fingerprint(3), corpus_sha256="d1")
    with PassageIndex.update(tmp_path, larger, precisions=("float16",)) as index:
        index.upsert(make_passages(3)[2:], random_embeddings(3)[2:])
        index.finish()
    with PassageIndex.open(tmp_path) as index:
        assert index.built.precisions == ("bfloat16", "float16", "float32")


def change_record(location: Path, **changes: object) -> None:
    path = location / "kbvqa-index.json"
    record = json.loads(path.read_text())
    record["finished"] |= changes
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("place", ["../other/shard", "..", "/tmp", "readers", "shard/segments"])
def test_a_record_cannot_name_another_place(tmp_path: Path, place: str) -> None:
    build(tmp_path / "index", random_embeddings(3))
    build(tmp_path / "other", random_embeddings(3))
    change_record(tmp_path / "index", place=place)
    said = r"kbvqa-index\.json is damaged: its place"
    with pytest.raises(IndexUnavailable, match=said):
        PassageIndex.open(tmp_path / "index")
    with pytest.raises(IndexUnavailable, match=said):
        PassageIndex.update(tmp_path / "index", make_fingerprint(3))


def test_a_record_that_lists_not_all_files_is_reported(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    files = json.loads((tmp_path / "kbvqa-index.json").read_text())["finished"]["files"]
    (tmp_path / "shard" / ".DS_Store").write_text("")  # which is nobody's business
    PassageIndex.open(tmp_path).close()
    for left, said in ({}, "lists none of the"), (dict(list(files.items())[1:]), "lists "):
        change_record(tmp_path, files=left)
        with pytest.raises(IndexUnavailable, match="json is damaged") as raised:
            PassageIndex.open(tmp_path)
        assert said in str(raised.value) and "keep them" in str(raised.value)
        assert "remove" not in str(raised.value)


def test_shards_without_a_record_are_spoken_of_alike(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(3))
    (tmp_path / "kbvqa-index.json").unlink()
    with pytest.raises(IndexNotReady, match="but not its") as read:
        PassageIndex.open(tmp_path)
    with pytest.raises(IndexUnavailable, match="but not its") as built:
        PassageIndex.create_or_resume(tmp_path, make_fingerprint(3))
    assert str(read.value) == str(built.value) and "index build" not in str(read.value)


def test_an_index_is_not_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("")
    for place in (tmp_path / "p.jsonl", tmp_path / "p.jsonl" / "index"):
        with pytest.raises(IndexUnavailable, match=r"p\.jsonl is a file, and an index is a dir"):
            PassageIndex.create_or_resume(place, make_fingerprint(3))


def test_an_index_is_not_copied_into_itself(tmp_path: Path) -> None:
    build(tmp_path / "index", random_embeddings(3))
    with PassageIndex.open(tmp_path / "index") as source:
        for target in (tmp_path / "index" / "sub", tmp_path):
            with pytest.raises(ValueError, match="lie in each other"):
                copy_index(source, target)
    assert not (tmp_path / "index" / "sub").exists()
