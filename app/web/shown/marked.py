"""Texts from outside as HTML, with words marked and shaded in them. Pure functions."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

# A number is one word with all its digits: in 26.1 there is no 1.
_WORD = re.compile(r"\d+(?:[.,'’\u00a0\u2009\u202f]\d+)*(?!\w)|\w+")
_GROUPS = re.compile(r"[,'’\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_SMALL_WORDS = {"also", "from", "that", "their", "they", "this", "with"}

Span = tuple[int, int]


class Shade(NamedTuple):
    """A word to be shaded, and picked: its characters, its number, and how strongly, 0 to 1."""

    start: int
    end: int
    number: int
    strength: float


def as_html(text: str) -> str:
    """Return text as HTML. Gradio's HTML component reads ${...} and {{...}} as templates."""
    return escape(text, quote=True).replace("$", "&#36;").replace("{", "&#123;")


def highlight(text: str, phrase: str) -> str:
    """Return `text` as HTML with the words of `phrase` in <mark>; see `phrase_spans`.

    >>> highlight("Its capital is São Tomé.", "sao tome")
    'Its capital is <mark>São Tomé</mark>.'
    >>> highlight("The river Nile in <Egypt>", "Egypt on the Nile")
    'The river <mark>Nile</mark> in &lt;<mark>Egypt</mark>&gt;'
    """
    text = unicodedata.normalize("NFC", text)
    return mark(text, phrase_spans(text, phrase))


def phrase_spans(text: str, phrase: str) -> list[Span]:
    """Return where the words of `phrase` are in a text with composed accents (NFC).

    Where they stand in sequence, however accented and spelled, the sequence is meant; otherwise
    each telling word is, by itself.
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    words = [_fold(text[start:end]) for start, end in spans]
    wanted = [_fold(word) for word in _WORD.findall(unicodedata.normalize("NFC", phrase))]
    # Short words say nothing by themselves; numbers do.
    telling = {w for w in wanted if len(w) > 3 or w[0].isdigit()} - _SMALL_WORDS
    marked = _sequences(words, wanted) or [
        (i, i + 1) for i, word in enumerate(words) if word in telling
    ]
    return [(spans[first][0], spans[after - 1][1]) for first, after in marked]


def mark(text: str, spans: Iterable[Span], shades: Iterable[Shade] = ()) -> str:
    """Return `text` as HTML with these characters of it in <mark>, and words shaded.

    >>> mark("Capital: <Paris>.", [(10, 15)])
    'Capital: &lt;<mark>Paris</mark>&gt;.'
    >>> mark("In Rome", [], [Shade(3, 7, 1, 0.5)])
    'In <i data-word="1" style="--s:0.5">Rome</i>'
    """
    parts, done = [], 0
    shades = sorted(shades)
    for start, end in sorted(spans):
        inside = _shaded(text, start, end, shades)
        parts += [_shaded(text, done, start, shades), "<mark>", inside, "</mark>"]
        done = end
    return "".join([*parts, _shaded(text, done, len(text), shades)])


def _shaded(text: str, begin: int, end: int, shades: Sequence[Shade]) -> str:
    """Return the characters from `begin` to `end` as HTML, with what of them is in a shade."""
    parts, done = [], begin
    for shade in shades:
        start, after = max(shade.start, done), min(shade.end, end)
        if start < after:
            strength = f' style="--s:{shade.strength:.2g}"' if shade.strength else ""
            word = f'<i data-word="{shade.number}"{strength}>{as_html(text[start:after])}</i>'
            parts += [as_html(text[done:start]), word]
            done = after
    return "".join([*parts, as_html(text[done:end])])


def _sequences(words: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, int]]:
    """Return the word ranges of `words` that equal `wanted`, without overlaps."""
    ranges: list[tuple[int, int]] = []
    i = 0
    while wanted and i + len(wanted) <= len(words):
        if list(words[i : i + len(wanted)]) == list(wanted):
            ranges.append((i, i + len(wanted)))
            i += len(wanted)
        else:
            i += 1
    return ranges


def _fold(word: str) -> str:
    plain = unicodedata.normalize("NFKD", _GROUPS.sub("", word))
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()
