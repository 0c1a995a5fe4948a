"""What a run of an evaluation keeps: its rows, what it is a run of, and when it stops.

    with ResumableRows(out / "examples.jsonl", key) as rows:
        for example in examples:
            if example.id not in rows:
                rows.add({"id": example.id, ...})

A folder holds one run: its rows, and in run.json its key, everything that the rows depend on. The
same command goes on where it stopped; with another key it is refused.
"""

import fcntl
import hashlib
import json
import logging
import subprocess
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, BinaryIO, Self

from app.answering import Answering
from app.errors import InvalidSettings, TooManyFailures
from generator.client import OpenAIGenerator
from generator.extractive.reader import ExtractiveReader
from generator.interface import Capabilities
from generator.reader import EmbeddedReader
from generator.strategies import Answerer
from retriever.index import PassageIndex

RECORD_NAME = "run.json"
FAILURES_IN_A_ROW = 10

Row = dict[str, Any]

# What JSON a row is, as `fits` reads it.
Shape = type | UnionType | list["Shape"] | dict[Any, "Shape"]
NUMBER = int | float

log = logging.getLogger(__name__)


class ResumableRows(Mapping[Hashable, Row]):
    """The rows of a run by name, each kept in a file as soon as it is there.

    What a killed run left of a line is cut off; a damaged line is left out with a warning. A row
    added under a name that is there already takes its place.

    Args:
        path: a .jsonl file; its folder and run.json beside it are made where they are missing.
        key: what the rows depend on, as JSON.
        name: gives the name of a row.
        shape: what each row of this run has; a row without it is damaged. See `fits`.
        notes: kept with the key, but free to differ from the last time.

    Raises:
        InvalidSettings: the folder holds rows with another key, or another process writes there.
    """

    def __init__(
        self,
        path: Path,
        key: Mapping[str, Any],
        *,
        name: Callable[[Row], Hashable] = itemgetter("id"),
        shape: Shape = dict,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self._name, self._shape = path, name, shape
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _opened_alone(path)
        try:
            self._rows = self._taken_up(key, notes or {})
        except BaseException:
            self._file.close()
            raise

    def _taken_up(self, key: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[Hashable, Row]:
        """Return the rows that are there, the file ready for more and the record written."""
        path, record = self.path, self.path.with_name(RECORD_NAME)
        wanted = json.loads(json_text(key))
        started = path.stat().st_size > 0
        if started:
            _check_key(path, record, wanted)
        write_json(record, {**wanted, **notes})
        rows: dict[Hashable, Row] = {}
        for line, row in read_rows(path):
            try:
                if not fits(row, self._shape):
                    raise ValueError(row)
                rows[self._name(row)] = row
            except (KeyError, TypeError, ValueError):  # no name, or one that is a list
                log.warning("%s, line %d is no row of this run and is left out", path, line)
        self._file.truncate(_whole(path))
        return rows

    def __getitem__(self, name: Hashable) -> Row:
        return self._rows[name]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row) -> Row:
        """Keep a row and return it; it survives the death of the process."""
        self._file.write(json_text(row).encode() + b"\n")
        self._file.flush()
        self._rows[self._name(row)] = row
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (line number, row) of each whole line of a file of rows.

    Lines end in a line feed alone, whatever else Python takes for a line's end. Half a line at
    the end is passed over, and a line that is no JSON object with a warning.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if isinstance(row, dict):
                yield number, row
            elif line.strip():
                log.warning("%s, line %d is damaged and left out", path, number)


def fits(value: object, shape: Shape) -> bool:
    """Return whether a value read from JSON has a shape.

    >>> shape = {"id": str, "scores": {str: NUMBER}, "hits?": [str]}
    >>> fits({"id": "1", "scores": {"a": 0.5}}, shape)
    True
    >>> fits({"id": "1", "scores": None}, shape)
    False

    Args:
        value: read.
        shape: a type; [shape] for a list of them; {str: shape} for an object with any names; or
            an object's shapes by name, "name?" for what may be missing. It may have more.
    """
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if not isinstance(shape, dict):
        return isinstance(value, shape)
    if not isinstance(value, dict):
        return False
    if str in shape:
        return all(fits(item, shape[str]) for item in value.values())
    return all(
        fits(value[name.rstrip("?")], inner) if name.rstrip("?") in value else name.endswith("?")
        for name, inner in shape.items()
    )


def json_text(value: object, indent: int | None = None) -> str:
    """Return JSON that is valid UTF-8: half of a surrogate pair is escaped, as JSON has it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a file that is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json_text(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def digest(value: object) -> str:
    """Return a short hash of something that can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 of the files in a folder, by their names and contents."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] != "."):
        name = path.relative_to(folder).as_posix()
        whole.update(f"{name} {file_sha256(path)}\n".encode())
    return whole.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def capabilities(generator: Answerer) -> Capabilities | None:
    """Return what a generator can do now; None for the extractive reader, which is not asked.

    Raises:
        GeneratorError: it cannot be asked now.
    """
    return None if isinstance(generator, ExtractiveReader) else generator.capabilities()


def generator_record(generator: Answerer) -> dict[str, Any]:
    """Return all of a generator that its answers depend on, for the key of a run.

    Raises:
        GeneratorError: it cannot be asked what it can do.
    """
    can = capabilities(generator)
    record: dict[str, Any] = {"name": generator.name, "capabilities": can and asdict(can)}
    if isinstance(generator, OpenAIGenerator):
        record |= generator.request_record()
    elif isinstance(generator, EmbeddedReader) and generator.directory is not None:
        record["weights_sha256"] = folder_sha256(generator.directory)
    return record


def answering_record(answering: Answering) -> dict[str, Any]:
    """Return how a generator is asked and its answers judged, for the key of a run."""
    plan = answering.plan
    fit = answering.calibration.fit(answering.generator.name, plan.style, plan.strategy)
    return {
        **asdict(plan),
        "confidence": fit and asdict(fit),
        "unsure_below": answering.unsure_below,
        "withhold_below": answering.withhold_below,
    }


def index_record(index: PassageIndex) -> dict[str, Any]:
    """Return what is searched: the corpus by its content, and how its passages are kept."""
    made, build = index.fingerprint, index.built
    return {
        "corpus_sha256": made.corpus_sha256,
        "passages": index.count,
        "max_passage_tokens": made.max_passage_tokens,
        "pool_factor": made.pool_factor,
        "storage": asdict(build.storage),
        "precisions": list(build.precisions),
    }


def git_revision() -> str:
    """Return the revision of the code; "unknown" where it is in no repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _opened_alone(path: Path) -> BinaryIO:
    """Return a file to append to, which no other process has opened so."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        file.close()
        raise InvalidSettings(
            f"another process is writing to {path}: wait for it, or give another directory with "
            "--out"
        ) from exc
    return file


def _check_key(path: Path, record: Path, wanted: Mapping[str, Any]) -> None:
    try:
        there = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = {}
    if not isinstance(there, dict) or not there:
        raise InvalidSettings(
            f"{path.parent} holds rows without a {RECORD_NAME} that says of which run: give "
            "another directory with --out, or remove it"
        )
    if differing := list(_differences(there, wanted)):
        raise InvalidSettings(
            f"{path.parent} holds another run: {'; '.join(differing)} (see {RECORD_NAME} there). "
            "Give another directory with --out, or remove it"
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
            yield f"{at}{name} is {old!r:.60} there and {value!r:.60} here"


def _whole(path: Path) -> int:
    """Return the bytes of a file up to its last line feed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while size:
            begin = max(0, size - (1 << 16))
            file.seek(begin)
            if (at := file.read(size - begin).rfind(b"\n")) >= 0:
                return begin + at + 1
            size = begin
    return 0
