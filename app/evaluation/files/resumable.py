"""Rows that outlive a killed run, what they are rows of, and when a run ends itself.

    with ResumableRows(out / "answers.jsonl", AnswerRow, key) as rows:
        for example in examples:
            if example.id not in rows:
                rows.add(AnswerRow(example.id, ...))
        rows.arrange(example.id for example in examples)

run.json in the same folder has for each file its key: everything that all of its rows depend on.
The same command goes on where it stopped; with another key it is refused. Rows are read from the
file when they are asked for, so that there may be more than fit into memory.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Self, TypeVar

from app.errors import InvalidSettings, TooManyFailures
from app.evaluation.files.json_rows import as_json, from_json, json_text
from app.machine.directories import writing
from corpus.files.alone import lock

RECORD_NAME = "run.json"
FAILURES_IN_A_ROW = 10
_SYNC_SECONDS = 1.0

R = TypeVar("R")
# Where a row begins in its file, and in the lowest bits its bytes with the line feed: of a great
# many rows that is all that is in memory.
_Span = int
_LENGTH_BITS = 32
_SHOWN = 80  # characters of a value in a message

log = logging.getLogger(__name__)


class ResumableRows(Mapping[Hashable, R], Generic[R]):
    """The rows of a stage by name, each kept in a file as soon as it is there.

    What a killed run left of a line is cut off; a damaged line is left out with a warning. A row
    added under a name that is there already takes its place. Not for several threads.

    Args:
        path: a .jsonl file; its folder and run.json beside it are made where they are missing.
        kind: the type of rows.
        key: what the rows depend on, as JSON; None takes the rows as they are.
        name: gives the name of a row.
        notes: kept with the key, but free to differ from the last time.

    Raises:
        InvalidSettings: the file holds rows with another key, or another process writes there.
    """

    def __init__(
        self,
        path: Path,
        kind: type[R],
        key: Mapping[str, Any] | None,
        *,
        name: Callable[[R], Hashable] = attrgetter("id"),
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self._kind, self._name = path, kind, name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = opened_alone(path)
        self._synced = time.monotonic()
        try:
            if key is not None:
                self._record(key, notes or {})
            self._spans, self._end = self._taken_up()
        except BaseException:
            self._file.close()
            raise

    def _record(self, key: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        path, wanted = self.path, json.loads(json_text(key))
        there = read_record(path) if path.stat().st_size > 0 else {}
        if path.stat().st_size > 0:
            check_key(path, there, wanted)
        write_record(path, {**there, **wanted, **notes})

    def _taken_up(self) -> tuple[dict[Hashable, _Span], int]:
        """Return where the rows are that are there, the file cut behind the last whole one."""
        spans: dict[Hashable, _Span] = {}
        end = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    spans[self._name(from_json(self._kind, line))] = _span(end, len(line))
                except ValueError:
                    if line.strip():
                        what = self._kind.__name__
                        log.warning("%s, line %d is no %s: left out", self.path, number, what)
                end += len(line)
        self._file.truncate(end)
        return spans, end

    def __getitem__(self, name: Hashable) -> R:
        return from_json(self._kind, self._bytes(self._spans[name]))

    def _bytes(self, span: _Span) -> bytes:
        length = span & ((1 << _LENGTH_BITS) - 1)
        return os.pread(self._file.fileno(), length, span >> _LENGTH_BITS)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __contains__(self, name: object) -> bool:
        return name in self._spans

    def add(self, row: R) -> R:
        """Keep a row and return it; it survives the death of the process, and soon of power."""
        line = _line(row)
        with writing(self.path):
            self._file.write(line)
            self._file.flush()
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self._spans[self._name(row)] = _span(self._end, len(line))
        self._end += len(line)
        return row

    def arrange(self, names: Iterable[Hashable], *, keep: bool = False) -> None:
        """Leave one row for each of these names that has one, in their order.

        The file is replaced at once, so that it is there whole whenever the process dies.

        Args:
            names: in order.
            keep: leave the rows of other names behind them, for they cost something.
        """
        partial = self.path.with_name(f"{self.path.name}.partial")
        partial.unlink(missing_ok=True)
        file = opened_alone(partial)
        spans: dict[Hashable, _Span] = {}
        end = 0
        try:
            for name in chain(names, self._spans if keep else ()):
                if (span := self._spans.get(name)) is not None and name not in spans:
                    line = self._bytes(span)
                    with writing(self.path):
                        file.write(line)
                    spans[name] = _span(end, len(line))
                    end += len(line)
            with writing(self.path):
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except BaseException:
            with writing(self.path):
                file.close()
            raise
        self._file.close()
        self._file, self._spans, self._end = file, spans, end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing(self.path):  # what a full disk did not take is written again
            self._file.close()


def read_record(path: Path) -> dict[str, Any]:
    """Return what run.json says of a file of rows; nothing where it says nothing.

    Raises:
        InvalidSettings: run.json is damaged.
    """
    section = _read_json(path.with_name(RECORD_NAME)).get(path.stem, {})
    return section if isinstance(section, dict) else {}


def write_record(path: Path, section: Mapping[str, Any]) -> None:
    """Let run.json say this of a file of rows. Raises InvalidSettings where it is damaged."""
    record = path.with_name(RECORD_NAME)
    write_json(record, {**_read_json(record), path.stem: section})


def write_json(path: Path, value: object) -> None:
    """Write a file that is there whole or not at all."""
    write_text(path, json_text(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with writing(path):
        partial.write_text(text, encoding="utf-8")
    partial.replace(path)


class Breaker:
    """Ends a run that goes nowhere, instead of failing at every question that is left.

    That is one of which FAILURES_IN_A_ROW questions fail one after the other, or of a run with
    fewer all; and one that begins with so many answers without a word.

    Args:
        questions: in the whole run.
    """

    def __init__(self, questions: int) -> None:
        self._limit = min(FAILURES_IN_A_ROW, questions)
        self._failed = self._empty = 0
        self._wrote = False

    def count(self, failure: str, empty: str = "") -> None:
        """Take note of how a question went.

        Args:
            failure: why it failed; "" where it did not.
            empty: why the answer has no word; "" where it has.

        Raises:
            TooManyFailures: it was the last of so many.
        """
        self._failed = self._failed + 1 if failure else 0
        self._empty += bool(empty)
        self._wrote |= not (failure or empty)
        if failure and self._failed >= self._limit:
            raise self._ended(f"{self._failed} questions failed one after the other", failure)
        if empty and not self._wrote and self._empty >= FAILURES_IN_A_ROW:
            raise self._ended(f"The first {self._empty} answers have no word", empty)

    def _ended(self, what: str, last: str) -> TooManyFailures:
        return TooManyFailures(
            f"{what}, the last with: {last.rstrip('.')}. Put that right and run the same command "
            "again: it goes on from here."
        )


def _span(begin: int, length: int) -> _Span:
    return (begin << _LENGTH_BITS) | length


def _line(row: object) -> bytes:
    return json_text(as_json(row)).encode() + b"\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise _damaged(path, str(exc)) from exc
    if not isinstance(value, dict):
        raise _damaged(path, "it is no JSON object")
    return value


def _damaged(path: Path, why: str) -> InvalidSettings:
    return InvalidSettings(
        f"{path} is damaged and no longer says what the rows beside it depend on ({why}): put back "
        "a copy of it, or give another directory with --out"
    )


def opened_alone(path: Path) -> BinaryIO:
    """Return a file to append to, which no other process has opened so.

    Raises:
        InvalidSettings: another process has, or a directory has its name.
    """
    if path.is_dir():
        raise InvalidSettings(
            f"{path} is a directory, and a file of rows is needed there: rename it, or give "
            "another directory with --out"
        )
    file = path.open("a+b")
    if not lock(file):
        file.close()
        raise InvalidSettings(
            f"another process is writing to {path}: wait for it, or give another directory with "
            "--out"
        )
    return file


def check_key(
    path: Path,
    there: Mapping[str, Any],
    wanted: Mapping[str, Any],
    instead: str = "give another directory with --out, or remove the file",
) -> None:
    """Check that a file of rows is of the run that is wanted.

    Args:
        path: the file.
        there: what run.json says of it.
        wanted: the key, as JSON has it.
        instead: what to do about another.

    Raises:
        InvalidSettings: it is of another run, or nothing says of which.
    """
    if not there:
        raise InvalidSettings(
            f"{path} holds rows without a {RECORD_NAME} that says of which run: {instead}"
        )
    if differing := list(_differences(there, wanted)):
        raise InvalidSettings(
            f"{path} holds another run: {'; '.join(differing)} (see {RECORD_NAME} there). "
            f"{instead[0].upper()}{instead[1:]}"
        )


def _differences(
    there: Mapping[str, Any], wanted: Mapping[str, Any], at: str = ""
) -> Iterator[str]:
    """Yield what of the wanted key is otherwise there, innermost names first differing."""
    for name, value in wanted.items():
        old = there.get(name)
        if old == value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            yield from _differences(old, {**dict.fromkeys(old), **value}, f"{at}{name}.")
        else:
            yield f"{at}{name} is {_shown(old)} there and {_shown(value)} here"


def _shown(value: object) -> str:
    """Return a value for a message: a SHA-256 whole, what is longer with a sign that it is cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
