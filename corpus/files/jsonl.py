""".jsonl files: one JSON object a line, plain or compressed, with errors that name the line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus.errors import DatasetNotFound, InvalidRecord
from corpus.files.sources import DamagedFile, Source


class _TwoValues(ValueError):
    """An object that has a key twice."""


# What is asked for instead of another form.
_WANTED = 'write one JSON object on each line, such as {"id": "1", ...}'
_BOM = b"\xef\xbb\xbf"

Record = dict[str, Any]


def read_records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield (line number, object) of every line that is not blank, streaming.

    The file is UTF-8, with or without a byte-order mark. Compression is recognised by its
    content, not by the file's name.

    Raises:
        DatasetNotFound: there is no such file, or it cannot be opened.
        InvalidRecord: a line is not a JSON object, or the file holds none at all.
    """
    for number, found in record_lines(path):
        if isinstance(found, InvalidRecord):
            raise found
        yield number, found


def record_lines(path: Path) -> Iterator[tuple[int, Record | InvalidRecord]]:
    """Yield the same, and a line that is no JSON object as its error: the next ones may be.

    A file that is damaged ends with an error, and one without a line is an error alone.

    Raises:
        DatasetNotFound: there is no such file, or it cannot be opened.
    """
    number = 0
    empty = True
    if path.is_dir():
        raise DatasetNotFound(f"{path} is a directory; name the .jsonl or .jsonl.gz file in it")
    try:
        for number, raw in enumerate(Source(path).lines(), start=1):
            line = raw.removeprefix(_BOM) if number == 1 else raw
            if line.strip():
                empty = False
                yield number, _record_or_error(path, number, line)
    except DamagedFile as exc:
        yield number + 1, InvalidRecord(path, number + 1, "", str(exc))
        return
    if empty:
        problem = "the file is empty; it needs one JSON object a line"
        yield 1, InvalidRecord(path, 1, "", problem)


def text_field(path: Path, line: int, record: Record, name: str, *, required: bool = True) -> str:
    """Return a text field; "" for one that is absent, null or blank and not required.

    Raises:
        InvalidRecord: it is missing, empty, not a string, or not valid Unicode.
    """
    value = record.get(name)
    if required and name not in record:
        raise InvalidRecord(path, line, name, "missing; add it as a non-empty string")
    if not required and (value is None or (isinstance(value, str) and not value.strip())):
        return ""
    return _text(path, line, name, value)


def id_field(path: Path, line: int, record: Record, name: str) -> str:
    """Return an identifier as a string; an integer is taken as its decimal digits."""
    value = record.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_field(path, line, record, name)


def list_field(path: Path, line: int, record: Record, name: str) -> tuple[str, ...]:
    """Return a list of non-empty strings (integers become strings); () when it is absent."""
    values = record.get(name, [])
    if not isinstance(values, list):
        problem = f"must be a list of strings, not {_kind(values)}"
        raise InvalidRecord(path, line, name, problem)
    return tuple(
        str(value)
        if isinstance(value, int) and not isinstance(value, bool)
        else _text(path, line, f"{name}[{index}]", value)
        for index, value in enumerate(values)
    )


class UniqueIds:
    """Remembers the ids of one file and refuses the second use of one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first_line: dict[str, int] = {}

    def add(self, line: int, id_: str) -> None:
        """Record an id. Raises InvalidRecord when an earlier line already has it."""
        first = self._first_line.setdefault(id_, line)
        if first != line:
            problem = f"{id_!r} is already the id of line {first}; ids must be unique"
            raise InvalidRecord(self._path, line, "id", problem)


def parse_record(path: Path, line: int, raw: bytes) -> Record:
    """Return the object on a line. Raises InvalidRecord when it is none."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        problem = f"not UTF-8 (byte {exc.start + 1} is {raw[exc.start]:#04x}); save it as UTF-8"
        raise InvalidRecord(path, line, "", problem) from exc
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except _TwoValues as exc:
        problem = "this key is there twice; remove one"
        raise InvalidRecord(path, line, str(exc), problem) from exc
    except json.JSONDecodeError as exc:
        wrong = _other_form(path, line, text) or f"not JSON ({exc.msg} at column {exc.colno})"
        problem = f"{wrong}; {_WANTED}"
        raise InvalidRecord(path, line, "", problem) from exc
    except (ValueError, RecursionError) as exc:
        problem = f"JSON that cannot be read ({exc}); write one flat JSON object on each line"
        raise InvalidRecord(path, line, "", problem) from exc
    if not isinstance(value, dict):
        wrong = _other_form(path, line, text)
        problem = f"must be a JSON object like {{...}}, not {_kind(value)}"
        if wrong:
            problem = f"{wrong}; {_WANTED}"
        raise InvalidRecord(path, line, "", problem)
    return value


def _other_form(path: Path, line: int, text: str) -> str:
    """Return what a file is instead, by its name and how it begins; "" where nothing tells."""
    if line == 1 and text.lstrip().startswith("["):
        return "the file is a JSON array"
    ending = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    return "the file is a CSV" if ending in ("csv", "tsv") else ""


def _object(pairs: list[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwoValues(next(name for name in names if names.count(name) > 1))
    return found


def _record_or_error(path: Path, line: int, raw: bytes) -> Record | InvalidRecord:
    try:
        return parse_record(path, line, raw)
    except InvalidRecord as exc:
        return exc


def _text(path: Path, line: int, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRecord(path, line, name, f"must be a string, not {_kind(value)}")
    if not value.strip():
        raise InvalidRecord(path, line, name, "empty; give it some text or remove the line")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        problem = "holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character"
        raise InvalidRecord(path, line, name, problem) from exc
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
