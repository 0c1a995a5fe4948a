"""Which words can be what a question asks for, by their form. Pure functions.

How long is the coast, in km?       6,435 km, and not 756,102 sq km
How long does one orbit take?       29.45 years, and not 9.59 AU
Where does the government sit?      Ankara, and not President Recep Tayyip ERDOGAN

Only what surely is something else is told apart: words without a unit may be anything, and so may
shares and speeds.
"""

import re
from collections.abc import Sequence

from generator.values.food import asks_food, tells_food
from generator.values.quantities import UNIT, quantities, unit_of

_DIMENSIONS = {
    **dict.fromkeys(("m", "km", "cm", "mm", "ft", "mi", "AU"), "length"),
    **dict.fromkeys(("kg", "g", "lb", "t"), "mass"),
    **dict.fromkeys(("year", "month", "week", "day", "hour", "minute"), "time"),
    **dict.fromkeys(("sq km", "sq mi"), "area"),
}
# "In km", "how many kilometres": the unit that is wanted. "Square km" has other spellings.
_UNIT_WANTED = re.compile(rf"\b(?:in|how many)\s+({UNIT})(?![\w/²^])(?!\s+squared)", re.IGNORECASE)
_SQUARE = re.compile(r"\bsq\w*|²|\^2|\b(?:area|surface|size|big|large)\b", re.IGNORECASE)
_ASKED = {
    "length": r"how\s+(?:tall|high|wide|deep|far)\b",
    "mass": r"how\s+heavy\b|how\s+much\b.*\bweighs?\b",
    "time": r"how\s+old\b|how\s+long\b.*\b(?:(?:take|last|live|survive|hold|stay|sleep|keep)s?|"
    r"been|pregnant)\b",
    "people": r"how\s+many\s+(?:people|inhabitants|residents|citizens)\b|headcount\b",
}
_MEASURED = {name: re.compile(rf"\b(?:{how})", re.IGNORECASE) for name, how in _ASKED.items()}
_PERSON = re.compile(
    r"(?:(?:vice|deputy|acting|interim|prime)\s+)*"
    r"(?:president|minister|premier|chancellor|governor(?: general)?|administrator)\s+"
    r"(?:of\s+(?:\w+\s+)+)?(?=(?-i:[A-Z]))",
    re.IGNORECASE,
)
_NO_PERSON = re.compile(
    r"\b(?:where|when|how (?:many|much)|population|inhabitants|headcount)\b", re.IGNORECASE
)
_PERSON_ASKED = re.compile(r"\bwho(?:['’]?s|m|se)?\b|\bname\b", re.IGNORECASE)


def meant(question: str, text: str, places: Sequence[tuple[int, int]]) -> list[bool]:
    """Return for ranges of a text whether a question can mean them.

    To what an animal eats these are the ones of which the text says so, where there are any.

    Args:
        question: that the text may answer.
        text: a passage.
        places: ranges of its characters.
    """
    can = [can_answer(question, text[start:end]) for start, end in places]
    if asks_food(question):
        told = [tells_food(text, start, end) for start, end in places]
        return told if any(told) else can
    return can


def can_answer(question: str, words: str) -> bool:
    """Return whether words can be what a question asks for; True wherever that is not plain.

    >>> asked = "How long does it take to go around the Sun?"
    >>> [can_answer(asked, said) for said in ("29.45 years", "9.59 AU", "very long")]
    [True, False, True]
    >>> asked = "Where is the seat of government?"
    >>> [can_answer(asked, said) for said in ("Paris", "President Emmanuel MACRON")]
    [True, False]
    """
    if _PERSON.match(words) and _NO_PERSON.search(question):
        return _PERSON_ASKED.search(question) is not None
    if (wanted := _dimension(question)) is None:
        return True
    found = {_DIMENSIONS[size.unit] for size in quantities(words) if size.unit in _DIMENSIONS}
    return not found or wanted in found


def _dimension(question: str) -> str | None:
    """Return what a question wants measured or counted; None where that is not plain."""
    if unit := _UNIT_WANTED.search(question):
        dimension = _DIMENSIONS.get(unit_of(unit[1]))
        return None if dimension == "length" and _SQUARE.search(question) else dimension
    asked = [name for name, how in _MEASURED.items() if how.search(question)]
    return asked[0] if len(asked) == 1 else None
