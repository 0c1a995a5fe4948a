import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import DatasetNotFound, InvalidRecord
from corpus.files.passages import passages_sha256, read_passages, write_passages
from corpus.types import Passage

PARIS = Passage("1", "Paris", "Paris is the capital of France — été.", url="https://x/Paris")
ROME = Passage(
    "2", "Rome", "Rome\nhas hills.", source="made up", section="Lead", entity="wiki:Rome"
)


def line(**changes: Any) -> bytes:
    row = {"id": "1", "title": "Paris", "text": "Paris is in France."} | changes
    return json.dumps({key: value for key, value in row.items() if value != "absent"}).encode()


def read(path: Path, *lines: bytes) -> list[Passage]:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return list(read_passages(path))


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_written_passages_are_read_back(tmp_path: Path, name: str) -> None:
    assert write_passages(tmp_path / name, [PARIS, ROME]) == 2
    assert list(read_passages(tmp_path / name)) == [PARIS, ROME]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(gzip.compress(line()))
    assert next(read_passages(path)).title == "Paris"


def test_bom_blank_lines_crlf_and_unknown_keys_are_tolerated(tmp_path: Path) -> None:
    passages = read(
        tmp_path / "p.jsonl", b"\xef\xbb\xbf" + line(), b"", b"  \r", line(id="2", views=3) + b"\r"
    )
    assert [passage.id for passage in passages] == ["1", "2"]
    assert passages[0].url == passages[0].entity == ""


@pytest.mark.parametrize("nothing", ["absent", None, "", " \t"])
@pytest.mark.parametrize("name", ["title", "url", "source", "section", "entity", "language"])
def test_nothing_is_absent_null_or_blank(tmp_path: Path, name: str, nothing: str | None) -> None:
    (passage,) = read(tmp_path / "p.jsonl", line(**{name: nothing}))
    assert getattr(passage, name) == ""
    assert passage.text == "Paris is in France."


def test_reading_streams(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(line() + b"\nnot json\n")
    assert next(read_passages(path)).id == "1"


@pytest.mark.parametrize(
    ("bad", "field", "problem"),
    [
        (b'{"id": "2",', "", "not JSON"),
        (b"[1, 2]", "", "must be a JSON object like {...}, not a list"),
        (b"null", "", "not null"),
        (b"[" * 100_000, "", "cannot be read"),
        (b'{"id": ' + b"9" * 5000 + b"}", "", "cannot be read"),
        (line(id="absent"), "id", "missing; add it"),
        (line(id="2", text=""), "text", "empty; give it some text"),
        (line(id="2", text=None), "text", "must be a string, not null"),
        (line(id="2", text=7), "text", "must be a string, not a number"),
        (line(id="2", text=["a"]), "text", "not a list"),
        (line(id="2", title={}), "title", "not an object"),
        (line(id=True), "id", "not true or false"),
        (line(id="2", url=7), "url", "must be a string, not a number"),
        (line(id="2", text="half \ud83d pair"), "text", "surrogate"),
        (b'{"id": "caf\xe9"}', "", "not UTF-8 (byte 12 is 0xe9); save it as UTF-8"),
        (line(id="1"), "id", "'1' is already the id of line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: bytes, field: str, problem: str) -> None:
    path = tmp_path / "p.jsonl"
    with pytest.raises(InvalidRecord) as caught:
        read(path, line(), b"", bad)
    error = caught.value
    assert (error.path, error.line, error.field) == (path, 3, field)
    assert str(error).startswith(f"{path}, line 3" + (f", field '{field}': " if field else ": "))
    assert problem in str(error)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidRecord, match=r"p\.jsonl, line 1: the file is empty"):
        list(read_passages(path))


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"nothing\.jsonl does not exist; check the path"):
        list(read_passages(tmp_path / "nothing.jsonl"))
    with pytest.raises(DatasetNotFound, match="is a directory; name the"):
        list(read_passages(tmp_path))


def test_a_cut_gzip_file_is_an_error_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    write_passages(path, [PARIS, ROME])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(
        InvalidRecord, match=r"damaged or cut short.*fetch the file again"
    ) as caught:
        list(read_passages(path))
    assert caught.value.line >= 1


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_passages(path, [PARIS])
    before = path.read_bytes()

    def broken() -> Any:
        yield ROME
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_passages(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["p.jsonl"]


def test_written_gzip_is_reproducible(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_passages(first, [PARIS, ROME])
    write_passages(second, [PARIS, ROME])
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == b"\0\0\0\0"  # the time stamp


def test_sha256_is_that_of_the_passages(tmp_path: Path) -> None:
    plain, zipped, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c.jsonl"
    write_passages(plain, [PARIS, ROME])
    write_passages(zipped, [PARIS, ROME])
    write_passages(other, [ROME, PARIS])
    assert passages_sha256(plain) == passages_sha256(zipped) != passages_sha256(other)

    shuffled = tmp_path / "d.jsonl"
    shuffled.write_text(
        "\n"
        + '{"text": "Rome\\nhas hills.", "views": 1, "section": "Lead", "title": "Rome",'
        + ' "id": "2", "source": "made up", "entity": "wiki:Rome", "url": ""}\n'
    )
    alone = tmp_path / "e.jsonl"
    write_passages(alone, [ROME])
    assert passages_sha256(shuffled) == passages_sha256(alone)


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "1", "text": "a"}\n{"id": "2", "text": "b", "text": "c"}\n')
    with pytest.raises(InvalidRecord, match="there twice") as raised:
        list(read_passages(path))
    assert (raised.value.line, raised.value.field) == (2, "text")


@pytest.mark.parametrize(
    ("key", "wanted"),
    [("Title", "title"), ("entitiy", "entity"), ("langauge", "language"), ("URL", "url")],
)
def test_a_text_under_a_misspelt_name_is_not_lost(tmp_path: Path, key: str, wanted: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "b", key: "c"}))
    with pytest.raises(InvalidRecord, match=f"{key}.*is no field: call it '{wanted}'"):
        list(read_passages(path))


def test_names_of_their_own_are_left_alone(tmp_path: Path) -> None:
    other = {"subtitle": "c", "resource": "d", "sections": ["e"], "Title": "f", "context": "g"}
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "b", "title": "T", **other}))
    assert list(read_passages(path)) == [Passage("a", "T", "b")]
