"""Errors about data: passages, images, benchmark files.

The trees of the other packages hang from the same root, so that the edges of
the application can tell an expected failure (a message) from a bug (a traceback).

    KbvqaError
      CorpusError      InvalidRecord, InvalidImage (ImageTooLarge), DatasetNotFound, Unscorable,
                       DamagedFile (corpus.files.sources)
      RetrieverError   see retriever.errors
      GeneratorError   see generator.errors
"""

from pathlib import Path
from typing import Any


class KbvqaError(Exception):
    """An expected failure. Its message says what, which value, and what to do next."""


class CorpusError(KbvqaError):
    """Something in the data is missing or not what it should be."""


class InvalidRecord(CorpusError):
    """One line, row or page of a data file cannot be used.

    Attributes:
        path: the file.
        line: the 1-based line number; of a parquet file the row within its row group, and of
            other files the number of the record.
        field: the offending field, or "" when the whole line is at fault.
    """

    def __init__(
        self, path: Path, line: int, field: str, problem: str, *, unit: str = "line"
    ) -> None:
        where = f"{path}, {unit} {line:,}" + (f", field '{field}'" if field else "")
        super().__init__(f"{where}: {problem}")
        self.path, self.line, self.field, self.unit = path, line, field, unit

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the message: records are also read in other processes."""
        return _rebuilt, (type(self), str(self), self.path, self.line, self.field, self.unit)


class InvalidField(ValueError):
    """A field of a record that cannot be used, before it is known where the record stands."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


class InvalidImage(CorpusError):
    """The bytes given as a picture are not one that can be used."""


class ImageTooLarge(InvalidImage):
    """They are more than are read of a picture."""


class Unscorable(CorpusError, ValueError):
    """What a benchmark gives as the right answer is nothing that its score can compare with."""


class DatasetNotFound(CorpusError):
    """A data file or directory is not where it should be."""


def _rebuilt(
    cls: type[InvalidRecord], message: str, path: Path, line: int, field: str, unit: str
) -> InvalidRecord:
    error = cls.__new__(cls, message)
    error.path, error.line, error.field, error.unit = path, line, field, unit
    return error
