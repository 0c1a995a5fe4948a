"""What an earlier run retrieved: whether it will do, and taking it over into another run."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from app.errors import InvalidSettings
from app.evaluation.files.json_rows import json_text, read
from app.evaluation.files.resumable import (
    RECORD_NAME,
    check_key,
    opened_alone,
    read_record,
    write_record,
)
from app.evaluation.record import RETRIEVAL_NAME, RetrievalRow


def take_over(
    directory: Path,
    out: Path,
    key: Mapping[str, Any],
    search: Literal["exact", "two-stage"] | None = None,
) -> None:
    """Copy what was retrieved for another run into one for which nothing was found yet.

    Args:
        directory: of the other run.
        out: that of this one.
        key: of its retrieval.
        search: how it has to have been searched; None for either way.

    Raises:
        InvalidSettings: there is nothing to copy, it is of something else, or another process
            writes to `out`.
    """
    source, target = directory / RETRIEVAL_NAME, out / RETRIEVAL_NAME
    if not source.is_file() or not read_record(source):
        raise InvalidSettings(
            f"{directory} has no {RETRIEVAL_NAME} with its {RECORD_NAME}: give the directory of a "
            "run of `kbvqa evaluate run`"
        )
    if target.is_file() and any(not row.failure for row in read(target, RetrievalRow)):
        return
    instead = "give another directory with --retrieval-from"
    check_key(source, read_record(source), json.loads(json_text(key)), instead)
    check_search(source, search, instead)
    out.mkdir(parents=True, exist_ok=True)
    with opened_alone(target):
        write_record(target, read_record(source))
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)


def check_search(path: Path, wanted: str | None, instead: str) -> None:
    """Check that rows were searched as is asked for.

    Args:
        path: a file of rows of retrieval; it may be missing.
        wanted: "exact" or "two-stage"; None for either.
        instead: what to do about others.

    Raises:
        InvalidSettings: some were searched in the other way.
    """
    if wanted is None or not path.is_file():
        return
    if other := {row.search for row in read(path, RetrievalRow)} - {wanted, ""}:
        raise InvalidSettings(
            f"{path} holds rows of another search: it was {min(other)!r} there and --{wanted} is "
            f"asked for: {instead}, or leave out --{wanted}"
        )


def has_rows(path: Path) -> bool:
    """Return whether a file of rows is there and not empty."""
    return path.is_file() and path.stat().st_size > 0
