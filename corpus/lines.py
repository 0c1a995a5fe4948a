"""Readers of files with one JSON object a line: passages, Wikipedia as JSONL, InfoSeek's Wiki6M."""

from collections.abc import Generator
from pathlib import Path

from corpus.errors import CorpusError, InvalidRecord
from corpus.files import DamagedFile, Source
from corpus.jsonl import Record, parse_record, text_field
from corpus.pages import BEGIN, Entry, Mark, Page, Section

_BOM = b"\xef\xbb\xbf"


class JsonLines:
    """Reads a .jsonl file of passages: {id, text}, and what `Passage` has besides.

    Subclasses read other objects: they override `page`.
    """

    def __init__(self, path: Path, start: Mark = BEGIN) -> None:
        self.path, self.start = path, start
        self._source = Source(path, start.position)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._source.bytes_read

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every line; a blank one has no page."""
        number = self.start.records
        after = self.start
        try:
            for raw, behind in self._source.lines():
                number += 1
                after = Mark(behind, number)
                line = raw.removeprefix(_BOM) if number == 1 else raw
                yield Entry(self._parse(number, line), after)
        except DamagedFile as exc:
            yield Entry(exc, after)

    def page(self, line: int, record: Record) -> Page:
        """Return the page of an object. Raises InvalidRecord when a field cannot be used."""

        def field(name: str, required: bool = False) -> str:
            return text_field(self.path, line, record, name, required=required)

        return Page(
            id=field("id", True),
            title=field("title", "title" in record),
            sections=(Section(field("section"), field("text", True)),),
            url=field("url"),
            source=field("source"),
            entity=field("entity"),
            language=field("language"),
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
        id_, url, title, text = (
            text_field(self.path, line, record, name) for name in ("id", "url", "title", "text")
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
        title = text_field(self.path, line, record, "wikipedia_title")
        if "wikipedia_content" not in record:
            problem = "missing; the title-only file has no text to retrieve"
            raise InvalidRecord(self.path, line, "wikipedia_content", problem)
        known = {name: value for name, value in record.items() if value is not None}
        texts = (
            text_field(self.path, line, known, name, required=False).strip()
            for name in ("wikipedia_content", "wikipedia_summary")
        )
        text = next(filter(None, texts), "")
        sections = (Section("", text),) if text else ()
        return Page(entity, title, sections, source="Wiki6M", entity=entity)
