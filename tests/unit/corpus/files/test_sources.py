"""Compressed files: the same content, and damage that is named."""

import bz2
import gzip
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from corpus.errors import CorpusError, DatasetNotFound
from corpus.files.sources import CHUNK, DamagedFile, Source, compression

LINES = [f"line {n} {'ä' * (n % 50)}".encode() for n in range(5000)]
TEXT = b"\n".join(LINES)
HALVES = TEXT[:40_001], TEXT[40_001:]


def zipped(data: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", data)


WRITERS: dict[str, Callable[[Path], object]] = {
    "plain": lambda path: path.write_bytes(TEXT),
    "gzip": lambda path: path.write_bytes(gzip.compress(TEXT)),
    "bzip2": lambda path: path.write_bytes(bz2.compress(TEXT)),
    "zstd": lambda path: path.write_bytes(zstandard.compress(TEXT)),
    "zip": lambda path: zipped(TEXT, path),
    "gzip members": lambda path: path.write_bytes(b"".join(map(gzip.compress, HALVES)) + bytes(99)),
    "bzip2 streams": lambda path: path.write_bytes(b"".join(map(bz2.compress, HALVES))),
    "zstd frames": lambda path: path.write_bytes(b"".join(map(zstandard.compress, HALVES))),
}


@pytest.fixture(params=WRITERS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file"
    WRITERS[request.param](path)
    return path


def test_lines_are_the_same_however_they_are_packed(file: Path) -> None:
    source = Source(file)
    assert list(source.lines()) == LINES
    size = file.stat().st_size
    assert size - 100 <= source.bytes_read <= size


def test_streams_read_as_files(file: Path) -> None:
    assert Source(file).stream().read() == TEXT


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "zstd", "zstd frames", "bzip2 streams", "zip"])
def test_a_file_cut_short_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cut"
    WRITERS[kind](path)
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(DamagedFile, match=r"cut, near byte [\d,]+: .* fetch the file again"):
        list(Source(path).lines())


def test_the_lines_before_the_damage_come_first(tmp_path: Path) -> None:
    path = tmp_path / "cut.bz2"
    path.write_bytes(bz2.compress(HALVES[0]) + bz2.compress(HALVES[1])[:-30])
    lines = []
    with pytest.raises(DamagedFile):
        for line in Source(path).lines():
            lines.append(line)
    assert lines == HALVES[0].split(b"\n")[:-1]


def test_garbage_behind_the_last_member_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "garbage.gz"
    path.write_bytes(gzip.compress(TEXT) + b"not gzip at all")
    with pytest.raises(DamagedFile):
        list(Source(path).lines())


def test_a_line_as_long_as_the_file_takes_no_time(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"a\n" + b"x" * 100_000_000 + b"\n\nb")
    started = time.process_time()
    lines = list(Source(tmp_path / "long").lines())
    assert [len(line) for line in lines] == [1, 100_000_000, 0, 1]
    assert time.process_time() - started < 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_reads_as_utf_8(tmp_path: Path, encoding: str) -> None:
    text = "Łódź 🐢\n" * (CHUNK // 5)  # a chunk ends within a character
    mark = b"" if encoding == "utf-16" else b"\xfe\xff"
    (tmp_path / "utf16").write_bytes(mark + text.encode(encoding))
    source = Source(tmp_path / "utf16")
    assert b"".join(source.chunks()).decode("utf-8") == text
    assert source.bytes_read == (tmp_path / "utf16").stat().st_size


def test_what_a_mac_puts_into_a_zip_is_no_file_of_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        for name in ("notes/", "notes/p.jsonl", "__MACOSX/notes/._p.jsonl", "notes/.DS_Store"):
            archive.writestr(name, name)
    assert b"".join(Source(tmp_path / "one.zip").chunks()) == b"notes/p.jsonl"


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="does not exist"):
        Source(tmp_path / "none")
    with pytest.raises(DatasetNotFound, match="is a directory"):
        Source(tmp_path)
    (tmp_path / "x.xz").write_bytes(b"\xfd7zXZ\x00\x00")
    with pytest.raises(CorpusError, match=r"xz.*unpack"):
        Source(tmp_path / "x.xz")
    (tmp_path / "utf16").write_bytes("text".encode("utf-16")[:-1])
    with pytest.raises(CorpusError, match=r"UTF-16.*not whole"):
        list(Source(tmp_path / "utf16").lines())
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("b.json", "{}")
    with pytest.raises(CorpusError, match=r"2 files, not one.*a\.json, b\.json"):
        list(Source(tmp_path / "two.zip").lines())


def test_empty_files_have_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    assert list(Source(tmp_path / "empty").lines()) == []
    assert list(Source(tmp_path / "empty.gz").lines()) == []
    assert compression(tmp_path / "empty.gz") == "gzip"


def test_a_newline_at_the_end_makes_no_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\n\nb\n")
    assert list(Source(path).lines()) == [b"a", b"", b"b"]
