"""Readers of files with one JSON object a line: passages, Wikipedia as JSONL, InfoSeek's Wiki6M.

A file that is one array of the objects, as `json.dump` writes a list, is read as well: an object at
a time, counted from 1. Behind what is no JSON in it nothing is read.
"""

from collections.abc import Generator
from pathlib import Path

import ijson

from corpus.errors import CorpusError, InvalidRecord
from corpus.files.jsonl import Record, id_field, parse_record, text_field
from corpus.files.pages import Entry, Page, Section
from corpus.files.passages import passage_in
from corpus.files.sources import DamagedFile, Source

_BOM = b"\xef\xbb\xbf"
_TITLES_ONLY = "; the title-only file has no text to retrieve"


class JsonLines:
    """Reads a .jsonl file of passages: {id (or _id), text}, and what `Passage` has besides.

    Subclasses read other objects: they override `page`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = Source(path)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._source.bytes_read

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every line, or object of an array; a blank line has no page."""
        head = next(Source(self.path).chunks(), b"").removeprefix(_BOM).lstrip()
        yield from self._array() if head.startswith(b"[") else self._lines()

    def _array(self) -> Generator[Entry, None, None]:
        number = 0
        try:
            with self._source.stream() as stream:
                mark = stream.peek(len(_BOM))  # type: ignore[attr-defined]
                stream.read(len(_BOM) if mark.startswith(_BOM) else 0)
                for number, value in enumerate(ijson.items(stream, "item", use_float=True), 1):
                    yield Entry(self._element(number, value), number)
        except DamagedFile as exc:
            yield Entry(exc, number + 1)
        except (ijson.JSONError, UnicodeDecodeError) as exc:
            why = str(exc).strip().partition("\n")[0]  # a drawing of the place stands below
            problem = f"the JSON breaks off or is none here ({why}); nothing behind it is read"
            yield Entry(
                InvalidRecord(self.path, number + 1, "", problem, unit="record"), number + 1
            )

    def _element(self, number: int, value: object) -> Page | CorpusError:
        problem = "must be a JSON object like {...}"
        if not isinstance(value, dict):
            return InvalidRecord(self.path, number, "", problem, unit="record")
        try:
            return self.page(number, value)
        except InvalidRecord as exc:
            said = str(exc).removeprefix(f"{self.path}, line ")
            problem = said.partition(": ")[2]
            return InvalidRecord(self.path, number, exc.field, problem, unit="record")

    def _lines(self) -> Generator[Entry, None, None]:
        number = 0
        try:
            for number, raw in enumerate(self._source.lines(), start=1):
                line = raw.removeprefix(_BOM) if number == 1 else raw
                yield Entry(self._parse(number, line), number)
        except DamagedFile as exc:
            yield Entry(exc, number + 1)

    def page(self, line: int, record: Record) -> Page:
        """Return the page of an object. Raises InvalidRecord when a field cannot be used."""
        passage = passage_in(self.path, line, record)
        return Page(
            id=passage.id,
            title=passage.title,
            sections=(Section(passage.section, passage.text),),
            url=passage.url,
            source=passage.source,
            entity=passage.entity,
            language=passage.language,
        )

    def _parse(self, number: int, line: bytes) -> Page | CorpusError | None:
        if not line.strip():
            return None
        try:
            return self.page(number, parse_record(self.path, number, line))
        except InvalidRecord as exc:
            return exc


class WikipediaJsonLines(JsonLines):
    """Reads Wikipedia as Hugging Face has it: {id, url, title, text}, a page a line."""

    def page(self, line: int, record: Record) -> Page:
        """Return the article."""
        id_ = id_field(self.path, line, record, "id")
        text = text_field(self.path, line, record, "text")
        title, url = (
            text_field(self.path, line, record, name, required=False) for name in ("title", "url")
        )
        return Page(id_, title, (Section("", text),), url=url, source="Wikipedia")


class Wiki6M(JsonLines):
    """Reads InfoSeek's Wiki6M_ver_1_0.jsonl.gz.

    {wikidata_id, wikipedia_title, wikipedia_content, wikipedia_summary, wikipedia_image_url}.
    The content is the whole article; where it is empty the summary stands for it, and a page
    with neither has no text and is left out.
    """

    def page(self, line: int, record: Record) -> Page:
        """Return the article."""
        entity = text_field(self.path, line, record, "wikidata_id")
        for name, lack in (("wikipedia_title", ""), ("wikipedia_content", _TITLES_ONLY)):
            if name not in record:
                raise InvalidRecord(self.path, line, name, f"missing{lack}")
        title, picture, *texts = (
            text_field(self.path, line, record, f"wikipedia_{name}", required=False).strip()
            for name in ("title", "image_url", "content", "summary")
        )
        text = next(filter(None, texts), "")
        sections = (Section("", text),) if text else ()
        pictures = (picture,) if picture else ()
        return Page(entity, title, sections, source="Wiki6M", entity=entity, pictures=pictures)
