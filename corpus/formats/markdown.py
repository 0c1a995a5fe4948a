"""Markdown as text: what is written for a renderer is left out or said in words.

    front matter            left out; its title and its url are the page's
    ![alt](url), <img>      the alternative text
    [text](url)             the text
    | a | b | under heads   "Head: a; Other: b", a line a row
    <!-- comment -->        left out
    code between fences     as it is

Everything else stays as it is written.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
# YAML between "---" and "---" or "...", TOML between "+++".
_FRONT = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?\n)?(\1|\.\.\.)[ \t]*(\n|$)", re.DOTALL)
_FRONT_FIELD = re.compile(r"^(title|url)[ \t]*[:=][ \t]*(.+?)[ \t]*$", re.MULTILINE)
_IMAGE_TAG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
# In brackets: an address, which may be in <> or hold brackets itself, and a title.
_ADDRESS = r"<[^>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*"
_TITLE = r"\"[^\"]*\"|'[^']*'"
# Or the label under which the address stands elsewhere.
_TARGET = rf"(?:\((?:{_ADDRESS})(?:\s+(?:{_TITLE}))?\s*\)|\[(?P<label>[^\]\n]*)\])"
_IMAGE = re.compile(rf"!\[(?P<text>[^\[\]]*)\]{_TARGET}")
_LINK = re.compile(rf"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])+)\]{_TARGET}")
_DEFINITION = re.compile(r"^ {0,3}\[([^\[\]\n]+)\]:\s*\S+.*$", re.MULTILINE)
_CODE = re.compile(r"(?<!`)(`++).+?(?<!`)\1(?!`)")
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_BAR = re.compile(r"(?<!\\)\|")


Labels = frozenset[str]


class Part(NamedTuple):
    """A part of a page: the level of its heading (0 before the first), the heading, the text."""

    level: int
    heading: str
    text: str


class Front(NamedTuple):
    """What front matter says of its page, "" where it says nothing."""

    title: str = ""
    url: str = ""


def front_matter(text: str) -> tuple[Front, str]:
    """Return what front matter says, and the text behind it.

    A url that does not begin with http:// or https:// is a path within some site, not where the
    page can be seen, and counts as none.

    >>> front_matter("---\\ntitle: Brazil\\nurl: https://example.org/br\\n---\\nA country.")
    (Front(title='Brazil', url='https://example.org/br'), 'A country.')
    """
    text = text.replace("\r\n", "\n")
    found = _FRONT.match(text)
    # A rule at the beginning, and another one further on, are no front matter.
    if found is None or not re.search(r"^[\w-]+[ \t]*[:=]", found[2] or "", re.MULTILINE):
        return Front(), text
    # The first of a name counts.
    said = {name: value.strip("\"'") for name, value in reversed(_FRONT_FIELD.findall(found[2]))}
    url = said.get("url", "")
    seen = url if url.startswith(("http://", "https://")) else ""
    return Front(said.get("title", ""), seen), text[found.end() :]


def parts(text: str) -> Iterator[Part]:
    """Yield the parts of a page in order, each as plain text; those without text are left out."""
    level, heading, lines = 0, "", list[str]()
    labels = frozenset(label.casefold() for label in _DEFINITION.findall(text))
    for line in [*_outside_code(text, labels), None]:
        found = _HEADING.match(line) if isinstance(line, str) else None
        if found is None and line is not None:
            lines.append(line if isinstance(line, str) else line[0])
            continue
        body = "\n".join(lines).strip()
        if body or level == 1:
            yield Part(level, heading, body)
        if found is not None:
            level, heading, lines = len(found[1]), found[2], []


def inline(text: str, labels: Labels = frozenset()) -> str:
    """Return a text with pictures and links as their words; code spans stay as they are.

    Args:
        text: a line, or a part of one.
        labels: those that stand for an address: without one, x[1][2] is no link.

    >>> inline("![A map](map.png) of [Peru](peru.md 'P'), `[x](y)`, x[1][2]")
    'A map of Peru, `[x](y)`, x[1][2]'
    """

    def words(found: re.Match[str]) -> str:
        label = found["label"]
        known = label is None or (label or found["text"]).casefold() in labels
        return found["text"] if known else found[0]

    def worded(piece: str) -> str:
        piece = _IMAGE.sub(words, _IMAGE_TAG.sub(_alternative, piece))
        return _LINK.sub(words, piece)

    pieces, at = [], 0
    for code in _CODE.finditer(text):
        pieces += [worded(text[at : code.start()]), code[0]]
        at = code.end()
    return "".join([*pieces, worded(text[at:])])


def _alternative(tag: re.Match[str]) -> str:
    alt = _ALT.search(tag[0])
    return alt[1][1:-1] if alt else ""


def _outside_code(text: str, labels: Labels) -> Iterator[str | tuple[str]]:
    """Yield the lines: text as it reads, and those of code, which no heading is in, as tuples."""
    fence, prose = "", list[str]()
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            yield (line,)
            # A fence is closed by one of its kind that is as long.
            if found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif found:
            yield from _prose(prose, labels)
            prose, fence = [], found[1]
            yield (line,)
        else:
            prose.append(line)
    yield from _prose(prose, labels)


def _prose(lines: Sequence[str], labels: Labels) -> Iterator[str]:
    """Yield lines without comments and definitions, tables as sentences, links as words."""
    lines = _uncommented("\n".join(lines)).split("\n") if lines else []
    at = 0
    while at < len(lines):
        if at + 1 < len(lines) and "|" in lines[at] and _is_rule(lines[at], lines[at + 1]):
            heads, at = _cells(lines[at], labels), at + 2
            while at < len(lines) and "|" in lines[at]:
                yield _row(heads, _cells(lines[at], labels))
                at += 1
            continue
        if not _DEFINITION.match(lines[at]):
            yield inline(lines[at], labels)
        at += 1


def _uncommented(text: str) -> str:
    kept, at = [], 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin)) >= 0:
        kept.append(text[at:begin])
        at = end + len("-->")
    return "".join([*kept, text[at:]])


def _is_rule(heads: str, line: str) -> bool:
    """Return whether a line is the rule under a table's heads."""
    return bool(_RULE.match(line)) and "-" in line and len(_cells(line)) == len(_cells(heads))


def _cells(line: str, labels: Labels = frozenset()) -> list[str]:
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [inline(cell.replace("\\|", "|").strip(), labels) for cell in _BAR.split(inner)]


def _row(heads: Sequence[str], cells: Sequence[str]) -> str:
    """Return "Head: cell; Other: cell", without what is empty."""
    named = zip([*heads, *[""] * (len(cells) - len(heads))], cells, strict=False)
    return "; ".join(f"{head}: {cell}" if head else cell for head, cell in named if cell)
