"""Which of several values in one sentence is of what a question names. Pure functions.

What does a lion cost?          A mouse costs 10 euros, a rat 60, a [lion] 900.         900
When can I check in?            [Check-in] from 3 p.m., check-out until 11 a.m.         3 p.m.
What is a single room?          Double room 124 euros.                                  nothing
Who won it in 2022?             In 2024 it was Ann, in 2023 Bob, in [2022] Cy.          Cy
How many a minute in colour?    12 a minute in black, 7 [in colour].                    7

Told apart are items that have no verb of their own: clauses may say anything of each other.
"""

import itertools
import re
from collections.abc import Sequence
from functools import lru_cache

from generator.sentences import sentences
from generator.values.items import Range
from generator.values.quantities import UNIT
from generator.values.wording import alike, telling, without

_BETWEEN = re.compile(r"(?<!\d),|,(?!\d)|;|\s(?:and|but)(?=\s)(?!\s+an?\s+(?:half|quarter)\b)")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|must|will|do|does|did|\w{3,}ed)\b", re.IGNORECASE
)
_RANGE = re.compile(r"\bbetween\s[^,;]*\Z", re.IGNORECASE)
_REMARK = re.compile(r"\s*(?:which|who|whose|where|that)\b")
_ITEM_WORDS, _FIRST_WORDS, _LONGEST_ITEM = 8, 5, 12
# What an amount is for: "110 minutes for the lamp", "35 a day"; and on what condition.
_BY = r"\b(?:for|in|on|with|at|by|per|an?(?!\s+(?:half|quarter)\b)|each|every)\s"
_TAIL = re.compile(rf"(?P<by>{_BY})\s*(?P<what>(?:(?!{_BY})[^,;()])+)", re.IGNORECASE)
# "A gold card with 7 %".
_HEAD = re.compile(
    r"\ban?\s+(?P<what>(?:[^\W\d][\w-]*\s+){1,3})(?:with|at|for|from)\s+[£$€]?\d", re.IGNORECASE
)
# "35 stalls, in winter 20": of the same.
_WHEN_ALONE = re.compile(
    r"\s*(?:and\s+|but\s+)?(?:in|on|at|during)\s+(?P<when>(?:the\s+)?[a-z]+)\s+(?:only\s+)?\d[\d.,]*\W*",
    re.IGNORECASE,
)
_MANY = re.compile(r"\bhow\s+(?:many|much)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\s(?:if|when|unless|where|provided|as\s+long\s+as)\s.*", re.IGNORECASE)
# "180 a week", "from 50 years of age 30 days".
_KEY_ALONE = re.compile(r"\d\d|(?:hour|day|night|week|month|year)s?", re.IGNORECASE)
# "40 Nm", "35 Nm": a unit that no table has.
_UNIT_WORD = re.compile(r"(?<=\d)\s+[A-Za-z°%/²³]{1,3}(?=\s|$)")
# What is said of any amount.
_MEASURES = re.compile(
    rf"\b(?:{UNIT}|euros?|dollars?|pounds?|cents?|about|over|nearly|each|per|only|free|until|till|noon|"
    r"of\s+age|price|[ap]\.?m)\b|[%€$£]",
    re.IGNORECASE,
)
_BUT = re.compile(r"\b(?:with?out|besides|except|apart|other\s+than|not|non)\b", re.IGNORECASE)
_YEAR = r"(?:1\d|20)\d\d"
_ASKED_YEAR = re.compile(rf"(?<![\d.,]){_YEAR}(?![\d%]|[.,]\d|s\b)")
_OF_YEAR = re.compile(rf"\s*(?:(?:and|but)\s+)?(?:in|by|for)?\s*({_YEAR})\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half)\b", re.IGNORECASE
)
_NOTE = re.compile(r"\([^()]*\)?")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:\s+(?:(?:de|of|van|von|la)\s+)*[A-Z][\w'’-]+)*")
_AMOUNT = re.compile(r"(?<![\d.,])\d[\d.,]*(?<=\d)(?:\s+(?:thousand|million|billion))?")
_COMPOUND = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")
# North Macedonia is no side of anything.
_SIDE = r"(?=\s+(?:hemisphere|part|half|coast|side|end|pole)\b|\W*$)"
# Of these a thing is one, and not the other.
_OPPOSITES = [
    re.compile(rf"\b(?:{'|'.join(f'(?P<_{n}>{w})' for n, w in enumerate(kinds))})\b", re.IGNORECASE)
    for kinds in (
        ("single", "double|twin", "triple", "family"),
        ("adults?|grown-ups?", "child(?:ren)?|kids?"),
        ("small(?:est)?", "large(?:st)?|big(?:gest)?"),
        ("spring", "summer", "autumn", "winter"),
        ("males?|men|boys?", "females?|women|girls?"),
        ("first", "second", "third"),
        (f"north(?:ern)?{_SIDE}", f"south(?:ern)?{_SIDE}"),
        (f"east(?:ern)?{_SIDE}", f"west(?:ern)?{_SIDE}"),
        ("trains?", "bus(?:es)?", "cars?", "bicycles?|bikes?", "ferry|ferries|boats?", "planes?"),
    )
]
# "Clockwise in the south": of which of them it is said.
_SAID_OF = re.compile(r"\s+(?:in|on|for|of|during|among)\s+((?:the\s+)?(?:\w+\s*){1,2})")
_WITH = re.compile(
    r"\bwith(?P<without>out)?\s+(?:(?:the|an?|its|any|no)\s+)?(?P<what>[^\W\d]+)", re.IGNORECASE
)
_ORDINAL = re.compile(r"\b(?:second|third|fourth|fifth)\b", re.IGNORECASE)
_JOINS = re.compile(r"\s*(?:,\s*)?(?:and\s+)?", re.IGNORECASE)
# "First climbed" is no first of several.
_HOW = re.compile(
    r"\bhow\s+\w+|\bfirst(?=\s+(?:\w+ed|built|seen|held|made|sold|won|shown|flown|found|known|"
    r"written|sung|met|open)\b|\W*$)",
    re.IGNORECASE,
)


def of_another(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a range of a text is a value of something else than a question names.

    >>> text = "A mouse costs 10 euros a year, a rat 60 and a lion 900."
    >>> asked = "How much does a lion cost?"
    >>> [of_another(asked, text, text.index(n), text.index(n) + 2) for n in ("10", "60", "90")]
    [True, True, False]
    """
    if not _one_of_opposites(question) and not _NUMBER.search(text, start, end):
        return False
    begin, stop = next((a, b) for a, b in sentences(text) if a <= start < b)
    parts = _parts(text, begin, stop)
    own = next((n for n, (a, b) in enumerate(parts) if a <= start and end <= b), None)
    if own is None:
        return False
    # A label goes for all that follows: "By bus: it takes an hour".
    label = text[begin : parts[0][0]]
    if _opposite(question, text[parts[own][0] : start]) or _opposite(question, label):
        return True
    if _lacks(question, text[parts[own][0] : start]):
        return True
    if len(parts) < 2:
        return False
    said_of = _SAID_OF.match(text, end, parts[own][1])
    if said_of and _opposite(question, said_of[1]):
        return True
    return _has_no_key(question, text, parts, own, (start, end)) or _for_another(
        question, text, parts, own, (start, end)
    )


def of_the_year(question: str, text: str, span: Range) -> Range:
    """Return the value beside the year of a question, where a span stands beside another year.

    >>> text = "In 2024 it was Ann Doe, in 2023 Bob Roe, in 2022, at last, a dog: Rex."
    >>> for year in (2023, 2022, 2021):
    ...     start, end = of_the_year(f"Who won it in {year}?", text, (15, 22))
    ...     print(text[start:end])
    Bob Roe
    Rex
    Ann Doe
    """
    asked = _ASKED_YEAR.findall(question)
    begin, stop = next((a, b) for a, b in sentences(text) if a <= span[0] < b)
    led = [
        (year.end(), year[1])
        for a, b in _parts(text, begin, stop)
        if (year := _OF_YEAR.match(text, a, b))
    ]
    if len(asked) != 1 or len(led) < 2 or [year for _, year in led].count(asked[0]) != 1:
        return span
    before = [year for at, year in led if at <= span[0]]
    if not before or before[-1] == asked[0]:
        return span
    at = [year for _, year in led].index(asked[0])
    end = led[at + 1][0] - 4 if at + 1 < len(led) else stop
    form = _AMOUNT if _NUMBER.search(text[slice(*span)]) else _NAME
    found = list(form.finditer(text, led[at][0], end))
    if form is _NAME and len(found) > 1:  # "Ann Roe and Bob Lee together"
        between = [text[a.end() : b.start()] for a, b in itertools.pairwise(found)]
        if all(_JOINS.fullmatch(words) for words in between):
            return found[0].start(), found[-1].end()
    return found[0].span() if len(found) == 1 else span


def _parts(text: str, begin: int, stop: int) -> list[Range]:
    """Return the ranges between commas, semicolons and "and", without a label before them."""
    places = [begin]
    ends = []
    for found in _BETWEEN.finditer(text, begin, stop):
        if _RANGE.search(text, places[-1], found.start()) or _REMARK.match(text, found.end()):
            continue
        ends.append(found.start())
        places.append(found.end())
    parts = list(zip(places, [*ends, stop], strict=True))
    label = text.find(": ", *parts[0])
    if label >= 0:
        parts[0] = label + 1, parts[0][1]
    return parts


def _opposite(question: str, before: str) -> bool:
    """Return whether the words before a value are the opposite of one of a question's.

    >>> [_opposite(q, "Double room from") for q in ("a single room?", "a double room?")]
    [True, False]
    """
    near = " ".join(before.split()[-4:])
    for kinds, asked in _one_of_opposites(question):
        said = {found.lastgroup for found in kinds.finditer(near)}
        if said and not asked & said:
            return True
    return False


def _lacks(question: str, before: str) -> bool:
    """Return whether what stands before a value is without what a question has, or with it.

    >>> [_lacks(f"How long does it keep {q}?", "Without cream") for q in ("with cream", "cold")]
    [True, False]
    """
    asked, said = (
        {found["what"].casefold(): found["without"] for found in _WITH.finditer(words)}
        for words in (question, before)
    )
    return any(asked[it] != said[it] for it in asked.keys() & said.keys())


@lru_cache(maxsize=256)
def _one_of_opposites(question: str) -> list[tuple[re.Pattern[str], set[str | None]]]:
    """Return the opposites of which a question names some, and which."""
    bare = _HOW.sub(" ", question)
    named = [(kinds, {found.lastgroup for found in kinds.finditer(bare)}) for kinds in _OPPOSITES]
    return [(kinds, asked) for kinds, asked in named if asked]


def _has_no_key(question: str, text: str, parts: Sequence[Range], own: int, span: Range) -> bool:
    """Return whether a word of the question stands in another item with a value, and none here."""
    if not _NUMBER.search(text, *span) or (own and _VERB.search(text, *parts[own])):
        return False
    # Behind a label there is no subject.
    unlabelled = any(a == parts[0][0] for a, _ in sentences(text))
    others = [
        n
        for n, part in enumerate(parts)
        if n != own and _is_short(text, part, first=n == 0 and unlabelled)
    ]
    if not others or _BUT.search(question):
        return False
    words = [_words(text[a:b]) for a, b in parts]
    asked = _words(question) | {w for w in itertools.chain(*words) if _says(question, w)}
    shared = [{w for w in asked if _among(w, has)} for has in words]
    keys = [
        has.difference(*(other for n, other in enumerate(shared) if n != at))
        for at, has in enumerate(shared)
    ]
    # What stands before the value in the first item may be said of all: "Bruno weighs".
    behind = _words(text[span[1] : parts[own][1]])
    if any(own or _among(word, behind) for word in keys[own]):
        return False
    return any(keys[n] and _is_value(text[slice(*parts[n])], asked, keys[n]) for n in others)


def _for_another(question: str, text: str, parts: Sequence[Range], own: int, span: Range) -> bool:
    """Return whether an amount is for something else, and another of its kind for what is asked.

    >>> text = "It takes 9 minutes for the lamp and two and a half hours for the oven."
    >>> parts = _parts(text, 0, len(text))
    >>> [_for_another(f"The {it}?", text, parts, 0, (9, 18)) for it in ("oven", "lamp")]
    [True, False]
    """
    if not _NUMBER.search(text, *span):
        return False
    tails, asked = _tails(text, span, parts[own][1]), _words(question)
    head = _HEAD.search(text, parts[own][0], span[1])
    own_words = set(telling(text[slice(*parts[own])]))
    for n, part in enumerate(parts):
        number = _NUMBER.search(text, *part)
        if n == own or number is None:
            continue
        if head and (other := _HEAD.search(text, *part)) and _named(asked, head, other):
            return True
        if (n and _VERB.search(text, *part)) or len(text[slice(*part)].split()) > _LONGEST_ITEM:
            continue
        if _is_of_ordinal(question, text[slice(*parts[own])], text[slice(*part)]):
            return True
        when = telling(found["when"]) if (found := _WHEN_ALONE.fullmatch(text, *part)) else []
        if when and _MANY.search(question) and all(_among(word, asked) for word in when):
            return not any(_among(word, own_words) for word in when)
        others = _tails(text, number.span(), part[1])
        if any(_named(asked, tails[by], others[by]) for by in tails.keys() & others.keys()):
            return True
    return False


def _is_of_ordinal(question: str, own: str, other: str) -> bool:
    """Return whether another amount is of the one of a row that a question names: "second".

    >>> [_is_of_ordinal(f"What does the {n} cost?", "It costs 3", "for the second 2")
    ...     for n in ("second child", "third child")]
    [True, False]
    """
    asked, said = (
        {word.casefold() for word in _ORDINAL.findall(words)} for words in (question, other)
    )
    return len(asked) == 1 and asked == said and not _ORDINAL.search(own)


def _named(asked: set[str], one: re.Match[str], two: re.Match[str]) -> bool:
    """Return whether a question names what the second of two amounts is for, and not the first."""
    first, second = (telling(_CONDITION.sub("", found["what"])) for found in (one, two))
    if len(second) < len(first):  # "in the first year, 930 in the second"
        first = first[: len(second)]
    own, others = without(first, second), without(second, first)
    return any(_among(word, asked) for word in others) and not any(
        _among(word, asked) for word in own
    )


def _tails(text: str, number: Range, end: int) -> dict[str, re.Match[str]]:
    """Return what stands behind an amount, by the preposition.

    >>> {by: tail["what"] for by, tail in _tails("12 pages a minute in black", (0, 2), 26).items()}
    {'a': 'minute ', 'in': 'black'}
    """
    found = _TAIL.finditer(text, number[1], end)
    return {tail["by"].strip().casefold(): tail for tail in found}


def _is_short(text: str, part: Range, *, first: bool) -> bool:
    """Return whether an item is a few words with a number and without a verb."""
    few = _FIRST_WORDS if first else _ITEM_WORDS
    return (
        _NUMBER.search(text, *part) is not None
        and _VERB.search(text, *part) is None
        and len(_CONDITION.sub("", _NOTE.sub(" ", text[slice(*part)])).split()) <= few
    )


def _is_value(item: str, asked: set[str], key: set[str]) -> bool:
    """Return whether an item is a number and no more than what a question names.

    Args:
        item: one of several.
        asked: the words of the question.
        key: those that no other item has.
    """
    item = _UNIT_WORD.sub(" ", _CONDITION.sub("", _NOTE.sub(" ", item)))
    named = [
        word
        for word in telling(_MEASURES.sub(" ", item))
        if not (word[0].isdigit() or word == "half")
    ]
    left = " ".join(w for w in item.split() if not _among(w.strip(".,;:()\"'").casefold(), asked))
    if not named and not any(map(_KEY_ALONE.fullmatch, key)):
        return False
    return all(_among(word, asked) for word in named) and _NUMBER.search(left) is not None


def _words(text: str) -> set[str]:
    return {*telling(text), *(word.casefold() for word in _COMPOUND.findall(text))}


def _says(question: str, word: str) -> bool:
    """Return whether a question has a word with a hyphen as two: "check in"."""
    return "-" in word and re.search(word.replace("-", "[- ]?"), question, re.I) is not None


def _among(word: str, others: set[str]) -> bool:
    return any(alike(word, other) for other in others)
