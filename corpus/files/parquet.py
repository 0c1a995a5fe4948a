"""Readers of parquet files, row group by row group: passages, M2KR's, Wikipedia on the hub."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.errors import CorpusError, DatasetNotFound, InvalidRecord
from corpus.files.pages import Entry, Page, Section

ROWS_AT_ONCE = 512

_LANGUAGES = {"English": "en", "Chinese": "zh"}


class ParquetRows:
    """The rows of one file.

    Args:
        path: the file.
        columns: those to read; all must be there.
        optional: columns to read where there are such.

    Raises:
        DatasetNotFound: there is no such file.
        CorpusError: it is no parquet file, is damaged, or lacks a column.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
        self.path, self.bytes_read = path, 0
        self._file = open_parquet(path)
        names = self._file.schema_arrow.names
        missing = [name for name in columns if name not in names]
        if missing:
            raise CorpusError(
                f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(names)}"
            )
        self.columns = [*columns, *(name for name in optional if name in names)]

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def groups(self) -> int:
        """Return the number of row groups."""
        return int(self._file.num_row_groups)

    def read(self) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
        """Yield rows, each with its (row group, row).

        Raises:
            CorpusError: a row group is damaged.
        """
        for group in range(self.groups):
            for row, values in self.group(group):
                yield (group, row), values

    def group(self, group: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows of a row group, each with its number.

        Bytes of a text that are not UTF-8 become surrogates, which no writer of UTF-8 accepts.

        Raises:
            CorpusError: it is damaged.
        """
        row, behind = 0, sum(map(self._size, range(group)))
        rows, size = self._file.metadata.row_group(group).num_rows, self._size(group)
        try:
            batches = self._file.iter_batches(
                ROWS_AT_ONCE, row_groups=[group], columns=self.columns, use_threads=False
            )
            for batch in batches:
                for values in _rows(batch):
                    self.bytes_read = behind + size * (row + 1) // max(rows, 1)
                    yield row, values
                    row += 1
        except (pa.ArrowException, OSError) as exc:
            raise CorpusError(
                f"{self.path}, row group {group}: cannot be read after row {row} of {rows} "
                f"({_first_line(exc)}); fetch the file again"
            ) from exc

    def _size(self, group: int) -> int:
        meta = self._file.metadata.row_group(group)
        return sum(meta.column(i).total_compressed_size for i in range(meta.num_columns))


class ParquetPages:
    """Reads the pages of one file. Subclasses say which columns make a page.

    The first of the columns is the id: an integer is taken as its decimal digits.
    """

    columns: Sequence[str] = ()
    optional: Sequence[str] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = ParquetRows(path, self.columns, self.optional)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._rows.bytes_read

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every row; behind a damaged row group, those of the next."""
        number = 0
        for group in range(self._rows.groups):
            try:
                for row, values in self._rows.group(group):
                    number += 1
                    yield Entry(self._page(group, row, values), number)
            except CorpusError as exc:
                yield Entry(exc, number + 1)

    def page(self, row: Mapping[str, str]) -> Page:
        """Return the page of a row, whose texts are "" where they are null and optional."""
        raise NotImplementedError

    def _page(self, group: int, row: int, values: Mapping[str, Any]) -> Page | CorpusError:
        texts = {}
        for name in self._rows.columns:
            value = values[name]
            blank = value is None or (isinstance(value, str) and not value.strip())
            if blank and name in self.optional:
                value = ""
            if name == self.columns[0] and isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if not isinstance(value, str) or (name in self.columns and not value.strip()):
                problem = "empty" if isinstance(value, str) else f"must be text, not {value!r:.40}"
                return InvalidRecord(self.path, row, name, problem, unit=row_unit(group))
            texts[name] = value
        return self.page(texts)


class M2krPassages(ParquetPages):
    """Reads the passages of an M2KR dataset: the rows as they are."""

    columns = ("passage_id", "passage_content")
    optional = ("title", "language")

    def page(self, row: Mapping[str, str]) -> Page:
        """Return the passage."""
        title = row.get("title", "") or _title_in(row["passage_content"])
        sections = (Section("", row["passage_content"]),)
        language = _LANGUAGES.get(row.get("language", ""), row.get("language", ""))
        return Page(row["passage_id"], title, sections, source="M2KR", language=language)


class PassagesParquet(ParquetPages):
    """Reads passages: id (or _id), text, and what `Passage` has besides."""

    optional = ("title", "url", "source", "section", "entity", "language")

    def __init__(self, path: Path) -> None:
        names = open_parquet(path).schema_arrow.names
        self.columns = ("_id" if "_id" in names and "id" not in names else "id", "text")
        super().__init__(path)

    def page(self, row: Mapping[str, str]) -> Page:
        """Return the passage."""
        return Page(
            id=row[self.columns[0]],
            title=row.get("title", ""),
            sections=(Section(row.get("section", ""), row["text"]),),
            url=row.get("url", ""),
            source=row.get("source", ""),
            entity=row.get("entity", ""),
            language=row.get("language", ""),
        )


class WikipediaParquet(ParquetPages):
    """Reads Wikipedia as the hub has it: id, url, title, text, an article a row."""

    columns = ("id", "text")
    optional = ("url", "title")

    def page(self, row: Mapping[str, str]) -> Page:
        """Return the article."""
        section = Section("", row["text"])
        title, url = row.get("title", ""), row.get("url", "")
        return Page(row["id"], title, (section,), url=url, source="Wikipedia")


def open_parquet(path: Path) -> pq.ParquetFile:
    """Return the file opened. Raises DatasetNotFound or CorpusError when that is impossible."""
    try:
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False)
    except FileNotFoundError as exc:
        raise DatasetNotFound(f"{path} does not exist; check the path") from exc
    except (pa.ArrowException, OSError) as exc:
        raise CorpusError(
            f"{path} is not a whole parquet file ({_first_line(exc)}); fetch it again"
        ) from exc


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch, whatever bytes its texts hold."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        columns = {name: list(map(_value, batch.column(name))) for name in batch.schema.names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as exc:
        if not hasattr(scalar, "as_buffer"):
            raise CorpusError(f"a list of texts that are not UTF-8: {exc}") from exc
        return scalar.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")


def row_unit(group: int) -> str:
    """Return what precedes a row's number in messages."""
    return f"row group {group}, row"


def _title_in(text: str) -> str:
    """Return the title in a text like "title: T content: C"; "" where there is none."""
    if not text.startswith("title: "):
        return ""
    return text.removeprefix("title: ").split(" content: ")[0].split(" section title: ")[0].strip()


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
