"""What a corpus file holds before passages are made of it, and how its readers speak.

A reader yields one `Entry` for each record of a file: the page, or why there is none, and the
`Mark` behind it from which reading can go on. An entry whose page is None was left out on purpose
(a redirect, for example).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from corpus.errors import CorpusError
from corpus.files import Position


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under one heading; the lead of a page has the title ""."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sections, or a passage that a corpus has as such: one section.

    Attributes:
        id: unique within its corpus.
        title: what the page is about; "" when the corpus does not say.
        sections: in order; those without text are left out.
        numbers: the number of each section in the source, where that counts others too.
        url: where a reader can check it; "" when unknown.
        source: the collection it comes from.
        entity: the id of the thing it describes; "" when unknown.
        language: of the text, as a BCP 47 tag; "" when unknown.
    """

    id: str
    title: str
    sections: tuple[Section, ...]
    numbers: tuple[int, ...] = ()
    url: str = ""
    source: str = ""
    entity: str = ""
    language: str = ""


class Mark(NamedTuple):
    """A place between two records of a file.

    Attributes:
        position: where the next record begins; in files that are not read as bytes, `member` is
            the row group and `inside` the row or record.
        records: how many records of the file come before it.
    """

    position: Position = Position()
    records: int = 0


BEGIN = Mark()


class Entry(NamedTuple):
    """One record: its page, None where it has none, or the error; and the mark behind it."""

    page: Page | CorpusError | None
    after: Mark


class Reader(Protocol):
    """Reads one file."""

    @property
    def bytes_read(self) -> int:
        """Return how far into the file, as it is on disk, reading has come."""
        ...

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every record from the start on. What cannot be read on ends with an error."""
        ...
