"""What an index directory holds besides the engine's own files, and who may use it.

    LOCATION/
      kbvqa-index.json   what the builds are made from, which one is finished, its files
      shard/             the finished build: nothing changes it any more
      shard-2/           the next one, while a finished index is being changed; then shard/ goes
      readers/           a private view of the finished build for every process that searches now

The engine writes to its directory even when it only loads it, and locks it to one process. So a
reader loads a view instead: the big files (vectors, graph, passages), which the engine does not
change in a finished build, are hard-linked, the small ones copied, the write-ahead log left out.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from retriever.engines.record import (
    DEFAULT_STORAGE,
    SCHEMA_VERSION,
    Build,
    Fingerprint,
    Record,
    Storage,
    record_from_json,
    record_to_json,
)
from retriever.errors import IndexNotReady, IndexUnavailable

RECORD = "kbvqa-index.json"
SHARD = "shard"

_TEMPORARY = f"{RECORD}.tmp"
_PLACE = re.compile(rf"{SHARD}(-\d+)?")
_READERS = "readers"
_BLOCK = 4_096
_VIEW = "kbvqa-reader-"
_LINKED = ("*.mmap", "*.bin", "matrix.dat", "page_*.dat")


def build_command(
    location: Path | str,
    wanted: Fingerprint | None = None,
    storage: Storage | None = None,
    *,
    swap: bool = False,
) -> str:
    """Return the command that builds, or goes on building, the index at `location`.

    Args:
        location: of the index.
        wanted: what it is to be made from: its checkpoint and pooling, which may have been given by
            option, are named; None for what is set.
        storage: how it is to be kept; None for the default.
        swap: whether it takes the place of the one that is there.
    """
    words = ["kbvqa index build PASSAGES.jsonl --index", str(location)]
    if wanted is not None:
        from retriever.checkpoint.files import to_give  # which loads torch

        words.append(f"--checkpoint {to_give(wanted.checkpoint)}")
        words += [f"--pool {wanted.pool_factor}"] if wanted.pool_factor > 1 else []
    if storage is not None and storage != DEFAULT_STORAGE:
        words.append(f"--tokens {storage.tokens}")
        words += [f"--quantization {storage.quantization}"] if storage.quantization else []
    return f"`{' '.join(words)}{' --swap' * swap}`"


def read_record(location: Path) -> Record:
    """Return what is recorded about the index at `location`.

    Raises:
        IndexNotReady: if there is no index, or one of another schema.
        IndexUnavailable: if the record cannot be read.
    """
    try:
        text = (location / RECORD).read_bytes()
        version = _schema_version(text)
        record = Record() if version != SCHEMA_VERSION else record_from_json(text)
        _require_inside(record)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise IndexNotReady(
            _not_an_index(
                location, f"give the folder of one, or build one: {build_command('INDEX')}"
            )
            or f"there is no index at {location}: run {build_command(location)}"
        ) from exc
    except (OSError, ValueError) as exc:
        raise IndexUnavailable(
            f"{location / RECORD} is damaged: {exc}. "
            "Copy that file again from where the index was copied, or remove "
            f"{location} and run {build_command(location)}"
        ) from exc
    if version != SCHEMA_VERSION:
        raise IndexNotReady(
            f"{location} was made by another version of kbvqa (schema_version {version}, this "
            f"one reads {SCHEMA_VERSION}): remove it and run {build_command(location)}"
        )
    return record


def _schema_version(text: bytes) -> object:
    """Return the schema version of a record, whatever else has changed around it."""
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object is expected, not {record!r}")
    for build in (record.get("finished"), record.get("building"), record):
        if isinstance(build, dict) and isinstance(build.get("fingerprint"), dict):
            return build["fingerprint"].get("schema_version")
    raise ValueError("it names no fingerprint")


def _require_inside(record: Record) -> None:
    """Raise ValueError if a record names what lies outside its directory: another index's data."""
    for build in (record.finished, record.building, record.replaced):
        if build is None:
            continue
        for place in filter(None, (build.place, build.base)):
            if not _PLACE.fullmatch(place):
                raise ValueError(f"its place {place!r} is none that an index makes")


def _not_an_index(location: Path, instead: str = "choose another place") -> str:
    """Return why what a directory holds is no index; "" where it is missing, empty or one."""
    names = {path.name for path in location.iterdir()} if location.is_dir() else set()
    if RECORD in names or not names - {_TEMPORARY}:
        return ""
    if shards := sorted(name for name in names if _PLACE.fullmatch(name)):
        return (
            f"{location} holds {', '.join(shards)} of an index, but not its {RECORD}: copy that "
            "file too from where the index was copied, or choose another place and build it anew"
        )
    return f"{location} is not empty and holds no index: {instead}"


