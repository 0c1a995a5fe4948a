"""Rows and results as JSON: read with their types checked, written as valid UTF-8.

    results = read_results(directory)
    for row in read(directory / ANSWERS_NAME, AnswerRow): ...

Fields that another version wrote are left out.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.evaluation.record import EXAMPLES_NAME, RESULTS_NAME, Results
from corpus.errors import DatasetNotFound, InvalidRecord

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
_ADAPTERS: dict[Any, Any] = {}

log = logging.getLogger(__name__)


def as_json(row: Any) -> dict[str, Any]:
    """Return a row or results as what `json` writes."""
    return asdict(row)


def from_json(kind: type[T], text: str | bytes) -> T:
    """Return a row or results of their JSON.

    Raises:
        ValueError: a field is missing or of another type. Fields of other versions are left out.
    """
    return _adapter(kind).validate_json(text, strict=True)


def read(path: Path, kind: type[T], *, strict: bool = False) -> Iterator[T]:
    """Yield the rows of a file; a line that is none is left out with a warning.

    Lines end in a line feed alone. What a killed run left of a last line is passed over.

    Args:
        path: the file.
        kind: the type of its rows.
        strict: refuse a line that is none.

    Raises:
        InvalidRecord: with `strict`.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield from_json(kind, line)
            except ValueError as exc:
                if strict:
                    raise InvalidRecord(path, number, *_problem(exc)) from exc
                log.warning("%s, line %d is no %s and is left out", path, number, kind.__name__)


def _problem(exc: ValueError) -> tuple[str, str]:
    """Return which field a row cannot be read for, and why."""
    from pydantic import ValidationError

    if not isinstance(exc, ValidationError):
        return "", str(exc)
    first = exc.errors(include_url=False)[0]
    return ".".join(map(str, first["loc"])), str(first["msg"])


def read_results(directory: Path) -> Results:
    """Return the results of a run.

    Raises:
        DatasetNotFound: the directory has none, or they are of another version.
    """
    path = directory / RESULTS_NAME
    try:
        return from_json(Results, path.read_bytes())
    except (OSError, ValueError) as exc:
        raise DatasetNotFound(
            f"{path} holds no results of `kbvqa evaluate run` of this version "
            f"({str(exc).splitlines()[0]}): run it with --out {directory}; finished stages are kept"
        ) from exc


def examples_sha256(directory: Path) -> str:
    """Return the SHA-256 of a run's examples.jsonl."""
    with (directory / EXAMPLES_NAME).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_text(value: object, indent: int | None = None) -> str:
    """Return JSON that is valid UTF-8: half of a surrogate pair, which is no text, is replaced."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _adapter(kind: type[T]) -> "TypeAdapter[T]":
    from pydantic import TypeAdapter  # --help is instant

    adapter: TypeAdapter[T] = _ADAPTERS.get(kind) or _ADAPTERS.setdefault(kind, TypeAdapter(kind))
    return adapter
