"""What a corpus file holds before passages are made of it, and how its readers speak.

A reader yields one `Entry` for each record of a file: the page, or why there is none. An entry
whose page is None was left out on purpose (a redirect, for example).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from corpus.errors import CorpusError


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
        pictures: URLs of pictures of the thing, the most telling first, where the corpus has some.
        shown: whether the first of them shows the thing itself, not what its page speaks of too.
    """

    id: str
    title: str
    sections: tuple[Section, ...]
    numbers: tuple[int, ...] = ()
    url: str = ""
    source: str = ""
    entity: str = ""
    language: str = ""
    pictures: tuple[str, ...] = ()
    shown: bool = True


class Entry(NamedTuple):
    """One record: its page, None where it has none, or the error; and its number in the file."""

    page: Page | CorpusError | None
    number: int


class PageReader(Protocol):
    """Reads one file."""

    @property
    def bytes_read(self) -> int:
        """Return how far into the file, as it is on disk, reading has come."""
        ...

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every record. What cannot be read on ends with an error."""
        ...