def write_record(location: Path, record: Record) -> None:
    """Replace the record at `location`; after a crash there is the old one or the new one."""
    temporary = location / _TEMPORARY
    with temporary.open("w", encoding="utf-8") as file:
        file.write(record_to_json(record))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(location / RECORD)
    directory = os.open(location, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def shard_files(shard: Path) -> dict[str, int]:
    """Return the size of each file a reader needs, by its path in the place of a build."""
    return {
        path.relative_to(shard).as_posix(): path.stat().st_size
        for path in sorted(shard.rglob("*"))
        if path.is_file() and path.relative_to(shard).parts[0] != "wal"
    }


def check_files(location: Path, build: Build) -> None:
    """Raise IndexUnavailable if a file of the finished build is missing or was cut short.

    So it does if the record lists not all of them: a view of the others is no index. Files with a
    leading dot are not the engine's (.DS_Store, .nfs...).
    """
    found = shard_files(location / build.place)
    for name, size in build.files.items():
        if found.get(name) != size:
            state = f"has {found[name]} bytes instead of {size}" if name in found else "is missing"
            raise IndexUnavailable(
                f"the index at {location} is damaged: {build.place}/{name} {state}. Copy it "
                f"again, or remove {location} and run {build_command(location)}"
            )
    own = [name for name in found if not Path(name).name.startswith(".")]
    if unlisted := [name for name in own if name not in build.files]:
        raise IndexUnavailable(
            f"{location / RECORD} is damaged: it lists {len(own) - len(unlisted) or 'none'} of the "
            f"{len(own)} files in {build.place}, and not {unlisted[0]}. The files may be whole: "
            "keep them, and copy the record again from where the index was copied"
        )


def is_vacant(location: Path) -> bool:
    """Return whether an index can be created in this directory: it is missing or empty.

    Raises:
        IndexUnavailable: it holds something, but no index.
    """
    if problem := _not_an_index(location):
        raise IndexUnavailable(problem)
    names = {path.name for path in location.iterdir()} if location.is_dir() else set()
    return not location.exists() or not names - {_TEMPORARY}


def next_place(record: Record) -> str:
    """Return a name that no build of the record has."""
    taken = {build.place for build in (record.finished, record.building) if build is not None}
    number = 1
    while (place := SHARD if number == 1 else f"{SHARD}-{number}") in taken:
        number += 1
    return place


def drop_others(location: Path, record: Record) -> None:
    """Remove the places that no build of the record has: what a killed build left behind."""
    for path in _others(location, record):
        shutil.rmtree(path, ignore_errors=True)


def tidy(location: Path) -> None:
    """Remove what a killed build left behind, unless a process is building."""
    if not _others(location, read_record(location)):
        return
    lock = DirectoryLock.acquire(location)
    if lock is not None:
        try:
            drop_others(location, read_record(location))
        finally:
            lock.release()


def _others(location: Path, record: Record) -> list[Path]:
    kept = {build.place for build in (record.finished, record.building) if build is not None}
    ours = re.compile(rf"{SHARD}(-\d+)?(\.new)?")  # and not somebody's shard-backup
    return [
        path
        for path in location.glob(f"{SHARD}*")
        if path.is_dir() and ours.fullmatch(path.name) and path.name not in kept
    ]


def copy_sparse(source: str, target: str) -> None:
    """Copy a file without its holes: the engine's files are mostly room for later."""
    with Path(source).open("rb") as read, Path(target).open("wb") as write:
        while block := read.read(_BLOCK):
            if block.count(0) == len(block):
                write.seek(len(block), os.SEEK_CUR)
            else:
                write.write(block)
        write.truncate()


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


@contextlib.contextmanager
def engine_errors(location: Path, again: str = "") -> Iterator[None]:
    """Raise IndexUnavailable for what the engine, or the disk below it, raises.

    The engine raises bare `Exception`, or pyo3's PanicException, which is no Exception at all.

    Args:
        location: what is used.
        again: the command that makes it; "" for that of an index.
    """
    try:
        yield
    except BaseException as exc:
        panic = type(exc).__name__ == "PanicException"
        if not (panic or isinstance(exc, OSError) or type(exc) is Exception):
            raise
        if "No space left" in str(exc):
            raise IndexUnavailable(disk_full(location)) from exc
        advice = (
            ""
            if isinstance(exc, OSError)
            else f". If it stays so, remove {location} and run {again or build_command(location)}"
        )
        raise IndexUnavailable(
            f"the index at {location} cannot be used: {'damaged, ' * panic}{exc}{advice}"
        ) from exc


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
        except OSError as exc:
            os.close(descriptor)
            if isinstance(exc, BlockingIOError):
                return None
            raise
        return cls(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

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


def being_built(location: Path) -> bool:
    """Return whether a process is building the index at `location` just now."""
    if not location.is_dir():
        return False
    lock = DirectoryLock.acquire(location)
    if lock is not None:
        lock.release()
    return lock is None


class ReaderView:
    """A private directory that the engine can load as if it were shard/.

    Attributes:
        path: the directory. It goes with `release`, or, if this process is killed, when the
            index is opened next.
    """

    def __init__(self, path: Path, lock: DirectoryLock) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def create(cls, location: Path, place: str, files: Iterable[str]) -> Self:
        """Return a view of what is finished at `location`.

        It lies in LOCATION/readers, where files can be linked; where that cannot be written
        (a read-only mount), in the temporary directory, as a full copy.

        Args:
            location: a directory.
            place: the directory in it that is viewed.
            files: their paths there.
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
            for name in files:
                _link_or_copy(location / place / name, view.path / name)
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
