"""What an index directory holds besides the engine's own files, and who may use it.

    LOCATION/
      kbvqa-index.json   what the index was made from, whether it is finished, its files
      shard/             the engine's files: one process builds them, nothing changes them later
      readers/           a private view of shard/ for every process that searches now

The engine writes to its directory even when it only loads it, and locks it to one process. So a
reader loads a view instead: the big files (vectors, graph, passages), which the engine does not
change in a finished index, are hard-linked, the small ones copied, the write-ahead log left out.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from retriever.errors import IndexNotReady, IndexUnavailable

SCHEMA_VERSION = 1
RECORD = "kbvqa-index.json"
SHARD = "shard"

_TEMPORARY = f"{RECORD}.tmp"
_READERS = "readers"
_VIEW = "kbvqa-reader-"
_LINKED = ("*.mmap", "*.bin", "matrix.dat", "page_*.dat")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an index is made from. Two that agree in all but the names are interchangeable.

    Attributes:
        checkpoint: the name of the checkpoint that embedded the passages, for messages.
        checkpoint_sha256: the hash of its weights.
        corpus: the name of the corpus.
        corpus_sha256: the hash of the passage file.
        passages: the number of passages in it.
        dim: the embedding dim.
        max_passage_tokens: passages are cut to so many tokens before they are embedded.
        schema_version: the layout of the index.
    """

    checkpoint: str
    checkpoint_sha256: str
    corpus: str
    corpus_sha256: str
    passages: int
    dim: int = 128
    max_passage_tokens: int = 512
    schema_version: int = SCHEMA_VERSION

    def difference(self, other: "Fingerprint") -> str:
        """Return how `other` differs, as a sentence naming each field; "" if interchangeable."""
        differing = {
            f.name: (getattr(self, f.name), getattr(other, f.name))
            for f in fields(self)
            if getattr(self, f.name) != getattr(other, f.name)
        }
        if differing.keys() <= {"checkpoint", "corpus"}:
            return ""
        return ", ".join(
            f"{name} is {mine!r} in the index and {theirs!r} here"
            for name, (mine, theirs) in differing.items()
        )


@dataclass(frozen=True, slots=True)
class Record:
    """The content of kbvqa-index.json.

    Attributes:
        fingerprint: what the index is made from.
        complete: True once every passage is in it and nothing will change any more.
        files: of a complete index, the size in bytes of each file in shard/, to notice a
            copy that was cut short.
    """

    fingerprint: Fingerprint
    complete: bool = False
    files: Mapping[str, int] = field(default_factory=dict)


_RECORD_JSON = TypeAdapter(Record)


def build_command(location: Path) -> str:
    """Return the command that builds, or goes on building, the index at `location`."""
    return f"`kbvqa index build PASSAGES.jsonl --index {location}`"


def read_record(location: Path) -> Record:
    """Return what is recorded about the index at `location`.

    Raises:
        IndexNotReady: if there is no index, or one of another schema.
        IndexUnavailable: if the record cannot be read.
    """
    try:
        record = _RECORD_JSON.validate_json((location / RECORD).read_bytes(), strict=True)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise IndexNotReady(
            f"there is no index at {location}: run {build_command(location)}"
        ) from exc
    except (OSError, ValueError) as exc:
        raise IndexUnavailable(
            f"{location / RECORD} is damaged: {exc}. "
            f"Remove {location} and run {build_command(location)}"
        ) from exc
    if record.fingerprint.schema_version != SCHEMA_VERSION:
        raise IndexNotReady(
            f"{location} was made by another version of kbvqa (schema_version "
            f"{record.fingerprint.schema_version}, this one reads {SCHEMA_VERSION}): "
            f"remove it and run {build_command(location)}"
        )
    return record


