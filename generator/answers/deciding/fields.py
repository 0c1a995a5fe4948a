"""The labelled value of a passage that a span is in, and what its notes change. Pure functions.

Languages: Dutch (official), French     two items; "official" changes nothing
"""

import re
from dataclasses import dataclass

from generator.values.items import Item, items
from generator.values.quantities import MONTH, QUANTITY
from generator.values.wording import QUALIFIED, same_words, telling, without

# A negation turns the answer round, and "only" asks for more than one rule looks at.
TURNED = re.compile(
    r"\b(?:not|never|no|none|without|neither|nor|lacks?|lacking|except|excluding|unlike|all|always|"
    r"every|each|only|entirely|both|false|wrong)\b|n['’]t\b",
    re.IGNORECASE,
)
BRACKETS = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
# "eSIM", "Wi-Fi" and "5G" are labels too.
_LABEL = re.compile(
    r"(?:^|(?<=[.;\]] ))((?:[A-Z]|[a-z]{1,2}[A-Z]|\d+[A-Z])[A-Za-z-]*(?: [a-z-]+){0,4}): "
)
# Notes that change nothing, each part by itself: when it was counted, and what more it is.
WHEN = re.compile(rf"(?:(?:since )?(?:(?:\d{{1,2}} )?{MONTH} )?\d{{4}}(?: est\.?)?|est\.?)")
_RANK = re.compile(r"(?:co-)?official|national|official and national|landlocked", re.IGNORECASE)
MINUS = re.compile(r"[-–−]\s*$")
_STOP = re.compile(r"\.(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Field:
    """A labelled value: "Languages: Dutch (official), French".

    Attributes:
        text: the passage.
        label: the words before the colon that tell something.
        items: what the value lists, up to a full stop or the next label.
    """

    text: str
    label: list[str]
    items: list[Item]


def field_at(text: str, span: tuple[int, int]) -> Field | None:
    """Return the labelled value that a span is in; None where it is in none."""
    labels = [found for found in _LABEL.finditer(text) if found.end() <= span[0]]
    if not labels or TURNED.search(labels[-1][1]):
        return None
    start = labels[-1].end()
    following = _LABEL.search(text, start)
    end = following.start() if following else len(text)
    if stop := _STOP.search(text, start, end):
        end = stop.end()
    return Field(text, telling(labels[-1][1]), items(text, start, end)) if span[1] <= end else None


def parts_of(note: str) -> list[str]:
    """Return what a note says, each by itself."""
    return [part.strip() for part in re.split(r"[;,](?!\d{3})", note)]


def changes_nothing(part: str, name: str = "") -> bool:
    """Return whether a part of a note is a date, a rank, an amount or the short form of a name.

    >>> [changes_nothing(note, "euros") for note in ("2020 est.", "5 km", "EUR", "suspended")]
    [True, True, True, False]
    """
    if WHEN.fullmatch(part) or _RANK.fullmatch(part):
        return True
    if found := re.fullmatch(QUANTITY, part, re.IGNORECASE):
        return bool(found[3])
    letters = iter(name.upper())
    return re.fullmatch(r"[A-Z]{3,4}", part) is not None and all(c in letters for c in part)


def is_plain(asked: list[str], field: Field, item: Item) -> bool:
    """Return whether the notes of an item change nothing, or are what the question asks about."""
    whole, name = field.text[slice(*item.whole)], field.text[slice(*item.name)]
    notes = [part for note in BRACKETS.findall(whole) for part in parts_of(note)]
    return not QUALIFIED.search(whole) and all(
        changes_nothing(note, name) or same_words(telling(note), _shared(telling(note), asked))
        for note in notes
    )


def _shared(words: list[str], others: list[str]) -> list[str]:
    return without(words, without(words, others))
