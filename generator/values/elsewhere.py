"""Whether a passage says elsewhere what a question asks for. Pure functions.

How long does it boil?      [with frozen berries] boil 5 minutes        not 5 minutes
How long does it keep?      [Keeps for] 3 days. Bake 45 minutes.        not 45 minutes
How much cream?             [100 ml of cream]. With cream 2 days.       not 2
What is the mincer?         90 euros. [The mincer (45 euros)]           not 90 euros
When was it found?          hit in 1941 and [found in 1987]             not 1941
Until when on Fridays?      [Fri 7-13]. In July on Wednesdays, 9-12.    not 9-12
How many guests has it?     112 [employees]                             not 112

A rule wants the words of the question beside another value, and none beside this one.
"""

import re

from generator.sentences import sentences
from generator.values.quantities import MONTH, UNIT
from generator.values.wording import telling, without

SPAN_OF_TIME = re.compile(r"\b(?:second|minute|hour|day|week|month|year)s?\b", re.IGNORECASE)
_REACH = 60  # characters before a span that are looked at
# Of people one is no other: employees are no customers. Teachers are employees, too.
_PEOPLE = tuple(
    re.compile(rf"\b(?:{kind})\b", re.IGNORECASE)
    for kind in (
        r"employees|staff|workers|apprentices|teachers|professors|lecturers",
        r"customers|clients|guests|visitors|tourists|shoppers|spectators|passengers|travellers",
        r"pupils|students|schoolchildren|apprentices",
        r"teachers|professors|lecturers",
        r"soldiers|troops",
        r"patients",
        r"prisoners|inmates",
    )
)
# And members are no boats, but may be whatever people are called.
_SOMEBODY = re.compile(
    r"\b(?:members|players|musicians|singers|employees|workers|apprentices|pupils|girls|boys)\b",
    re.IGNORECASE,
)
_MAYBE_SOMEBODY = re.compile(
    r"\b(?:\w+(?:ers|ors|ists|ees|ants|ents|ians|ans|men|folks?|kids|beings)|people|girls|boys|"
    r"children|babies|ones|adults|pupils|persons|souls|heads|lives|deaths|victims|families|"
    r"households|couples|pairs|teams|votes|names|places|seats|jobs|posts|states|countries|voices|hands|"
    r"monks|nuns|knights|guards|cooks|chefs|pilots|scouts|friends|recruits|guides|twins|clerks|nurses|"
    r"shepherds|males|females)\b",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(r"\bhow\s+many\s+(?P<of>\w+(?:\s+\w+)?)", re.IGNORECASE)
# "64 members, 19 of them": members too.
_OF_THEM = re.compile(r"\s+of\s+(?:them|whom|which)\b", re.IGNORECASE)
_COUNT_OF = re.compile(r"\d\s+(?P<of>\w+(?:\s+\w+)?)")
_THINGS = re.compile(r"(?:\w+\s+)?\w+[^su\W]s\b", re.IGNORECASE)
_SO_MANY = re.compile(r"\s+(?P<of>\w+(?:\s+\w+)?)")
# "200 g cold butter": so much of it is needed, wherever else there are amounts.
_MUCH_ASKED = re.compile(
    r"\bhow\s+much\s+(?P<of>(?!(?:is|are|was|were|do|does|did|can|will|has|have|had|of|more|less|time|money)\b)[a-z]{3,})"
    r"(?=\s+(?:(?:do|does|should|must|goes|go|to|for|in|needed)\b|is\s+(?:needed|in))|\W*$)",
    re.IGNORECASE,
)
# "The mincer (45 euros)": its price, wherever else there are prices.
_PRICE_OF = re.compile(
    r"\b(?:what\s+(?:do|does|did)|how\s+much\s+(?:is|are|do|does)|price\s+of)\s+(?:the|an?)\s+"
    r"(?P<of>[\w '’-]+?)"
    r"(?=\s+(?:for|of|in|on|with|costs?)\b|\W*$)",
    re.IGNORECASE,
)
# "It was hit in 1941; it was found in 1987": of two dates the one behind the question's verb.
_WHEN_DONE = re.compile(
    r"\b(?:when|(?:what|which)\s+year)\s+(?:was|were)\b.*\s(?P<done>\w{3,}(?:ed|nd|ilt|orn|ung|unk|old|ost|rnt|ade|ven|ken))\W*$",
    re.I,
)
_DATE = rf"(?:\d{{1,2}}\s+)?(?:{MONTH}\s+)?[12]\d{{3}}\b"
# "Mon to Thu 7.30-15.30, Fri 7.30-13.00": what is said of other days.
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:s|nes|rs|ur)?(?:days?)?\b")
_DAYS_TO = re.compile(rf"{_DAY.pattern}\s*(?:to|-|–)\s*{_DAY.pattern}")
# The sun is no Sunday, and nor did somebody sit on Saturday who sat.
_DAY_ASKED = re.compile(
    rf"\b(?:({'|'.join(_DAYS)})(?:s|nes|rs|ur)?days?|(?:on|until|till)\s+({'|'.join(_DAYS)})r?s?)\b",
    re.IGNORECASE,
)
# "3 g of yeast (or 1 g of dry yeast)": not the second, unless it is named.
_ALTERNATIVE = re.compile(r"\((?:or|fan|gas)\s[^()]*\Z", re.IGNORECASE)
_INSTEAD = re.compile(r"\b(?:or|instead|else|alternativ\w*|replace\w*)\b", re.IGNORECASE)
# "With frozen berries boil it 5 minutes": not without.
_CONDITION = re.compile(
    r"(?:with|without|if|for)\s+(?!(?:an?|the|its|their|about|around|approximately|nearly|over)\s|\d)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
# "How long does it keep?", beside "Keeps for 3 days".
_DOES = re.compile(
    r"\bhow\s+(?P<how>much|many|long)\b.*\b(?:do|does|can|will)\s+(?:it|they|this|these|(?:the|an?)\s+(?:\w+\s+)??\w+)\s+"
    r"(?P<does>\w{4,})\b",
    re.IGNORECASE,
)


def told_elsewhere(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a range of a text is of something else than asked, that stands elsewhere.

    >>> text = "Bake 45 minutes. Keeps for 3 days."
    >>> [told_elsewhere("How long does it keep?", text, *at) for at in ((5, 15), (27, 33))]
    [True, False]
    """
    if _DIGIT.search(text, start, end) and (
        _is_alternative(question, text, start) or _on_condition(question, text, start)
    ):
        return True
    return (
        _done_at_another_time(question, text, start)
        or _on_another_day(question, text, start, end)
        or _not_so_much(question, text, start)
        or _not_its_price(question, text, start)
        or _told_by_its_verb(question, text, start)
        or _of_other_people(question, text, start, end)
    )


def _of_other_people(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a number is of people of another kind than a question counts.

    >>> text = "The mill has 112 employees."
    >>> [_of_other_people(f"How many {who}?", text, 13, 16) for who in ("workers", "customers")]
    [False, True]
    """
    counted, said = _HOW_MANY.search(question), _SO_MANY.match(text, end)
    if counted is None or said is None or not _DIGIT.search(text, start, end):
        return False
    if _OF_THEM.match(text, end):
        begin = next(a for a, b in sentences(text) if a <= start < b)
        said = next(iter([*_COUNT_OF.finditer(text, begin, start)][-1:]), said)
    asked, has = (
        {n for n, kind in enumerate(_PEOPLE) if kind.search(found["of"])}
        for found in (counted, said)
    )
    if asked and has:
        return not asked <= has
    things = _THINGS.match(counted["of"]) and not _MAYBE_SOMEBODY.search(counted["of"])
    return bool(things) and _SOMEBODY.search(said["of"]) is not None


def _done_at_another_time(question: str, text: str, start: int) -> bool:
    """Return whether a sentence has a date behind the verb of a question, and a place elsewhere.

    >>> text = "It was hit in May 1941 and was found only in 1987."
    >>> [_done_at_another_time("When was it found?", text, at) for at in (14, 45)]
    [True, False]
    """
    asked = _WHEN_DONE.search(question)
    if asked is None:
        return False
    begin, end = next((a, b) for a, b in sentences(text) if a <= start < b)
    done = re.compile(
        rf"\b{asked['done']}\s+(?:only\s+|again\s+|there\s+)?(?:in|on)\s+{_DATE}", re.IGNORECASE
    )
    found = [each.span() for each in done.finditer(text, begin, end)]
    dated = re.compile(_DATE, re.IGNORECASE).match(text, start) is not None
    return dated and bool(found) and not any(a <= start < b for a, b in found)


def _on_another_day(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a time is in a sentence on other days, and a question's day in another.

    >>> text = "Mon to Thu 7-15, Fri 7-13. In July only on Wednesdays, 9-12."
    >>> [_on_another_day(f"Until when on {day}?", text, 55, 59) for day in ("Friday", "Sunday")]
    [True, False]
    """
    asked = {(found[1] or found[2]).casefold() for found in _DAY_ASKED.finditer(question)}
    timed = _DIGIT.search(text, start, end) or _DAY.search(text, start, end)
    if len(asked) != 1 or not timed or not asked & _days(text):
        return False
    begin, stop = next((a, b) for a, b in sentences(text) if a <= start < b)
    said = _days(text[begin:stop])
    return bool(said) and not asked & said


def _days(text: str) -> set[str]:
    """Return the days of the week that a text names, those between two as well."""
    said = {found[1].casefold() for found in _DAY.finditer(text)}
    for first, last in ((f[1].casefold(), f[2].casefold()) for f in _DAYS_TO.finditer(text)):
        a, b = _DAYS.index(first), _DAYS.index(last)
        said.update(_DAYS[a : b + 1] if a <= b else (*_DAYS[a:], *_DAYS[: b + 1]))
    return said


def _not_so_much(question: str, text: str, start: int) -> bool:
    """Return whether a text has an amount of what a question asks it of, and a place is elsewhere.

    >>> text = "100 ml of cream, 30 g butter. Without cream it keeps 4 days."
    >>> [_not_so_much("How much cream?", text, at) for at in (0, 17, 53)]
    [False, True, True]
    """
    asked = _MUCH_ASKED.search(question)
    if asked is None:
        return False
    much = re.compile(
        rf"\d[\d.,]*\s*(?:{UNIT})\s+(?:of\s+)?(?:[a-z]+\s+){{0,2}}?{asked['of']}\b", re.IGNORECASE
    )
    found = [each.span() for each in much.finditer(text)]
    return bool(found) and not any(a <= start < b for a, b in found)


def _not_its_price(question: str, text: str, start: int) -> bool:
    """Return whether a price in brackets follows what a question asks it of, elsewhere.

    >>> text = "The mill is 90 euros. The mincer (45 euros) is an extra."
    >>> [_not_its_price("What does the mincer cost?", text, at) for at in (12, 34)]
    [True, False]
    """
    asked = _PRICE_OF.search(question)
    if asked is None:
        return False
    priced = re.compile(
        rf"\b{re.escape(asked['of'])}(?:\s+[\w-]+)?\s+\([^()]*(?:[£$€]\s?\d|\d\s*(?:euro|pound|dollar))[^()]*\)",
        re.I,
    )
    found = [each.span() for each in priced.finditer(text)]
    return bool(found) and not any(a <= start < b for a, b in found)


def _is_alternative(question: str, text: str, start: int) -> bool:
    """Return whether a place is in a note on what else may be taken, that a question does not name.

    >>> text = "It needs 3 g of yeast (or 1 g of dry yeast)."
    >>> [_is_alternative(f"How much {what}?", text, 26) for what in ("yeast", "dry yeast")]
    [True, False]
    """
    note = _ALTERNATIVE.search(text, max(0, start - _REACH), start)
    if note is None or _INSTEAD.search(question):
        return False
    begin, end = next((a, b) for a, b in sentences(text) if a <= note.start() < b)
    close = text.find(")", start)
    own = without(
        telling(text[note.start() : close if close >= 0 else end]),
        telling(text[begin : note.start()]),
    )
    return len(without(own, telling(question))) == len(own)


def _on_condition(question: str, text: str, start: int) -> bool:
    """Return whether a place is in a sentence on a condition that a question does not name.

    Only where another sentence tells the same without one.

    >>> text = "Boil it for 4 minutes. With frozen berries boil it for 5."
    >>> [_on_condition(f"How long to boil {it}?", text, 55) for it in ("it", "frozen berries")]
    [True, False]
    """
    bounds = sentences(text)
    begin, end = next((a, b) for a, b in bounds if a <= start < b)
    condition = _CONDITION.match(text, begin)
    asked = telling(question)
    if condition is None or not asked:
        return False
    words = telling(text[condition.end() : end])
    first = next((n for n, word in enumerate(words) if not without([word], asked)), 0)
    if first == 0:
        return False
    shared = without(words, without(words, asked))
    return any(
        a != begin
        and not _CONDITION.match(text, a)
        and _DIGIT.search(text, a, b)
        and not without(shared, telling(text[a:b]))
        for a, b in bounds
    )


def _told_by_its_verb(question: str, text: str, start: int) -> bool:
    """Return whether a sentence begins with the verb of a question, and a place is in another.

    >>> text = "500 ml of milk. Makes 10 scoops."
    >>> [_told_by_its_verb("How much does it make?", text, at) for at in (0, 22)]
    [True, False]
    """
    asked = _DOES.search(question)
    if asked is None:
        return False
    says = re.compile(rf"(?:\A|(?<=[.;]\s)){asked['does']}(?:e?s)\b[^.;]*\d[^.;]*", re.IGNORECASE)
    found = [
        told
        for told in says.finditer(text)
        if asked["how"].casefold() != "long" or SPAN_OF_TIME.search(told[0])
    ]
    return bool(found) and not any(told.start() <= start < told.end() for told in found)
