"""What readers of CSV and TSV files with a header have in common: a record is a row."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path

from corpus.errors import CorpusError
from corpus.files.csv_rows import CsvRows
from corpus.files.pages import Entry, Page


class TableReader(ABC):
    """Reads a table. Subclasses say which columns, and what a row is: they override `page`.

    Args:
        path: the file, compressed or not.
        columns: as `CsvRows` takes them.
        optional: likewise.
    """

    def __init__(
        self, path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> None:
        self.path = path
        self._rows = CsvRows(path, columns, optional=optional)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._rows.bytes_read

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every row."""
        for line, values in self._rows.read():
            page = values if isinstance(values, CorpusError) else self.page(line, values)
            yield Entry(page, line)

    @abstractmethod
    def page(self, line: int, values: Sequence[str]) -> Page | CorpusError | None:
        """Return the page of a row, given what its columns hold; None leaves it out."""
