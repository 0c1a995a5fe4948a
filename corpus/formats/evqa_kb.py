"""Encyclopedic-VQA's knowledge base: encyclopedic_kb_wiki.json, or the zip it comes in.

One JSON object of two million pages, {wikipedia_url: {title, section_titles, section_texts,
image_urls, ...}}, read page by page. Sections keep the numbers that `evidence_section_id` of the
questions refers to.
"""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import ijson

from corpus.errors import CorpusError, InvalidField, InvalidRecord
from corpus.files.pages import Entry, Page, Section
from corpus.files.sources import DamagedFile, Source


class EvqaKnowledgeBase:
    """Reads the knowledge base."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = Source(path)

    @property
    def bytes_read(self) -> int:
        """Return how far into the file reading has come."""
        return self._source.bytes_read

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every page."""
        number = 0
        try:
            with self._source.stream() as stream:
                for url, value in ijson.kvitems(stream, "", use_float=True):
                    number += 1
                    yield Entry(self._page(number, url, value), number)
        except DamagedFile as exc:
            yield Entry(exc, number + 1)
        except ijson.JSONError as exc:
            problem = f"the JSON ends or breaks off here ({exc}); fetch the file again: nothing "
            problem += "behind it is read"
            error = InvalidRecord(self.path, number + 1, "", problem, unit="page")
            yield Entry(error, number + 1)

    def _page(self, number: int, url: str, value: Any) -> Page | CorpusError:
        try:
            return parse_page(url, value)
        except InvalidField as exc:
            return InvalidRecord(self.path, number, exc.field, f"{exc} ({url})", unit="page")


def parse_page(url: str, value: Any) -> Page:
    """Return the page of one entry of the knowledge base.

    Raises:
        InvalidField: a field is missing or of another type than it should be.
    """
    if not isinstance(value, Mapping):
        raise InvalidField("", f"must be an object, not {type(value).__name__}")
    title = value.get("title", 0)
    title = "" if title is None else title
    if not isinstance(title, str):
        raise InvalidField("title", "missing, or not a string")
    titles, texts = _texts(value, "section_titles"), _texts(value, "section_texts")
    if len(titles) != len(texts):
        raise InvalidField(
            "section_texts", f"has {len(texts)} entries but section_titles has {len(titles)}"
        )
    # The first section's title is the page's: that section is the lead.
    sections = [
        (number, Section(heading.strip() if number else "", text.strip()))
        for number, (heading, text) in enumerate(zip(titles, texts, strict=True))
        if text.strip()
    ]
    return Page(
        id=url,
        title=title.strip(),
        sections=tuple(section for _, section in sections),
        numbers=tuple(number for number, _ in sections),
        url=url,
        source="Encyclopedic-VQA",
        entity=url,
        pictures=tuple(_texts(value, "image_urls")) if value.get("image_urls") else (),
    )


def _texts(value: Mapping[str, Any], name: str) -> list[str]:
    texts = value.get(name)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidField(name, "missing, or not a list of strings")
    return texts