def write_record(location: Path, record: Record) -> None:
    """Replace the record at `location`; after a crash there is the old one or the new one."""
    text = json.dumps(_RECORD_JSON.dump_python(record), indent=2) + "\n"
    temporary = location / _TEMPORARY
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(location / RECORD)
    directory = os.open(location, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def shard_files(location: Path) -> dict[str, int]:
    """Return the size of each file a reader needs, by its path in shard/."""
    shard = location / SHARD
    return {
        path.relative_to(shard).as_posix(): path.stat().st_size
        for path in sorted(shard.rglob("*"))
        if path.is_file() and path.relative_to(shard).parts[0] != "wal"
    }


def check_files(location: Path, record: Record) -> None:
    """Raise IndexUnavailable if a file of the finished index is missing or was cut short."""
    found = shard_files(location)
    for name, size in record.files.items():
        if found.get(name) != size:
            state = f"has {found[name]} bytes instead of {size}" if name in found else "is missing"
            raise IndexUnavailable(
                f"the index at {location} is damaged: {SHARD}/{name} {state}. Copy it again, or "
                f"remove {location} and run {build_command(location)}"
            )


def require_same(location: Path, record: Record, expected: Fingerprint) -> None:
    """Raise IndexNotReady if the index was made from something other than `expected`."""
    if difference := record.fingerprint.difference(expected):
        raise IndexNotReady(
            f"the index at {location} was made from something else: {difference}. "
            f"Remove it, or choose another directory, and run {build_command(location)}"
        )


def is_vacant(location: Path) -> bool:
    """Return whether an index can be created in this directory."""
    return location.is_dir() and all(path.name == _TEMPORARY for path in location.iterdir())


def allocated_bytes(directory: Path) -> int:
    """Return the bytes the files take on disk, which for sparse files is less than their size."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def require_free(location: Path, needed: int) -> None:
    """Raise IndexUnavailable if fewer than `needed` bytes are free on the disk of `location`.

    To be asked before the engine writes: it writes to memory-mapped files, so that a full disk
    ends the process with SIGBUS and no message.
    """
    if shutil.disk_usage(location).free < needed:
        raise IndexUnavailable(disk_full(location, needed))


def disk_full(location: Path, needed: int | None = None) -> str:
    """Return the message for a disk without room for `needed` bytes, if that is known."""
    wanted = f"{needed:,} bytes are needed and " if needed is not None else ""
    return (
        f"the disk of {location} is full: {wanted}{shutil.disk_usage(location).free:,} are free. "
        "Make room and run the same command again: what is written so far is kept"
    )


class DirectoryLock:
    """The exclusive use of a directory by this process. The kernel ends it with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> Self | None:
        """Return the lock, or None if another process holds it."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """End the lock; again does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_for_building(location: Path) -> DirectoryLock:
    """Return the lock of the one process that may change the index at `location`."""
    lock = DirectoryLock.acquire(location)
    if lock is None:
        raise IndexUnavailable(f"another process is building the index at {location}")
    return lock


class ReaderView:
    """A private directory that the engine can load as if it were shard/.

    Attributes:
        path: the directory. It goes with `release`, or, if this process is killed, when the
            index is opened next.
    """

    def __init__(self, path: Path, lock: DirectoryLock) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def create(cls, location: Path, record: Record) -> Self:
        """Return a view of the finished index at `location`.

        It lies in LOCATION/readers, where files can be linked; where that cannot be written
        (a read-only mount), in the temporary directory, as a full copy.
        """
        try:
            (location / _READERS).mkdir(exist_ok=True)
            parent, unlocked = _make_directory(location / _READERS)
        except OSError:
            parent, unlocked = _make_directory(Path(tempfile.gettempdir()))
        _remove_abandoned(parent)
        lock = DirectoryLock.acquire(unlocked)
        assert lock is not None, "nobody else knows the name yet"
        # Only now does it get the name that others clean up by: whoever sees it sees it locked.
        view = cls(unlocked.rename(parent / unlocked.name.removeprefix(".")), lock)
        try:
            for name in record.files:
                _link_or_copy(location / SHARD / name, view.path / name)
        except OSError:
            view.release()
            raise
        return view

    def release(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


def _make_directory(parent: Path) -> tuple[Path, Path]:
    return parent, Path(tempfile.mkdtemp(prefix=f".{_VIEW}", dir=parent))


def _remove_abandoned(parent: Path) -> None:
    """Remove the views of processes that were killed."""
    for path in parent.glob(f"{_VIEW}*"):
        try:
            lock = DirectoryLock.acquire(path)
        except OSError:  # gone since, or another user's
            continue
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            lock.release()


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if any(source.match(pattern) for pattern in _LINKED):
        try:
            target.hardlink_to(source)
            return
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copyfile(source, target)
