"""CSV and TSV files with a header, streamed, with errors that name the line.

Columns are separated by tabs, commas or semicolons, as the header has them, or by what a line
"sep=;" before it says, as spreadsheets write it. A row without a value is none.

A row by the rules of RFC 4180, with as many fields as the header, is that row, whatever its text
looks like. A quote that a row leaves open takes the rows behind it into one field: a row that
breaks the rules therefore ends where its first line does, and reading goes on with the next line,
or its lines are rows again where each of them is one by itself.
"""

import csv
import logging
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from corpus.errors import CorpusError, InvalidRecord
from corpus.files.sources import DamagedFile, Source

# Characters in a field, and so the most that a quote left open can take in.
_FIELD_LIMIT = 1 << 24
_SEPARATOR = re.compile(r"""["']?sep=(.)["']?""", re.IGNORECASE)
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d]+")

logger = logging.getLogger(__name__)


class DuplicateColumn(InvalidRecord):
    """A header that names a column twice: which of the two is meant is not known."""


class CsvRows:
    """The rows of a CSV or TSV file with a header.

    Args:
        path: the file, compressed or not.
        columns: names of the columns to read, each with a value in every row; the first is the
            id, and "id" may be written "_id".
        optional: those of the columns that may be absent, or empty in a row: "" then.

    Raises:
        CorpusError: a column is missing.
        DuplicateColumn: one is there twice.
    """

    def __init__(
        self, path: Path, columns: tuple[str, ...], *, optional: tuple[str, ...] = ()
    ) -> None:
        self.path, self._optional = path, optional
        self._delimiter, self._header, self._header_lines = _header(path)
        if columns[0] not in self._header and columns[0] == "id":
            self._header = ["id" if name == "_id" else name for name in self._header]
        absent = [name for name in columns if name not in self._header]
        missing = [name for name in absent if name not in optional]
        # A column that is read by another spelling of its name would be lost in silence.
        missing += [n for n in absent if n in optional and n in map(str.casefold, self._header)]
        if missing:
            raise CorpusError(
                f"{path} has no column {', '.join(map(repr, missing))} in its first line; it has "
                f"{', '.join(self._header)}"
            )
        for name in columns:
            if self._header.count(name) > 1:
                problem = "a column of this name is there twice; rename or remove one"
                raise DuplicateColumn(path, self._header_lines, name, problem)
        self._columns = [
            (name, None if name in absent else self._header.index(name)) for name in columns
        ]
        self._source = Source(path)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._source.bytes_read

    def read(self) -> Iterator[tuple[int, list[str] | CorpusError]]:
        """Yield each row's line number, and its values or what is wrong with it.

        A row may span lines; the number is that of its last. Behind a row that cannot be read
        its second line is the next one to be read.
        """
        csv.field_size_limit(_FIELD_LIMIT)
        number = self._header_lines
        try:
            for lines, row in self._rows():
                number += lines
                if isinstance(row, csv.Error):
                    problem = (
                        f"the row that begins here is not CSV ({row}); is a quote left open? "
                        "A quote inside a field is written twice"
                    )
                    yield number, self._invalid(number, "", problem)
                elif any(cell.strip() for cell in row):  # spreadsheets write empty rows, too
                    yield number, self._values(number, row)
        except DamagedFile as exc:
            yield number + 1, exc

    def _rows(self) -> Iterator[tuple[int, list[str] | csv.Error]]:
        """Yield on how many lines a row is, and the row; what is not CSV for its first line."""
        source = islice(self._lines(), self._header_lines, None)
        again: deque[str] = deque()  # read once already, as part of a row that is none
        taken: list[str] = []

        def following() -> Iterator[str]:
            while line := (again.popleft() if again else next(source, "")):
                taken.append(line)
                yield line

        number = self._header_lines
        reader = self._parser(following())
        while True:
            row: list[str] | csv.Error | None
            try:
                row = next(reader, None)
            except csv.Error as exc:
                row = exc
            if row is None:
                return
            lines = list(taken)
            taken.clear()
            if len(lines) > 1 and isinstance(row, list):
                whole = len(row) >= len(self._header) and not self._too_many(row)
                if apart := self._apart(lines, number, whole=whole):
                    yield from ((1, own) for own in apart)
                    number += len(lines)
                    continue
                if not whole:
                    row = csv.Error(f"it has {len(row)} fields, not {len(self._header)}")
            if isinstance(row, csv.Error):
                again.extendleft(reversed(lines[1:]))
                reader = self._parser(following())
                lines = lines[:1]
            yield len(lines), row
            number += len(lines)

    def _apart(self, lines: Sequence[str], number: int, *, whole: bool) -> list[list[str]]:
        """Return the rows that a row's lines are by themselves, and warn; [] if it is one row.

        A line looks like a row where it has as many fields as the header and an id of the same
        shape as the first. Of a whole row (it has the header's fields), where only some lines do,
        or where ids are words, as text may be, a warning is all.
        """
        fields = len(self._header)
        if not any(line.count(self._delimiter) >= fields - 1 for line in lines[1:]):
            return []
        try:
            rows = list(csv.reader(lines, delimiter=self._delimiter, quoting=csv.QUOTE_NONE))
        except csv.Error:
            return []
        key = self._header.index(self._columns[0][0])
        shape = _shape(rows[0][key]) if key < len(rows[0]) else ""
        alike = [len(row) == fields and _shape(row[key]) == shape for row in rows]
        if len(rows) != len(lines) or not any(alike[1:]):
            return []
        sure = not whole and all(alike) and ("0" in shape or self._delimiter == "\t")
        logger.warning(
            "%s, lines %d to %d are one row by their quotes, but look like several, and are read "
            "as %s. A quote inside a field is written twice.",
            *(self.path, number + 1, number + len(lines), "several" if sure else "one"),
        )
        return rows if sure else []

    def _too_many(self, row: list[str]) -> bool:
        """Return whether a row says more than the header has names for."""
        return any(cell.strip() for cell in row[len(self._header) :])

    def _parser(self, lines: Iterator[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        for raw in self._source.lines():
            yield raw.decode("utf-8", "surrogateescape") + "\n"

    def _values(self, line: int, row: list[str]) -> list[str] | CorpusError:
        if self._too_many(row):
            problem = f"has {len(row)} fields, the first line {len(self._header)}; quote the text"
            return self._invalid(line, "", problem)
        values = []
        for name, column in self._columns:
            if column is None:
                values.append("")
                continue
            empty = column >= len(row) or not row[column].strip()
            if empty and (column >= len(row) or name not in self._optional):
                problem = "missing" if column >= len(row) else "empty"
                return self._invalid(line, name, problem)
            try:
                row[column].encode("utf-8")
            except UnicodeEncodeError:
                return self._invalid(line, name, "not UTF-8; save the file as UTF-8")
            values.append("" if empty else row[column])
        return values

    def _invalid(self, line: int, field: str, problem: str) -> InvalidRecord:
        return InvalidRecord(self.path, line, field, problem)


def _shape(value: str) -> str:
    """Return what ids of one kind have in common.

    >>> _shape("okvqa_12"), _shape("Paris, the capital")
    ('a0', 'a, a a')
    """
    return _LETTERS.sub("a", _DIGITS.sub("0", value.strip()))


def _header(path: Path) -> tuple[str, list[str], int]:
    """Return the delimiter, the column names, and how many lines say them."""
    said = ""
    for number, raw in enumerate(Source(path).lines(), start=1):
        text = raw.decode("utf-8-sig", "replace").strip("\r")
        if number == 1 and (found := _SEPARATOR.fullmatch(text)):
            said = found[1]
            continue
        # Where commas stand in numbers, spreadsheets write semicolons.
        delimiter = said or next((mark for mark in "\t,;" if mark in text), ",")
        try:
            names = next(csv.reader([text], delimiter=delimiter), [])
        except (csv.Error, ValueError, TypeError) as exc:
            raise CorpusError(f"{path}: its first line is not CSV ({exc})") from exc
        return delimiter, [name.strip() for name in names], number
    raise CorpusError(f"{path} is empty; its first line must name the columns")
