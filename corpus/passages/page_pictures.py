"""The pictures that pages of a corpus name, as a table of entities' pictures.

    {"image": "Kew_Gardens.jpg", "entity": "https://en.wikipedia.org/wiki/Kew_Gardens",
     "name": "Kew Gardens", "url": "https://upload.wikimedia.org/wikipedia/commons/.../Kew_Gardens.jpg"}

`corpus.pictures.entities` reads it once the files are there. Nothing is fetched here.
"""

from collections.abc import Generator
from contextlib import closing
from pathlib import PurePosixPath
from typing import TypedDict
from urllib.parse import unquote, urlsplit

from corpus.errors import CorpusError
from corpus.passages.corpora import Corpus
from corpus.progress import Advance


class Row(TypedDict):
    """A row of the table: a picture's file, what it shows, and where it can be fetched."""

    image: str
    entity: str
    name: str
    url: str


def page_pictures(
    corpus: Corpus, *, every: bool = False, advance: Advance = lambda done, total: None
) -> Generator[Row, None, None]:
    """Yield the pictures of a corpus's pages: of each the first that has a name, or every one.

    Where a corpus says which pictures show what the page is about, the first is one of these.

    Pages without an entity have none: passages of them could not be told by it.

    Raises:
        CorpusError: a record cannot be read.
    """
    before = 0
    for file in corpus.files:
        reader = corpus.reader(file)
        with closing(reader.entries()) as entries:
            for entry in entries:
                advance(before + reader.bytes_read, corpus.bytes_total)
                if isinstance(entry.page, CorpusError):
                    raise entry.page
                if entry.page is None or not entry.page.entity:
                    continue
                rows = [
                    Row(image=name, entity=entry.page.entity, name=entry.page.title, url=url)
                    for url in dict.fromkeys(entry.page.pictures)
                    if (name := file_name(url))
                ]
                yield from rows if every else rows[: entry.page.shown]
        before += file.stat().st_size


def file_name(url: str) -> str:
    """Return the name that a picture's file has at the end of its URL; "" where it has none.

    >>> file_name("https://upload.wikimedia.org/wikipedia/commons/a/a9/Kew%20Gardens.jpg?download")
    'Kew Gardens.jpg'
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    name = PurePosixPath(unquote(path).replace("\0", "")).name
    return "" if name == ".." else name
