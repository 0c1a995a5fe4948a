"""Datasets from the Hugging Face hub. Nothing else in the application downloads data."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.hf_api import RepoFile

from app.errors import DamagedDownload, HubUnavailable, NotEnoughSpace
from app.machine import network
from corpus.benchmarks.datasets import Dataset, Hub, instructions
from corpus.files.sources import CHUNK

if TYPE_CHECKING:
    from retriever.building.build import Advance, Say

_SPARE_BYTES = 1_000_000_000
_CHECKED_NAME = ".kbvqa-checked.json"
# HTTPError is that of the hub client's own HTTP library: a refused or broken connection.
_HUB_ERRORS = (HTTPError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled)


class RemoteFile(NamedTuple):
    """A file on the hub: its path in the repository, bytes, and SHA-256 or ""."""

    path: str
    size: int
    sha256: str


def fetch(wanted: Dataset, root: Path, say: "Say", advance: "Advance") -> list[Path]:
    """Return the files of a dataset, fetched into its folder where they are not there yet.

    A download that was interrupted goes on where it stopped; a file that is there, with the
    right size and hash, is not fetched again. The folder keeps a list of the files whose hash was
    right, so that each is hashed once, and one whose check was interrupted is checked again.

    Args:
        wanted: the dataset.
        root: the data directory.
        say: told which file is fetched.
        advance: told how many bytes of how many are there.

    Raises:
        HubUnavailable: the hub has no such dataset, or cannot be reached; the message says what
            to put where instead.
        NotEnoughSpace: the disk cannot hold what is missing.
        DamagedDownload: what arrived is not what the hub says it has.
    """
    if wanted.hub is None:
        raise HubUnavailable(f"the hub has no {wanted.name}. {instructions(wanted, root)}")
    network.prepare()
    folder = root / wanted.folder
    say(f"Looking up {wanted.hub.repo}")
    try:
        files, checked = list(_files(wanted.hub)), _Checksums(folder)
        missing = [file for file in files if not checked.present(file, say, advance)]
        _check_space(folder, sum(file.size for file in missing))
        done, total = sum(f.size for f in files) - sum(f.size for f in missing), _total(files)
        for file in missing:
            say(f"Fetching {file.path}")
            advance(done, total)
            hf_hub_download(wanted.hub.repo, file.path, repo_type="dataset", local_dir=folder)
            checked.check(file)
            done += file.size
        advance(done, total)
    except _HUB_ERRORS as exc:
        raise HubUnavailable(
            f"the hub cannot be reached, or does not give {wanted.hub.repo}: {_first_line(exc)}\n"
            f"{instructions(wanted, root)}"
        ) from exc
    if not files:
        patterns = ", ".join(wanted.hub.patterns)
        raise HubUnavailable(f"{wanted.hub.repo} has no {patterns}: it has changed on the hub")
    return [folder / file.path for file in files]


def check_stated_hashes(wanted: Dataset, root: Path, advance: "Advance") -> list[Path]:
    """Return the files whose SHA-256 the source states and that have it.

    Raises:
        DamagedDownload: one has another.
    """
    checked = []
    for name, sha256 in wanted.sha256:
        path = root / wanted.folder / name
        if path.is_file():
            _check_hash(path, RemoteFile(name, path.stat().st_size, sha256), advance)
            checked.append(path)
    return checked


def _files(hub: Hub) -> Iterator[RemoteFile]:
    for entry in HfApi().list_repo_tree(hub.repo, repo_type="dataset", recursive=True):
        if isinstance(entry, RepoFile) and any(fnmatch(entry.path, p) for p in hub.patterns):
            yield RemoteFile(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else "")


def _total(files: list[RemoteFile]) -> int:
    return sum(file.size for file in files)


class _Checksums:
    """The files of a folder whose hash was right, with what shows that they are the same still."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._record = folder, folder / _CHECKED_NAME
        self._known: dict[str, list[str | int]] = {}
        # Missing or cut short, all are checked again.
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            self._known = dict(json.loads(self._record.read_text(encoding="utf-8")))

    def present(self, file: RemoteFile, say: "Say", advance: "Advance") -> bool:
        """Return whether a file is there, whole and right; a damaged one is moved away."""
        path = self._folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            return False
        if not file.sha256 or self._known.get(file.path) == self._state(file):
            return True
        say(f"Checking {file.path}")
        try:
            self.check(file, advance)
        except DamagedDownload:
            return False
        return True

    def check(self, file: RemoteFile, advance: "Advance" = lambda done, total: None) -> None:
        """Remember a file if its hash is right; DamagedDownload if not."""
        _check_hash(self._folder / file.path, file, advance)
        if file.sha256:
            self._known[file.path] = self._state(file)
            unfinished = self._record.with_name(_CHECKED_NAME + ".tmp")
            unfinished.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
            unfinished.replace(self._record)

    def _state(self, file: RemoteFile) -> list[str | int]:
        found = (self._folder / file.path).stat()
        return [file.sha256, found.st_size, found.st_mtime_ns]


def _check_space(folder: Path, needed: int) -> None:
    """Raise NotEnoughSpace unless the disk holds so many bytes more, and some to spare."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed and needed + _SPARE_BYTES > free:
        raise NotEnoughSpace(
            f"{needed / 1e9:.1f} GB are to be fetched into {folder}, where {free / 1e9:.1f} GB are "
            "free; free some, or set KBVQA_DATA to a directory on a larger disk"
        )


def _check_hash(
    path: Path, file: RemoteFile, advance: "Advance" = lambda done, total: None
) -> None:
    if not file.sha256:
        return
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as opened:
        while data := opened.read(CHUNK):
            digest.update(data)
            done += len(data)
            advance(done, file.size)
    if digest.hexdigest() != file.sha256:
        damaged = path.with_name(path.name + ".damaged")
        path.replace(damaged)
        raise DamagedDownload(
            f"{path} has the SHA-256 {digest.hexdigest()}, not {file.sha256}: it was damaged on "
            f"the way and is now {damaged.name}; fetch it again"
        )


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
