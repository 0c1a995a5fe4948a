"""A value as labelled fields write it: names, each with a quantity and notes. Pure functions.

    Dutch (official) 60%, French (official) 40%        Libya 989 km; Mali 1,359 km
    President Isaac HERZOG (since 7 July 2021)         2.610 million MOGADISHU (capital)

Ranges are of characters of the whole text, so that a citation can mark them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from generator.values.quantities import QUANTITY, SCALES, UNIT

Range = tuple[int, int]

_BRACKETS = {"(": ")", "[": "]"}
# A quantity that stands behind a name is no part of it where it has a unit, or thousands: "Apollo
# 11" is a name.
_BEHIND = re.compile(
    rf"(?P<about>(?:(?:less|more) than|about|over|nearly|some|almost)\s+)?{QUANTITY}\s*$",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"{QUANTITY}\s+(?=(?-i:[A-Z]))", re.IGNORECASE)
_MEASURED = re.compile(rf"\d,\d{{3}}|\d\s*(?:{'|'.join(SCALES)}|{UNIT})", re.IGNORECASE)
# "rises to 3,776 m", "100 to 115 kg", "at least 20%": no names.
_NO_NAME = re.compile(
    r"\d|(?:^|\s)(?:of|to|is|was|are|than|about|at|by|least|most|up|over|under|from|and|or|in|"
    r"nearly|around|some|between)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One of the things that a value lists.

    Attributes:
        whole: all of it.
        name: what is listed, without quantity and notes.
        quantity: how much of it; None where that is not said.
        notes: the insides of brackets.
    """

    whole: Range
    name: Range
    quantity: Range | None = None
    notes: tuple[Range, ...] = ()


def items(text: str, start: int, end: int) -> list[Item]:
    """Return what a range of a text lists: what stands between commas and semicolons.

    >>> text = "Dutch (official) 60%, Frisian (north, official)"
    >>> [text[slice(*item.name)] for item in items(text, 0, len(text))]
    ['Dutch', 'Frisian']
    """
    return [_item(text, *part) for part in _parts(text, start, end)]


def _parts(text: str, start: int, end: int) -> Iterator[Range]:
    """Yield the ranges between separators that no bracket holds and that group no digits."""
    begin, depth = start, 0
    for at in range(start, end):
        if text[at] in _BRACKETS:
            depth += 1
        elif text[at] in _BRACKETS.values():
            depth = max(0, depth - 1)
        elif depth == 0 and (text[at] == ";" or (text[at] == "," and not _groups(text, at))):
            yield from _trimmed(text, begin, at)
            begin = at + 1
    yield from _trimmed(text, begin, end)


def _groups(text: str, at: int) -> bool:
    return re.match(r"\d,\d{3}(?!\d)", text[max(0, at - 1) : at + 5]) is not None


def _trimmed(text: str, start: int, end: int) -> Iterator[Range]:
    part = text[start:end]
    if kept := part.strip(" .:-\n\t"):
        begin = start + part.index(kept)
        if kept[0].isdigit() and re.search(r"(?<!\S)-\Z", text[max(0, begin - 2) : begin]):
            begin, kept = begin - 1, f"-{kept}"  # a minus
        yield begin, begin + len(kept)


def _item(text: str, start: int, end: int) -> Item:
    notes = list(_notes(text, start, end))
    # The same characters with notes blank: places stay what they are.
    bare = text[start:end]
    for a, b in notes:
        bare = bare[: a - start] + " " * (b - a) + bare[b - start :]
    amount = None
    name_end = len(bare.rstrip())
    begin = 0
    if (found := _BEHIND.search(bare)) and _named(bare[: found.start()], found[0]):
        amount = start + found.start(), start + found.start() + len(found[0].rstrip())
        name_end = len(bare[: found.start()].rstrip())
    elif (found := _BEFORE.match(bare)) and _MEASURED.search(found[0]):
        amount = start, start + len(found[0].rstrip())
        begin = found.end()
    # A note with words behind it belongs to the name.
    inside = tuple((a + 1, b - 1) for a, b in notes if b - start > name_end)
    return Item((start, end), (start + begin, start + name_end), amount, inside)


def _named(before: str, amount: str) -> bool:
    """Return whether a quantity stands behind a name, and not in a sentence."""
    name = " ".join(before.split())
    if not name or _NO_NAME.search(name) or not _MEASURED.search(amount):
        return False
    return name[0].isupper() or "%" in amount


def _notes(text: str, start: int, end: int) -> Iterator[Range]:
    """Yield the outermost brackets that are closed, except one that everything stands in."""
    depth, begin = 0, start
    for at in range(start, end):
        if text[at] in _BRACKETS:
            begin = at if depth == 0 else begin
            depth += 1
        elif text[at] in _BRACKETS.values() and depth:
            depth -= 1
            if depth == 0 and begin > start:
                yield begin, at + 1
