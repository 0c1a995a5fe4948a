"""HTML in a page of Markdown as text: what is shown, without its tags.

    <h1> to <h6>                  a heading
    <br>, a block's begin or end  a new line
    <li>                          "- "
    <img alt="...">               the alternative text
    <table>                       a line a row: "Head: cell; Other: cell"
    <script>, <style>, comments   left out

What is in "<>" and no tag of HTML, as `vector<int>` has it, stays as it is written.
"""

from collections.abc import Sequence
from html.parser import HTMLParser
from typing import NamedTuple


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_UNSEEN = _names("script style template svg math head")
_CELLS, _ROWS = _names("td th"), _names("tr table thead tbody tfoot")
_BLOCKS = _ROWS | _names(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form header hr html legend li main menu nav ol p pre "
    "section summary ul"
)
_WITHIN_LINES = _names(
    "a abbr acronym area audio b base basefont bdi bdo big button canvas cite code col colgroup "
    "data datalist del dfn em embed font frame frameset i iframe img input ins kbd label link map "
    "mark meta meter noframes noscript object optgroup option output param picture progress q rp "
    "rt ruby s samp search select slot small source span strike strong sub sup textarea time title "
    "track tt u var video wbr"
)
_TAGS = _BLOCKS | _WITHIN_LINES | _UNSEEN | _CELLS | frozenset(_HEADINGS)


class Shown(NamedTuple):
    """Text that stands together; `level` is that of a heading, 0 where it is none."""

    level: int
    text: str


def shown(html: str) -> list[Shown]:
    """Return what is shown of a piece of HTML, which may be cut off anywhere.

    A comment that is never closed is text.

    >>> shown("<h2>Peru</h2><p>In the <b>Andes</b>,<br>&amp; large.</p>")
    [Shown(level=2, text='Peru'), Shown(level=0, text='In the Andes,\\n& large.')]
    """
    closed, end, rest = html.rpartition("-->")
    reader = _Reader()
    reader.feed(closed + end + rest.replace("<!--", "&lt;!--"))
    reader.close()
    reader.flush()
    return reader.blocks


def within_line(tag: str) -> str:
    """Return what one tag, or a comment, within a line of text shows: a new line, words, or "".

    >>> within_line("<br/>"), within_line('<img alt="A map">'), within_line("</sub>")
    ('\\n', 'A map', '')
    >>> within_line("<int>")
    '<int>'
    """
    if tag.startswith(("<!", "<?")):
        return ""
    name = tag.strip("</>").split(maxsplit=1)[0].rstrip("/").lower()
    if name not in _TAGS:
        return tag
    if name == "br":
        return "\n"
    return "".join(text for _, text in shown(tag)) if name == "img" else ""


def row_text(heads: Sequence[str], cells: Sequence[str]) -> str:
    """Return "Head: cell; Other: cell", without what is empty."""
    named = zip([*heads, *[""] * (len(cells) - len(heads))], cells, strict=False)
    return "; ".join(f"{head}: {cell}" if head else cell for head, cell in named if cell)


class _Reader(HTMLParser):
    """Collects blocks; cells of a table's row are kept until it ends."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Shown] = []
        self._level, self._pieces = 0, list[str]()
        self._heads, self._row = list[str](), list[tuple[bool, str]]()
        self._cell: list[str] | None = None
        self._is_head = False
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin what the tag begins."""
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _HEADINGS:
            self.flush()
            self._level = _HEADINGS[tag]
        elif tag in _CELLS:
            self._end_cell()
            self._cell, self._is_head = [], tag == "th"
        elif tag in _BLOCKS:
            self._begin_or_end(tag)
            self._add("- " if tag == "li" else "")
            if tag == "table":
                self._heads = []
        elif tag == "img":
            self._add(dict(attrs).get("alt") or "")
        elif tag not in _TAGS:
            self.handle_data(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read `<br/>` as `<br>`, and `<script/>` as nothing."""
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """End what the tag ends."""
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _HEADINGS:
            self.flush()
        elif tag in _CELLS:
            self._end_cell()
        elif tag in _BLOCKS:
            self._begin_or_end(tag)
        elif tag not in _TAGS:
            self.handle_data(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Add text; a new line in it is no more than a space."""
        if not self._unseen:
            self._add(data.replace("\n", " "))

    def flush(self) -> None:
        """Put what was collected with the blocks."""
        self._end_row()
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        if text := "\n".join(filter(None, lines)):
            self.blocks.append(Shown(self._level, text))
        self._level, self._pieces = 0, []

    def _add(self, text: str) -> None:
        (self._pieces if self._cell is None else self._cell).append(text)

    def _begin_or_end(self, tag: str) -> None:
        if tag in _ROWS:
            self._end_row()
        self._add("\n")

    def _end_cell(self) -> None:
        if self._cell is not None:
            self._row.append((self._is_head, " ".join("".join(self._cell).split())))
            self._cell = None

    def _end_row(self) -> None:
        """Keep a row of heads for those that follow; say any other with them."""
        self._end_cell()
        row, self._row = self._row, []
        cells = [text for _, text in row]
        if len(row) > 1 and all(is_head for is_head, _ in row):
            self._heads = cells
        elif len(row) > 1 and row[0][0] and not self._heads:  # what the row is about, and that
            self._pieces.append(f"\n{cells[0]}: {'; '.join(filter(None, cells[1:]))}\n")
        elif row:
            self._pieces.append(f"\n{row_text(self._heads, cells)}\n")
