"""Errors about data: passages, images, benchmark files.

The trees of the other packages hang from the same root, so that the edges of
the application can tell an expected failure (a message) from a bug (a traceback).

    KbvqaError
      CorpusError      InvalidRecord, InvalidImage, DatasetNotFound
      RetrieverError   see retriever.errors
      GeneratorError   see generator.errors
"""

from pathlib import Path


class KbvqaError(Exception):
    """An expected failure. Its message says what, which value, and what to do next."""


class CorpusError(KbvqaError):
    """Something in the data is missing or not what it should be."""


class InvalidRecord(CorpusError):
    """One line of a data file cannot be used.

    Attributes:
        path: the file.
        line: the 1-based line number.
        field: the offending field, or "" when the whole line is at fault.
    """

    def __init__(self, path: Path, line: int, field: str, problem: str) -> None:
        where = f"{path}, line {line}" + (f", field '{field}'" if field else "")
        super().__init__(f"{where}: {problem}")
        self.path, self.line, self.field = path, line, field


class InvalidImage(CorpusError):
    """The bytes given as a picture are not one that can be used."""


class DatasetNotFound(CorpusError):
    """A data file or directory is not where it should be."""
