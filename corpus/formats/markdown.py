"""Markdown as text: what is written for a renderer is left out or said in words.

front matter            its title, url and language are the page's; what else it says of the
                        page goes before the text: "date: 2024-05-01"
# Head, or Head ====    a heading
![alt](url)             the alternative text
[text](url), [[p|text]] the text
**text**, `text`, &amp; without the marks
| a | b | under heads   "Head: a; Other: b", a line a row
code between fences     the code
HTML                    as `html.shown` has it
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from corpus.formats.html import row_text, shown, within_line

# YAML between "---" and "---" or "...", TOML between "+++".
_FRONT = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?\n)?(\1|\.\.\.)[ \t]*(\n|$)", re.DOTALL)
_FIELD = re.compile(r"^([\w-]+)[ \t]*[:=][ \t]*(.+?)[ \t]*$", re.MULTILINE)
# What front matter tells a renderer, and says nothing of what the page is about.
_FOR_RENDERERS = re.compile(
    "alias(es)?|bibliography|cascade|comments|css(_?class(es)?)?|cover|draft|eleventynavigation|"
    "excerpt_separator|favicon|featured_image|geometry|header-includes|icon|id|images?|js|katex|"
    "layout|linktitle|markup|math(jax)?|menu|nav_order|navigation|noindex|outputs?|"
    "pagination_label|permalink|pinned|redirect_(from|to)|robots|sidebar(_label|_position)?|slug|"
    "template|theme|thumbnail|toc(_depth)?|uu?id|weight",
    re.IGNORECASE,
)
_OF_THE_PAGE = frozenset(("title", "url", "language", "lang"))
_NOTHING, _FLAGS = frozenset(("", "~", "null")), frozenset(("true", "false", "yes", "no"))
_ADDRESS = re.compile(r"(https?:/|\.{0,2})/|[^\s]+\.(png|jpe?g|gif|svg|webp|css|js|html?)$", re.I)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# Links of wikis and of Obsidian, and pictures so.
_WIKI_LINK = re.compile(r"!?\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]+)\]\]")

_PARSER = MarkdownIt("commonmark", {"maxNesting": 100}).enable(["table", "strikethrough"])


class Part(NamedTuple):
    """A part of a page: the level of its heading (0 before the first), the heading, the text."""

    level: int
    heading: str
    text: str


class Front(NamedTuple):
    """What front matter says of its page, "" where it says nothing.

    `said` is what it says beside the title, the url and the language: a line each.
    """

    title: str = ""
    url: str = ""
    language: str = ""
    said: str = ""


def front_matter(text: str) -> tuple[Front, str]:
    """Return what front matter says, and the text behind it.

    A url that does not begin with http:// or https:// is a path within some site, not where the
    page can be seen, and counts as none. What is no YAML or TOML after all is read line by line.

    >>> front_matter("---\\ntitle: Brazil\\nurl: https://example.org/br\\n---\\nA country.")
    (Front(title='Brazil', url='https://example.org/br', language='', said=''), 'A country.')
    """
    text = text.replace("\r\n", "\n")
    found = _FRONT.match(text)
    # A rule at the beginning, and another one further on, are no front matter.
    if found is None or not re.search(r"^[\w-]+[ \t]*[:=]", found[2] or "", re.MULTILINE):
        return Front(), text
    fields = _fields(found[2], toml=found[1] == "+++")
    own = {name: fields[key] for key in fields if (name := key.casefold()) in _OF_THE_PAGE}
    said = "\n".join(
        f"{name}: {value}"
        for name, value in fields.items()
        if not (
            name.casefold() in _OF_THE_PAGE
            or _FOR_RENDERERS.fullmatch(name)
            or value.casefold() in _FLAGS
            or _ADDRESS.match(value)
        )
    )
    url, language = own.get("url", ""), own.get("language", own.get("lang", ""))
    seen = url if url.startswith(("http://", "https://")) else ""
    known = language if _LANGUAGE.fullmatch(language) else ""
    return Front(own.get("title", ""), seen, known, said), text[found.end() :]


def parts(text: str) -> Iterator[Part]:
    """Yield the parts of a page in order, each as plain text; one may be a heading alone."""
    level, heading, blocks = 0, "", list[str]()
    for is_heading, size, block in [*_blocks(_PARSER.parse(text)), (True, 0, "")]:
        if not is_heading:
            blocks.append(block)
            continue
        body = "".join(blocks).strip()
        if body or heading:
            yield Part(level, heading, body)
        level, heading, blocks = size, " ".join(block.split()), []


class _Block(NamedTuple):
    """A heading with its level, or text with the white space before it."""

    is_heading: bool
    level: int
    text: str


def _blocks(tokens: Sequence[Token]) -> Iterator[_Block]:
    """Yield what is shown, in order."""
    items = list[str]()  # the marks of the lists that are open
    mark, tight = "", False
    heads, cells, rows = list[str](), list[str](), 0
    for number, token in enumerate(tokens):
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                items.append("")
            case "bullet_list_close" | "ordered_list_close":
                items.pop()
            case "list_item_open":
                mark = "  " * (len(items) - 1) + f"{token.info}{token.markup} "
            case "paragraph_open":
                tight = token.hidden
            case "table_open":
                yield _Block(False, 0, "\n")
                rows = 0
            case "tr_open":
                cells = []
            case "tr_close":
                heads, row = (heads, row_text(heads, cells)) if rows else (cells, "")
                rows += 1
                yield _Block(False, 0, row and f"\n{row}")
            case "table_close" if rows == 1:
                yield _Block(False, 0, "\n" + "; ".join(filter(None, heads)))
            case "inline":
                words = _words(token.children or ())
                opened = tokens[number - 1]
                if opened.type in ("th_open", "td_open"):
                    cells.append(" ".join(words.split()))
                elif opened.type == "heading_open" and not opened.level:
                    yield _Block(True, int(opened.tag[1]), words)
                else:
                    yield _Block(False, 0, ("\n" if tight and items else "\n\n") + mark + words)
                    mark = ""
            case "fence" | "code_block":
                yield _Block(False, 0, f"\n\n{mark}{token.content.rstrip()}")
                mark = ""
            case "html_block":
                for level, words in shown(token.content):
                    yield _Block(level > 0, level, words if level else f"\n\n{words}")


def _words(tokens: Sequence[Token]) -> str:
    """Return what a line of text shows."""
    return "".join(map(_word, tokens))


def _word(token: Token) -> str:
    match token.type:
        case "text":
            return _WIKI_LINK.sub(r"\1", token.content)
        case "softbreak" | "hardbreak":
            return "\n"
        case "image":
            return _words(token.children or ())
        case "html_inline":
            return within_line(token.content)
        case _:
            return token.content  # of code; marks have none


def _fields(text: str, *, toml: bool) -> dict[str, str]:
    """Return the fields of front matter that say something in one line, lists with commas."""
    try:
        read: Any = tomllib.loads(text) if toml else yaml.load(text, yaml.BaseLoader)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, RecursionError):
        read = None
    if not isinstance(read, Mapping):
        # The first of a name counts.
        read = {name: value.strip("\"'") for name, value in reversed(_FIELD.findall(text))}
    said = {str(name): _one_line(value) for name, value in read.items()}
    return {name: line for name, line in said.items() if line.casefold() not in _NOTHING}


def _one_line(value: Any) -> str:
    """Return a scalar, or a list of them, as a line; "" for anything else."""
    if isinstance(value, list):
        return ", ".join(filter(None, (_one_line(one) for one in value if isinstance(one, str))))
    return "" if isinstance(value, Mapping) else " ".join(str(value).split())
