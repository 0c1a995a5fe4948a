"""Data files as they were downloaded: plain, gzip, bzip2, Zstandard or zip, read in one pass.

gzip, bzip2 and Zstandard files may consist of several members that decompress on their own: a
multistream Wikipedia dump has one for each hundred pages.
"""

import bz2
import codecs
import contextlib
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import zstandard

from corpus.errors import CorpusError, DatasetNotFound

CHUNK = 1 << 18
# Compressed bytes read at once: the most that can be unpacked at once is about a thousand times it.
_PACKED_CHUNK = 1 << 16

PACKED = (".gz", ".bz2", ".zst", ".zip")

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
    b"PAR1": "parquet",
    b"\xfd7zXZ": "xz",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DECODE_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


class DamagedFile(CorpusError):
    """A compressed file is cut short or its bytes are damaged."""


class _Decompressor(Protocol):
    """What zlib, bz2 and zstandard have in common. One object reads one member."""

    def decompress(self, data: bytes, /) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def compression(path: Path) -> str:
    """Return "gzip", "bzip2", "Zstandard", "zip", "parquet", "xz", or "" by a file's first bytes.

    Raises:
        DatasetNotFound: it does not exist or cannot be opened.
    """
    with open_binary(path) as file:
        head = file.read(8)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def open_binary(path: Path) -> BinaryIO:
    """Return the file opened for reading bytes.

    Raises:
        DatasetNotFound: it does not exist, is a directory, or cannot be opened.
    """
    try:
        return path.open("rb")
    except FileNotFoundError as exc:
        raise DatasetNotFound(f"{path} does not exist; check the path") from exc
    except IsADirectoryError as exc:
        raise DatasetNotFound(f"{path} is a directory; name the file in it") from exc
    except OSError as exc:
        raise DatasetNotFound(f"{path} cannot be opened: {exc.strerror}") from exc


def path_text(path: Path) -> str:
    """Return a path as text; bytes of a name that are not UTF-8 become escapes.

    >>> path_text(Path("caf\\udce9.md"))
    'caf\\\\xe9.md'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def content_name(path: Path) -> str:
    """Return the name of what is in a file: of a zip's only file, else without the packing's.

    Raises:
        DatasetNotFound: it does not exist or cannot be opened.

    >>> content_name(Path(__file__)), _unpacked("tea.md.gz")
    ('sources.py', 'tea.md')
    """
    if compression(path) == "zip":
        with open_binary(path) as file, contextlib.suppress(zipfile.BadZipFile):
            names = _members_of(zipfile.ZipFile(file))
            if len(names) == 1:
                return names[0].filename.rpartition("/")[2]
    return _unpacked(path.name)


def _unpacked(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in PACKED else name


class Source:
    """The content of one file.

    Attributes:
        path: the file.
        bytes_read: how far into the file, as it is on disk, reading has come.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.bytes_read = path, 0
        self.kind = compression(path)
        if self.kind == "xz":
            raise CorpusError(f"{path} is xz-compressed, which is not read; unpack it first")
        if self.kind == "parquet":
            raise CorpusError(f"{path} is a parquet file where lines of text are expected")

    def chunks(self) -> Iterator[bytes]:
        """Yield pieces of content, in order; UTF-16 text, which begins with its mark, as UTF-8.

        Raises:
            DamagedFile: the compressed data ends early or is damaged.
            CorpusError: the content begins as UTF-16 text, and is none.
        """
        with open_binary(self.path) as file:
            if self.kind == "zip":
                pieces = self._unzip(file)
            elif self.kind:
                pieces = self._members(file)
            else:
                pieces = self._plain(file)
            pieces = filter(None, pieces)
            first = next(pieces, b"")
            whole = chain((first,), pieces)
            yield from self._utf_8(whole) if first.startswith(_UTF16) else whole

    def lines(self) -> Iterator[bytes]:
        """Yield lines, without their "\\n".

        Raises:
            DamagedFile: as `chunks`; the whole lines before it come first.
        """
        rest: list[bytes] = []  # joined once: a line may be as long as the file
        for data in self.chunks():
            first, *others = data.split(b"\n")
            rest.append(first)
            if others:
                yield b"".join(rest)
                yield from others[:-1]
                rest = [others[-1]]
        if any(rest):
            yield b"".join(rest)

    def stream(self) -> BinaryIO:
        """Return the content as a file that can be read from but not seeked."""
        return io.BufferedReader(_Stream(self.chunks()), CHUNK)

    def _utf_8(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-16")()
        try:
            for data in pieces:
                yield decoder.decode(data).encode("utf-8")
            decoder.decode(b"", final=True)
        except UnicodeError as exc:
            raise CorpusError(
                f"{self.path} begins as UTF-16 text, and is not whole ({exc}); save it as UTF-8"
            ) from exc

    def _plain(self, file: BinaryIO) -> Iterator[bytes]:
        while data := file.read(CHUNK):
            self.bytes_read += len(data)
            yield data

    def _unzip(self, file: BinaryIO) -> Iterator[bytes]:
        try:
            with zipfile.ZipFile(file) as archive:
                names = _members_of(archive)
                if len(names) != 1:
                    raise CorpusError(
                        f"{self.path} holds {len(names)} files, not one; unpack it and name the "
                        f"file: {', '.join(info.filename for info in names[:5])}"
                    )
                with archive.open(names[0]) as member:
                    while data := member.read(CHUNK):
                        self.bytes_read = file.tell()
                        yield data
        except (zipfile.BadZipFile, EOFError, zlib.error) as exc:
            raise DamagedFile(self._damage(exc)) from exc

    def _members(self, file: BinaryIO) -> Iterator[bytes]:
        """Decompress member after member."""
        pending = b""
        while pending := pending or file.read(_PACKED_CHUNK):
            if not pending.strip(b"\0"):  # padding behind the last member
                pending = b""
                continue
            decoder = self._decoder()
            while True:
                try:
                    data = decoder.decompress(pending)
                except _DECODE_ERRORS as exc:
                    raise DamagedFile(self._damage(exc)) from exc
                pending = decoder.unused_data if decoder.eof else b""
                self.bytes_read = file.tell() - len(pending)
                yield data
                if decoder.eof:
                    break
                pending = file.read(_PACKED_CHUNK)
                if not pending:
                    raise DamagedFile(self._damage("it ends in the middle"))

    def _decoder(self) -> _Decompressor:
        if self.kind == "gzip":
            return _Zlib()
        if self.kind == "bzip2":
            return bz2.BZ2Decompressor()
        decoder: Any = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
        return decoder  # type: ignore[no-any-return]

    def _damage(self, problem: object) -> str:
        return (
            f"{self.path}, near byte {self.bytes_read:,}: the {self.kind} data is damaged or cut "
            f"short ({problem}); nothing behind it is read: fetch the file again"
        )


def _members_of(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [info for info in archive.infolist() if not _beside(info)]


def _beside(info: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a folder, or what a system puts beside files: __MACOSX/._a."""
    parts = info.filename.split("/")
    return info.is_dir() or parts[0] == "__MACOSX" or parts[-1].startswith(".")


class _Zlib:
    """zlib's decompressor for one gzip member, with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, /) -> bytes:
        return self._inner.decompress(data)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _Stream(io.RawIOBase):
    """Chunks as a raw file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
