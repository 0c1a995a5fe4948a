"""How big, heavy, fast, long or old: whether words can be such a measure. Pure functions.

How long is the coast, in km?       6,435 km, and not 756,102 sq km
How big is the garden?              2 hectares, and not 30 km/h
How heavy is a goose?               6 kg, and not 1.5 hectares, nor 4 of "Number of birds: 4"
How wide is it?                     30 cm, and not 45 cm of "45 cm long"
How many calories has a slice?      390 kcal, and not 8 of "8 slices"
"""

import re

from generator.sentences import sentence
from generator.values.quantities import (
    AMOUNT_WORDS,
    CARDINAL,
    MONTH,
    SCALES,
    UNIT,
    quantities,
    unit_of,
)

_DIMENSIONS = {
    **dict.fromkeys(("m", "km", "cm", "mm", "ft", "mi", "yd", "inch", "AU"), "length"),
    **dict.fromkeys(("kg", "g", "mg", "µg", "lb", "t", "ton"), "mass"),
    **dict.fromkeys(("year", "month", "week", "day", "hour", "minute", "second"), "time"),
    **dict.fromkeys(("sq km", "sq mi", "sq m", "ha", "acre"), "area"),
    **dict.fromkeys(("km/h", "mph", "knot"), "speed"),
    **dict.fromkeys(("kcal", "kJ"), "energy"),
}
# "In km", "how many kilometres": the unit that is wanted. "Square km" has other spellings.
_UNIT_WANTED = re.compile(rf"\b(?:in|how many)\s+({UNIT})(?![\w/²^])(?!\s+squared)", re.IGNORECASE)
_SQUARE = re.compile(r"\bsq\w*|²|\^2|\b(?:area|surface|size|big|large)\b", re.IGNORECASE)
_ASKED = {
    "length": r"how\s+(?:tall|high|wide|deep|far(?!\s+(?:ahead|in\s+advance|away)))\b",
    "mass": r"how\s+heavy\b|how\s+much\b.*\bweighs?\b|"
    r"what(?:['’]s|\s+is)\s+(?:the|its|their)\s+weight\b",
    "time": r"how\s+old\b|how\s+long\b.*\b(?:(?:take|last|live|survive|hold|stay|sleep|keep)s?|"
    r"been|pregnant)\b",
    "speed": r"how\s+fast\s+(?:is|was|are|were)\s+(?:\w+\s*){1,2}\W*$|how\s+fast\s+"
    r"(?:can|could|do|does|did|may|will)\s+(?:\w+\s+){1,3}(?:go|ride|fly|drive|run|travel|move|swim|sail|fall|spin)\b|"
    r"(?:top|maximum|highest)\s+speed\b",
    "energy": r"how\s+many\s+(?:calories|k?cals?|(?:kilo)?joules|kj)\b",
    "heads": r"how\s+many\s+(?:people|inhabitants|residents|citizens)\b|headcount\b|"
    r"how\s+many\b.*\b(?:left|remain|survive|alive|in\s+the\s+wild)\b",
}
_MEASURED = {name: re.compile(rf"\b(?:{how})", re.IGNORECASE) for name, how in _ASKED.items()}
_EXTENT_ASKED = re.compile(
    r"\bhow\s+(?:long\s+(?:is|are)|tall|high|wide|deep|heavy|fast|big)\b", re.I
)
_SIZE_ASKED = re.compile(r"\bhow\s+(?:big|large|small|tall|high|wide|heavy|deep)\b", re.IGNORECASE)
_AGE_ASKED = re.compile(r"^(?!.*\b(?:which|what)\b).*\bhow\s+old\s+(?:is|are|was|were)\b", re.I)
# What is high or low without being anywhere: "How high is the fee?" wants no metres.
_NO_SPACE_ASKED = re.compile(
    r"\bhow\s+(?:high|tall|low|big|large|small|deep)\s+(?:(?:is|are|was|were|an?|the|its|their)\s+){1,2}"
    r"(?:(?!(?:of|in|on|at|with|for|by)\b)[\w'’-]+\s+){0,4}?(?:expectanc|speed|limit|temperature|fever|rate|price|"
    r"cost|fee|fare|fine|tax|toll|rent|wage|salar|income|budget|debt|revenue|profit|sum|share|number|"
    r"population|percentage|risk|chance|probabilit|demand|pressure|voltage|pulse|age|score|turnover)"
    r"(?:s|es|y|ies)?\b",
    re.IGNORECASE,
)
# How the two ends of a thing lie: "45 cm long" is not how wide it is.
_WAY = {
    "tall": "high",
    "broad": "wide",
    "length": "long",
    "height": "high",
    "width": "wide",
    "depth": "deep",
}
_WAY_ASKED = re.compile(r"\bhow\s+(long|tall|high|wide|broad|deep|thick)\b", re.IGNORECASE)
_WAY_SAID = re.compile(
    r"\s+(?:in\s+)?(long|tall|high|wide|broad|deep|thick|length|height|width|depth|"
    r"away|apart)\b",
    re.IGNORECASE,
)
_WAY_LABEL = re.compile(r"\b(length|height|width|depth)(?:\s+of)?\W{0,2}\Z", re.IGNORECASE)
# Of what is poured, and not of rain: that is measured by how deep it is.
_POURED_ASKED = re.compile(
    r"^(?!.*\b(?:rain|snow|falls?)\b).*\bhow\s+much\s+(?:water|milk|oil|wine|beer|juice|"
    r"gas|air|sand)\s+(?:(?:is|are|was|were)\s+(?:there\s+)?in|does|do|did|can|could)\b",
    re.IGNORECASE,
)
_TALL = re.compile(r"\bhow\s+tall\b", re.IGNORECASE)
_HIGH = re.compile(r"\s*\b(?:in\s+)?(?:high|tall|height|above)\b", re.IGNORECASE)
# "Ten minutes on foot" is how far a thing is from another.
_WALKED = re.compile(r"\bhow\s+far\s+(?:is|are|was|were)\b", re.IGNORECASE)
_KM = frozenset(("km", "mi"))
# What says that a number without a unit is of a kind that is measured.
_SAYS = {
    "mass": re.compile(r"\bweigh|\bheav|\bmass\b|\bbody", re.IGNORECASE),
    "length": re.compile(
        r"\b(?:high|height|tall|long|length|lengthy|wide|width|deep|depth|far|distance|elevation|altitude|measur\w+|"
        r"grow\w*|span\w*|across|reach\w*|diameter|size)\b",
        re.IGNORECASE,
    ),
    "energy": re.compile(r"\b(?:(?:kilo)?(?:calor|joule)\w*|energy|k?cals?|kj)\b", re.IGNORECASE),
    "speed": re.compile(r"\b(?:fast\w*|speeds?|runs?|fl(?:y|ies)|per|an)\b|/", re.IGNORECASE),
}
_BARE_SIZE = re.compile(r"\bhow\s+(?:big|large|small)\b", re.IGNORECASE)
_FRACTION = re.compile(r"\d+\.\d+")
_SPELT_TIME = re.compile(
    rf"\b(?:{'|'.join(AMOUNT_WORDS)})[\s-]+(?:second|minute|hour|day|week|month|year)s?\b",
    re.IGNORECASE,
)
# "Once a year" is no extent.
_OFTEN = re.compile(r"\b(?:once|twice)\s+(?:an?|per|every)\b", re.IGNORECASE)
# "6,812 missions" is none either: what is counted follows.
_NUMBER_ALONE = re.compile(r"\d[\d.,]*")
_COUNTED = re.compile(
    rf"\s+(?!(?:{UNIT}|to|and|or|by|in|per|x|{'|'.join(SCALES)}|cubic|square|light|nautical)\b)"
    r"[a-z]{2,}",
    re.IGNORECASE,
)
_CARDINAL = re.compile(CARDINAL, re.IGNORECASE)
_UNIT_FOLLOWS = re.compile(
    rf"[\s-]*(?:to|or|and|by|x|–|-)?\s*[\d.,]*\s*(?:{UNIT}|{'|'.join(SCALES)}|%)\b", re.I
)
_THINGS = re.compile(r"\s+[a-z]+[^su\W]s\b")
_RATE = re.compile(r"\b(?:per|an?|each|every|in)\b|/", re.IGNORECASE)
_MONEY_ALONE = re.compile(r"[$£€¥]|\b(?:euros?|dollars?|cents?|francs?)\b", re.IGNORECASE)
_DATE = re.compile(rf"\b\d{{1,2}}\s+{MONTH}|{MONTH}\s+\d", re.IGNORECASE)


