"""CSV and TSV files with a header, streamed, with errors that name the line."""

import csv
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import CorpusError, InvalidRecord
from corpus.files import DamagedFile, Source
from corpus.pages import BEGIN, Mark


class CsvRows:
    """The rows of a CSV or TSV file with a header.

    Args:
        path: the file, compressed or not.
        columns: names of the columns to read, each with a value in every row.
        start: where to begin.
        optional: those of the columns that may be empty in a row.

    Raises:
        CorpusError: a column is missing.
    """

    def __init__(
        self,
        path: Path,
        columns: tuple[str, ...],
        start: Mark = BEGIN,
        *,
        optional: tuple[str, ...] = (),
    ) -> None:
        self.path, self.start, self._optional = path, start, optional
        self._delimiter, header, header_end = _header(path)
        missing = [name for name in columns if name not in header]
        if missing:
            raise CorpusError(
                f"{path} has no column {', '.join(map(repr, missing))} in its first line; it has "
                f"{', '.join(header)}"
            )
        self._columns = [(name, header.index(name)) for name in columns]
        if start == Mark():
            self.start = header_end
        self._source = Source(path, self.start.position)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._source.bytes_read

    def read(self) -> Iterator[tuple[int, list[str] | CorpusError, Mark]]:
        """Yield each row's line number, its values or what is wrong with it, and the mark behind.

        A row may span lines; the number is that of its last.
        """
        csv.field_size_limit(1 << 24)
        after = self.start
        behind = self.start.position

        def lines() -> Iterator[str]:
            nonlocal behind
            for raw, behind in self._source.lines():  # noqa: B007 - read outside
                yield raw.decode("utf-8", "surrogateescape") + "\n"

        reader = csv.reader(lines(), delimiter=self._delimiter, strict=True)
        try:
            for row in reader:
                line = self.start.records + reader.line_num
                after = Mark(behind, line)
                if row:
                    yield line, self._values(line, row), after
        except DamagedFile as exc:
            yield after.records + 1, exc, after
        except csv.Error as exc:
            line = after.records + 1
            problem = f"the row that begins here is not CSV ({exc}); is a quote left open?"
            yield line, InvalidRecord(self.path, line, "", problem), after

    def _values(self, line: int, row: list[str]) -> list[str] | CorpusError:
        values = []
        for name, column in self._columns:
            empty = column >= len(row) or not row[column].strip()
            if empty and (column >= len(row) or name not in self._optional):
                problem = "missing" if column >= len(row) else "empty"
                return InvalidRecord(self.path, line, name, problem)
            try:
                row[column].encode("utf-8")
            except UnicodeEncodeError:
                return InvalidRecord(self.path, line, name, "not UTF-8; save the file as UTF-8")
            values.append(row[column])
        return values


def _header(path: Path) -> tuple[str, list[str], Mark]:
    """Return the delimiter, the column names and the mark behind the first line."""
    for raw, behind in Source(path).lines():
        text = raw.decode("utf-8-sig", "replace").strip("\r")
        delimiter = "\t" if "\t" in text else ","
        names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
        return delimiter, names, Mark(behind, 1)
    raise CorpusError(f"{path} is empty; its first line must name the columns")
