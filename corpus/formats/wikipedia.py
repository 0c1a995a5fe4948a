"""Wikipedia: XML dumps (pages-articles*.xml.bz2), and the Hugging Face parquet and JSONL files.

Of a dump, articles are kept: redirects, disambiguation pages and other namespaces are not. Their
wikitext is parsed by mwparserfromhell; tables, references, pictures, categories and templates go,
but for those that stand inside sentences (`templates`), and sections that hold links alone
(see `_LEFT_OUT`) with them.
"""

import logging
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Template, Text, Wikilink
from mwparserfromhell.parser import ParserError

from corpus.errors import CorpusError, InvalidRecord
from corpus.files.pages import Entry, Page, Section
from corpus.files.sources import DamagedFile, Source, path_text
from corpus.formats.templates import mended_fractions, superscript, template_text

PAGES_PER_TASK = 16
TASKS_PER_WORKER = 3

Parsed = Page | CorpusError | None

_MARKS = re.compile(rb"(</?page>)")
_PAGE_START, _PAGE_END, _DUMP_END = b"<page>", b"</page>", b"</mediawiki>"
_LEFT_OUT = frozenset(
    {"references", "external links", "see also", "notes", "further reading", "bibliography"}
    | {"footnotes", "notes and references", "sources", "citations", "gallery"}
)
_DROPPED_TAGS = frozenset(
    {"ref", "table", "gallery", "math", "timeline", "score", "source", "syntaxhighlight"}
    | {"imagemap", "references", "style", "chem", "graph", "mapframe", "hiero", "noinclude"}
)
# {{disambiguation}}, {{geodis}}, {{hndis}}, {{Disambig-Plants}} ... in English Wikipedia.
_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:disambig\w*|dab|geodis|hndis|(?:\w+[ -])?disambiguation|\w+ index|surname"
    r"|given name)\s*(?:\||\}\})",
    re.IGNORECASE,
)
_BLOCK_TAGS = frozenset({"br", "p", "li", "dd", "dt", "blockquote", "div", "hr"})
_NAMESPACES = frozenset(
    {"file", "image", "category", "media", "special", "template", "wikt", "portal", "help"}
    | {"datei", "kategorie", "fichier", "catégorie", "archivo", "categoría", "bild", "файл"}
    | {"категория", "картинка", "immagine", "categoria", "ficheiro", "imagem", "plik"}
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")
_BASE = re.compile(rb"<base>(https?://[^/<]+)")
_DUMP_LANGUAGE = re.compile(rb'<mediawiki[^>]* xml:lang="([\w-]+)"')
_HEADER_LINES = 200
# References and comments never show. They are half of the markup, and going before the parser
# sees them they cost no time there.
_NOTES = re.compile(
    r"<!--.*?-->|<ref\b[^<>]*/>|<ref\b[^<>]*(?<!/)>.*?</ref\s*>", re.DOTALL | re.IGNORECASE
)
_REDIRECT = re.compile(r"\s*#redirect\b", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\s*\n\s*\n\s*")
_BOLD = re.compile(r"'{2,5}")
_SPACES = re.compile(r"[ \t\u00a0]+")
_EMPTY_BRACKETS = re.compile(r"\s*\(\s*[,;:\s]*\)")
_SPACE_BEFORE_MARK = re.compile(r" +([,.;:)])")


logger = logging.getLogger(__name__)


class WikipediaDump:
    """Reads an XML dump, compressed or not, single- or multistream.

    Args:
        path: the file.
        workers: processes that parse wikitext beside this one, which reads; 0 parses here.
    """

    def __init__(self, path: Path, workers: int = 0) -> None:
        self.path, self.workers = path, workers
        self.site = site_of(path)
        self._source = Source(path)
        self.bytes_read = 0

    def entries(self) -> Generator[Entry, None, None]:
        """Yield every page in the order of the dump."""
        if not self.workers:
            for raw in self._raw_pages():
                self.bytes_read = raw.bytes_read
                yield Entry(_parse_pages(self.path, self.site, [raw])[0], raw.number)
            return
        context = get_context("spawn")
        with ProcessPoolExecutor(self.workers, mp_context=context) as pool:
            yield from self._parallel(pool)

    def _parallel(self, pool: ProcessPoolExecutor) -> Iterator[Entry]:
        """Parse in the pool, a bounded number of pages ahead, and keep the order."""
        waiting: deque[tuple[Future[list[Parsed]], list[_RawPage]]] = deque()
        raw = self._raw_pages()
        while batch := list(islice(raw, PAGES_PER_TASK)):
            waiting.append((pool.submit(_parse_pages, self.path, self.site, batch), batch))
            if len(waiting) >= self.workers * TASKS_PER_WORKER:
                yield from self._finished(*waiting.popleft())
        while waiting:
            yield from self._finished(*waiting.popleft())

    def _finished(self, future: "Future[list[Parsed]]", batch: "list[_RawPage]") -> Iterator[Entry]:
        try:
            pages = future.result()
        except BrokenProcessPool as exc:
            raise CorpusError(
                f"{self.path}: a process that parses pages ended, maybe for want of memory, near "
                f"page {batch[0].number:,}; go on with fewer --workers"
            ) from exc
        for page, raw in zip(pages, batch, strict=True):
            self.bytes_read = raw.bytes_read
            yield Entry(page, raw.number)

    def _raw_pages(self) -> "Iterator[_RawPage]":
        """Yield each <page> element, or why it cannot be had."""
        number, source = 0, self._source
        lines: list[bytes] = []
        last = b""

        def error(problem: str) -> _RawPage:
            found = InvalidRecord(self.path, number + 1, "", problem, unit="page")
            return _RawPage(found, number + 1, source.bytes_read)

        try:
            for line in chain.from_iterable(map(_apart, source.lines())):
                bare = line.strip()
                last = bare or last
                if bare == _PAGE_START:
                    if lines:
                        yield error("it has no </page> before the next begins")
                    lines = [line]
                elif lines:
                    lines.append(line)
                if bare == _PAGE_END and lines:
                    number += 1
                    yield _RawPage(b"\n".join(lines), number, source.bytes_read)
                    lines = []
        except DamagedFile as exc:
            yield _RawPage(exc, number + 1, source.bytes_read)
            return
        if lines:
            yield error("the file ends within this page: it is cut short; fetch it again")
        elif not number:
            problem = "there is no <page> in it, so it is no pages-articles dump"
            yield _RawPage(CorpusError(f"{self.path}: {problem}"), 1, source.bytes_read)
        elif last != _DUMP_END:
            logger.warning(
                "%s ends after a whole page, but without %s: pages may be missing; was it fetched "
                "to its end?",
                *(path_text(self.path), _DUMP_END.decode()),
            )


def _apart(line: bytes) -> list[bytes]:
    """Return a line with the beginnings and ends of pages on lines of their own.

    Dumps have them so; what another program has written anew may have a page on a line.
    """
    return [line] if b"page>" not in line else [part for part in _MARKS.split(line) if part]


class Site(NamedTuple):
    """A wiki: its address, for example "https://en.wikipedia.org", and its language."""

    address: str
    language: str


class _RawPage(NamedTuple):
    """A <page> element before it is parsed, its number, and how far the file was read."""

    xml: bytes | CorpusError
    number: int
    bytes_read: int


def _parse_pages(path: Path, site: Site, pages: list[_RawPage]) -> "list[Parsed]":
    """Return what is made of each page; runs in other processes."""
    parsed: list[Parsed] = []
    for raw in pages:
        if isinstance(raw.xml, CorpusError):
            parsed.append(raw.xml)
            continue
        try:
            parsed.append(parse_page(raw.xml, site))
        except InvalidPage as exc:
            error = InvalidRecord(path, raw.number, exc.field, str(exc), unit="page")
            parsed.append(error)
    return parsed


def parse_page(xml: bytes, site: Site) -> Page | None:
    """Return the article in a <page> element; None for what is not one.

    Args:
        xml: the element.
        site: the wiki.

    Raises:
        InvalidPage: it is not XML, lacks a field, or its wikitext cannot be parsed.
    """
    try:
        page = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError) as exc:
        raise InvalidPage("", f"not XML ({exc})") from exc
    if page.findtext("ns", "0").strip() != "0" or page.find("redirect") is not None:
        return None
    title, number = _required(page, "title"), _required(page, "id")
    text = page.findtext("revision/text")
    if text is None:
        raise InvalidPage("revision/text", "missing; is this a pages-articles dump?")
    if _REDIRECT.match(text) or _DISAMBIGUATION.search(text) or "(disambiguation)" in title:
        return None
    try:
        sections = tuple(parse_wikitext(text))
    except (ParserError, RecursionError) as exc:
        raise InvalidPage("revision/text", f"wikitext that cannot be parsed ({exc!r:.80})") from exc
    return Page(
        id=number,
        title=title,
        sections=sections,
        url=f"{site.address}/wiki/{quote(title.replace(' ', '_'), safe='/:,()!*')}",
        source="Wikipedia",
        language=site.language,
    )


def parse_wikitext(text: str) -> Iterator[Section]:
    """Yield the sections of an article with their plain text; empty ones are left out."""
    heading, parts = "", list[str]()
    text = _NOTES.sub("", text)
    for node in [*mwparserfromhell.parse(text, skip_style_tags=True).nodes, None]:
        if node is not None and not isinstance(node, Heading):
            parts.append(_plain(node))
            continue
        section = Section(heading, _tidy("".join(parts)))
        if section.text and heading.casefold() not in _LEFT_OUT:
            yield section
        if node is not None:
            heading, parts = _tidy(_plain_nodes(node.title.nodes)), []


class InvalidPage(ValueError):
    """A page that cannot be used, and the field at fault."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


def _required(page: ElementTree.Element, name: str) -> str:
    value = (page.findtext(name) or "").strip()
    if not value:
        raise InvalidPage(name, "missing or empty")
    return value


def _plain_nodes(nodes: Iterable[Any]) -> str:
    return "".join(map(_plain, nodes))


def _plain(node: Any) -> str:
    """Return the text of a node as a reader of the page sees it, without boxes and tables."""
    if isinstance(node, Text):
        return str(node.value)
    if isinstance(node, Wikilink):
        return _link_text(node)
    if isinstance(node, ExternalLink):
        return _plain_nodes(node.title.nodes) if node.title is not None else ""
    if isinstance(node, HTMLEntity):
        return str(node.normalize() or "")
    if isinstance(node, Tag):
        name = str(node.tag).strip().casefold()
        if name in _DROPPED_TAGS:
            return ""
        inside = _plain_nodes(node.contents.nodes) if node.contents is not None else ""
        if name == "sup":
            return superscript(inside)
        block = name in _BLOCK_TAGS and not node.wiki_markup  # "* item" begins a line already
        return f"\n{inside}" if block else inside
    if isinstance(node, Template):
        return template_text(node, lambda code: _plain_nodes(code.nodes))
    return ""  # arguments, comments


def _link_text(link: Wikilink) -> str:
    """Return what a link shows; nothing for pictures, categories and other languages."""
    target = str(link.title).strip()
    prefix, colon, _ = target.partition(":")
    if colon and prefix and (prefix.casefold() in _NAMESPACES or _LANGUAGE.fullmatch(prefix)):
        return ""
    if link.text is not None:
        return _plain_nodes(link.text.nodes)
    return target.removeprefix(":")


def _tidy(text: str) -> str:
    """Return a text without the traces of what was removed."""
    text = _SPACES.sub(" ", _BOLD.sub("", mended_fractions(text)))
    text = _SPACE_BEFORE_MARK.sub(r"\1", _EMPTY_BRACKETS.sub("", text))
    lines = (
        line.strip(" *#:;") if line[:1] in "*#:;" else line.strip() for line in text.split("\n")
    )
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def site_of(path: Path) -> Site:
    """Return the wiki that a dump says it is of, from its first lines."""
    head = b"\n".join(islice(Source(path).lines(), _HEADER_LINES))
    base, language = _BASE.search(head), _DUMP_LANGUAGE.search(head)
    return Site(
        base[1].decode("utf-8", "replace") if base else "https://en.wikipedia.org",
        language[1].decode("ascii", "replace") if language else "",
    )