def asks_size(question: str) -> bool:
    """Return whether a question asks how big, high or heavy something is that is in space."""
    return _SIZE_ASKED.search(question) is not None and not _NO_SPACE_ASKED.search(question)


def asks_age(question: str) -> bool:
    """Return whether a question asks how old something is, or was."""
    return _AGE_ASKED.search(question) is not None


def can_measure(question: str, words: str) -> bool:
    """Return whether words can be the measure that a question asks for, if it asks for one.

    >>> [can_measure("How big is it?", said) for said in ("2 hectares", "30 km/h", "3 euros", "38")]
    [True, False, False, True]
    """
    if _NO_SPACE_ASKED.search(question):
        return True
    sizes = quantities(words)
    found = {_DIMENSIONS[size.unit] for size in sizes if size.unit in _DIMENSIONS}
    if _SPELT_TIME.search(words):
        found.add("time")
    if asks_size(question) and found and found <= {"time", "speed"}:
        return False
    if found == {"length"} and _POURED_ASKED.search(question):
        return False
    if _EXTENT_ASKED.search(question) and any(
        no.search(words) for no in (_DATE, _OFTEN, _MONEY_ALONE)
    ):
        return False
    if _BARE_SIZE.search(question) and _FRACTION.fullmatch(words):
        return False
    wanted = dimension(question)
    if wanted == "speed" and _RATE.search(words):
        return True
    if found == {"time"} and _WALKED.search(question):
        return True
    return wanted is None or not found or wanted in found


