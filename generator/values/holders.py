"""Who held an office at a time, in a list of those who did. Pure functions.

Who was head in 1975?           Ann Roe (1921-1940), Bob Lee (1966-1988)        Bob Lee
Who was head before Bob Lee?    Ann Roe (1921-1966), Bob Lee (1966-1988)        Ann Roe
"""

import re
from dataclasses import dataclass

from generator.sentences import sentences
from generator.values.items import Range

_YEAR = r"(?:1\d|20)\d\d"
_HELD = re.compile(
    rf"(?P<name>[^,;:()\n]*[^,;:()\s])\s*\((?:(?P<first>{_YEAR})\s?(?:-|–|to)\s?(?P<last>{_YEAR})?|"
    rf"since\s+(?P<since>{_YEAR}))\)"
)
_WHO = re.compile(r"\b(?:who|whom|whose|which|what)\b", re.IGNORECASE)
_IN_YEAR = re.compile(rf"\bin\s+({_YEAR})\b", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(?:(?P<before>before|preceded|(?:followed|succeeded)\s+by)|after|followed|succeeded)\s+"
    r"(?!by\b)(?P<name>[^?]+)",
    re.IGNORECASE,
)
_LEAST = 3


@dataclass(frozen=True, slots=True)
class _Holder:
    """Somebody who held an office, from a year to another, both included."""

    name: Range
    first: int
    last: int


def at_the_time(question: str, text: str, span: Range) -> Range:
    """Return who held an office when a question asks, where a span is in a list of such.

    >>> text = "Heads: Ann Roe (1921-1940), Joe Doe (1940-1966), Bob Lee (since 1966)."
    >>> asked = ("Who was head in 1950?", "who came after Joe Doe", "Who was head in 1940?")
    >>> [text[slice(*at_the_time(q, text, (7, 14)))] for q in asked]
    ['Joe Doe', 'Bob Lee', 'Ann Roe']
    """
    held = _holders(text, span)
    if not _WHO.search(question):
        return span
    if year := _IN_YEAR.search(question):
        then = [each.name for each in held if each.first <= int(year[1]) <= each.last]
        return then[0] if len(then) == 1 else span
    beside = _BESIDE.search(question)
    if beside is None:
        return span
    named = [n for n, each in enumerate(held) if _names(beside["name"], text[slice(*each.name)])]
    step = -1 if beside["before"] else 1
    if len(named) != 1 or not 0 <= named[0] + step < len(held):
        return span
    return held[named[0] + step].name


def held_in(text: str, span: Range, year: int) -> bool:
    """Return whether a span is somebody in such a list who held the office in a year.

    >>> text = "Heads: Ann Roe (1921-1940), Joe Doe (1940-1966), Bob Lee (since 1966)."
    >>> [held_in(text, (7, 14), year) for year in (1930, 1950)]
    [True, False]
    """
    return any(
        each.name[0] <= span[0] < each.name[1] and each.first <= year <= each.last
        for each in _holders(text, span)
    )


def _holders(text: str, span: Range) -> list[_Holder]:
    """Return those of the list that a span is in, the earliest first; nothing for no such list."""
    begin, end = next((a, b) for a, b in sentences(text) if a <= span[0] < b)
    held = []
    for found in _HELD.finditer(text, begin, end):
        start, stop = found.span("name")
        start += len(text[start:stop]) - len(text[start:stop].lstrip())
        first = int(found["first"] or found["since"])
        held.append(_Holder((start, stop), first, int(found["last"] or 9999)))
    years = [each.first for each in held]
    return held if len(held) >= _LEAST and years == sorted(years) else []


def _names(question: str, name: str) -> bool:
    """Return whether the end of a question is a name, or its last word."""
    return (
        re.match(rf"(?:[\w.]+\s+)*?{re.escape(name.split()[-1])}\b", question.strip()) is not None
    )
