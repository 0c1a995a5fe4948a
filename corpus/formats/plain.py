"""Plain corpora: CSV files with title and text, and folders of Markdown files."""

import os
from collections.abc import Generator, Sequence
from pathlib import Path

from corpus.errors import InvalidRecord
from corpus.files.pages import Entry, Page, Section
from corpus.files.sources import DamagedFile, Source, content_name, path_text
from corpus.formats.markdown import front_matter, parts
from corpus.formats.tables import TableReader

_CSV_OPTIONAL = ("title", "section", "url", "source", "entity", "language")


class CsvPassages(TableReader):
    """Reads a CSV or TSV file with the columns id (or _id) and text: a passage a row.

    Columns for the other fields of a passage may be absent, and empty in a row.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("id", "text", *_CSV_OPTIONAL), _CSV_OPTIONAL)

    def page(self, line: int, values: Sequence[str]) -> Page:
        """Return the page of a row."""
        id_, text, title, section, url, source, entity, language = values
        return Page(
            id_,
            title,
            (Section(section, text),),
            url=url,
            source=source,
            entity=entity,
            language=language,
        )


class MarkdownFile:
    """Reads one file of Markdown or plain text: a page whose sections are its headings.

    A section has the names of the headings above it too, "Kenya - Climate", but for the title.
    Its title is that of its front matter, the first heading of level 1, or the file's name; its
    url and language are those of its front matter, of which the rest goes before the text; its id
    is the path from the corpus folder on. Bytes of names that are not UTF-8 stand in title and id
    as escapes: "caf\\xe9.md".

    Args:
        path: the file.
        root: the corpus folder.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path, self.root = path, root or path.parent
        self.bytes_read = 0

    def entries(self) -> Generator[Entry, None, None]:
        """Yield the page."""
        source = Source(self.path)
        try:
            text = b"".join(source.chunks()).decode("utf-8-sig")
        except DamagedFile as exc:
            yield Entry(exc, 1)
            return
        except UnicodeDecodeError as exc:
            problem = f"not UTF-8 (byte {exc.start + 1}); save it as UTF-8"
            yield Entry(InvalidRecord(self.path, 1, "", problem, unit="file"), 1)
            return
        self.bytes_read = source.bytes_read
        yield Entry(self._page(text), 1)

    def _page(self, text: str) -> Page:
        front, text = front_matter(text)
        title, sections = front.title, list[Section]()
        path = list[tuple[int, str]]()
        for level, heading, body in parts(text):
            path = [above for above in path if above[0] < level]
            if level == 1 and title in ("", heading):
                title = heading
            elif heading:
                path.append((level, heading))
            if body:
                sections.append(Section(" - ".join(name for _, name in path), body))
        if front.said:  # with the first section, as it would be a passage of its own elsewhere
            first, *others = sections or [Section("", "")]
            sections = [Section(first.title, f"{front.said}\n\n{first.text}".strip()), *others]
        name = path_text(self.path.relative_to(self.root)).replace(os.sep, "/")
        title = title or path_text(Path(Path(content_name(self.path)).stem))
        return Page(name, title, tuple(sections), url=front.url, language=front.language)