def measures_another(question: str, text: str, start: int, end: int) -> bool:
    """Return whether what stands around a range of a text makes it no measure that is asked for.

    >>> text = "It flew 6,812 missions, is 9 m wide and reaches 210 km/h."
    >>> [measures_another(q, text, *at) for q, at in (
    ...     ("How fast is it?", (8, 13)), ("How long is it?", (27, 30)), ("How wide?", (27, 30)))]
    [True, True, False]
    """
    if _another_way(question, text, start, end) or _too_far(question, text, start, end):
        return True
    wanted = dimension(question)
    counts = _NUMBER_ALONE.fullmatch(text, start, end) and _COUNTED.match(text, end)
    if wanted not in _SAYS:
        return bool(counts and asks_age(question) and _THINGS.match(text, end))
    if counts:
        return not (wanted == "energy" and _SAYS[wanted].search(counts[0]))
    if not _CARDINAL.fullmatch(text, start, end) or unit_follows(text, end):
        return False
    return _SAYS[wanted].search(sentence(text, (start, end))) is None


def _too_far(question: str, text: str, start: int, end: int) -> bool:
    """Return whether kilometres are no height, or a time to go is no way where the text has one.

    >>> text = "It lies 12 km from Oz, is 22 km high and an hour from Ys."
    >>> [_too_far("How tall is it?", text, *at) for at in ((8, 13), (26, 31))]
    [True, False]
    >>> [_too_far("How far is Ys?", said, 0, 7) for said in ("2 hours from Ys", "2 hours: 7 km")]
    [False, True]
    """
    words = text[start:end]
    if _TALL.search(question) and any(size.unit in _KM for size in quantities(words)):
        return not (_HIGH.search(words) or _HIGH.match(text, end))
    if not _WALKED.search(question) or _lengths(words):
        return False
    return _takes_time(words) and _lengths(text)


def _lengths(words: str) -> bool:
    return any(_DIMENSIONS.get(size.unit) == "length" for size in quantities(words))


def _takes_time(words: str) -> bool:
    return _SPELT_TIME.search(words) is not None or any(
        _DIMENSIONS.get(size.unit) == "time" for size in quantities(words)
    )


def unit_follows(text: str, end: int) -> bool:
    """Return whether a unit stands behind a number in a text, or behind a range that it begins."""
    return _UNIT_FOLLOWS.match(text, end) is not None


def _another_way(question: str, text: str, start: int, end: int) -> bool:
    """Return whether the word beside an extent is of another than is asked: "45 cm long"."""
    asked = _WAY_ASKED.search(question)
    said = _WAY_SAID.match(text, end) or _WAY_LABEL.search(text, max(0, start - 20), start)
    if not asked or not said:
        return False
    one, other = (_WAY.get(found[1].casefold(), found[1].casefold()) for found in (asked, said))
    return one != other


def dimension(question: str) -> str | None:
    """Return what a question wants measured or counted; None where that is not plain."""
    if unit := _UNIT_WANTED.search(question):
        dimension = _DIMENSIONS.get(unit_of(unit[1]))
        return None if dimension == "length" and _SQUARE.search(question) else dimension
    if _NO_SPACE_ASKED.search(question):
        return None
    asked = [name for name, how in _MEASURED.items() if how.search(question)]
    return asked[0] if len(asked) == 1 else None


def dimension_of(words: str) -> str | None:
    """Return what words measure, where they have one unit: "390 g" is a mass."""
    found = {_DIMENSIONS.get(size.unit) for size in quantities(words)}
    return found.pop() if len(found) == 1 else None
