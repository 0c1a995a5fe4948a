"""Which words can be what a question asks for, by their form. Pure functions.

How long is the coast, in km?       6,435 km, and not 756,102 sq km
How long does one orbit take?       29.45 years, and not 9.59 AU
Where does the government sit?      Ankara, and not President Recep Tayyip ERDOGAN
How many are left?                  about 1,800, and not 1.2 to 1.9 m

How many legs does it have?         four, and not three living species
Which species is it?                Asian elephant, and not three

How long is the night?              hours, and not Independence Day, 17 June (1944)
How much does it cost?              25 euros, and not two hours

Only what surely is something else is told apart: words without a unit may be anything, and so may
shares and speeds.
"""

import re
from collections.abc import Sequence

from generator.values.around import ruled_out
from generator.values.choice import choice, chooses
from generator.values.extents import (
    asks_age,
    asks_size,
    can_measure,
    dimension,
    measures_another,
    unit_follows,
)
from generator.values.fields import of_another_field
from generator.values.food import asks_food, food_from
from generator.values.kinds import other_kind, tells_time
from generator.values.parallel import of_another
from generator.values.quantities import AMOUNT_WORDS, MONTH
from generator.values.roles import other_role
from generator.values.wording import alike, telling

_PERSON = re.compile(
    r"(?:(?:vice|deputy|acting|interim|prime)\s+)*"
    r"(?:president|minister|premier|chancellor|governor(?: general)?|administrator)\s+"
    r"(?:of\s+(?:\w+\s+)+)?(?=(?-i:[A-Z]))|"
    # A monarch as the Factbook writes him: "King CHARLES III", and not King George Island.
    r"(?:king|queen|sultan|amir|emir|prince|princess)\s+(?=(?-i:[A-Z]{2}))",
    re.IGNORECASE,
)
_NO_PERSON = re.compile(
    r"\b(?:where|when|how (?:many|much)|population|inhabitants|headcount)\b", re.IGNORECASE
)
# Not of percents: a reader may point at the name before them.
_AMOUNT_ASKED = re.compile(
    r"(?<!\bby\s)\bhow\s+(?:many|much)\b(?!\s+(?:%|per\s*cent|is\s+left))|\bheadcount\b",
    re.IGNORECASE,
)
_AMOUNT = re.compile(rf"\d|\b(?:{'|'.join(AMOUNT_WORDS)})s?\b", re.IGNORECASE)
_HOW = re.compile(r"\bhow\s+(\w+)", re.IGNORECASE)
_DATE = re.compile(rf"\b\d{{1,2}}\s+{MONTH}|{MONTH}\s+\d", re.IGNORECASE)
# What there are several of, where something else is counted or measured.
_SORTS = r"(?:sub)?species|genera|breeds?|famil(?:y|ies)|orders|varieties|cultivars|kinds|types"
_SORTS_ASKED = re.compile(
    rf"\b(?:{_SORTS}|sorts|genus|members|animals|plants|ones|left|there)\b", re.IGNORECASE
)
_GROUP_ASKED = re.compile(
    r"\bhow\s+(?:big|large|small)\s+(?:is|was)\s+(?:the|this|that|its|their)\s+(?:\w+\s+){0,2}?"
    r"(?:family|genus|order|group|class|tribe|collection)\b",
    re.IGNORECASE,
)
# "13,800 of an estimated total of 22,000 species" are species, too.
_OF_SORTS = re.compile(
    rf"(?:\s+of(?:\s+\w+){{0,4}}?\s+\d[\d,]*)?(?:[\s,-]+\w+){{0,2}}?[\s,-]+(?:{_SORTS})\b",
    re.IGNORECASE,
)
_COUNTS_SORTS = re.compile(
    rf"\b(?:\d[\d,.]*|{'|'.join(AMOUNT_WORDS)}){_OF_SORTS.pattern}", re.IGNORECASE
)
_BARE_PRICE = re.compile(r"\d{1,4}[.,]\d\d")
# What the same house may have, and a count of one is no count of another.
_PARTS = (
    "rooms|bathrooms|beds|seats|tables|floors|storeys|stairs|windows|doors|towers|bells|lifts|"
    "stars|chimneys|pipes"
)
_PARTS_ASKED = re.compile(rf"\bhow\s+many\s+(?:\w+\s+)?({_PARTS})\b", re.IGNORECASE)
_OF_PARTS = re.compile(rf"\s+(?:\w+\s+)?({_PARTS})\b", re.IGNORECASE)
_BARE_NUMBER = re.compile(rf"[\W\d]*(?:(?:{'|'.join(AMOUNT_WORDS)})[\W\d]*)*", re.IGNORECASE)
# "Wood" is no answer to which wood.
_KIND_ASKED = re.compile(
    r"\b(?:which|what)\s+(\w+)\s+(?:is|are|was|were|do|does|did|has|have|had|can)\b", re.IGNORECASE
)
# Not in what one pays: "kwanza per US dollar"; nor from what age.
_PRICE_ASKED = re.compile(
    r"^(?!.*\b(?:units?|currenc(?:y|ies)|money|(?:what|which)\s+(?:age|time|year|month|day|date))\b)"
    r".*\b(?:how\s+much|what|which)\b.*\b(?:costs?|prices?|pay|paid|fees?)\b",
    re.IGNORECASE | re.DOTALL,
)
_COST_ASKED = re.compile(
    r"^(?!.*\bat\s+(?:\w+\s+)?cost)(?:.*\bwhat\s+(?:do|does|did)\s+(?:\w+\s+){1,6}costs?\b|.*\bhow\s+much\s+(?:do|does|did)\b.*\bcosts?\b)",
    re.IGNORECASE,
)
_HOW_MUCH_IS = re.compile(
    r"\bhow\s+much\s+(?:is|are|was|were)\b(?!.*\b(?:weigh|left|remain)\w*)",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"[$£€¥]|\b(?:pounds?|euros?|dollars?|pence|cents?|francs?|marks|crowns?|shillings?|guineas?|"
    r"guilders?|lir[ae]|yen|rupees?|pesos?|kron[ae]r?|r[ou]{1,2}bles?|yuan|free|nothing)\b",
    re.IGNORECASE,
)
_FREE = re.compile(r"\b(?:free|nothing)\b", re.IGNORECASE)
# Pounds that something was sold for are no weight.
_FOR_MONEY = re.compile(
    r"\b(?:for|cost|costs|costing|price|paid|pay|worth|fee|sold|bought)\s+(?:\w+\s+){0,2}$",
    re.IGNORECASE,
)
# Not pounds: those are money, too.
_NO_PRICE = re.compile(
    rf"(?:\w+\s+){{0,2}}?(?:\d[\d.,]*|{'|'.join(AMOUNT_WORDS)})\s*(?:an?\s+)?"
    r"(?:hours?|minutes?|days?|weeks?|months?|years?|tons?|tonnes?|pages?|members?|people|(?:kilo)?gram(?:me)?s?|k?g|kilos?|"
    r"(?:milli)?lit(?:re|er)s?|ml|(?:kilo|centi)?met(?:re|er)s?|[kc]?m)\W*",
    re.IGNORECASE,
)
# What joins words, and says nothing alone.
# Not a domain: ".is".
_JOINS = re.compile(
    r"(?!\W*\.\w)\W*(?:(?:at|of|in|on|to|for|from|by|with|until|till|than|per|as|and|or|is|are|was|were|has|have|"
    r"had|the|an?)\W*)+"
)
# Whose answer is no word of theirs: "high", "age".
_ASKS_ELSE = re.compile(
    r"^(?!.*\bor\b).*\b(?:how(?!\s+(?:many|much)\b)|when|where|(?:what|which)\s+(?:age|time|year|height|depth|weight|"
    r"speed|length|width|date|day|month))\b",
    re.IGNORECASE,
)
_PERSON_ASKED = re.compile(r"\bwho(?:['’]?s|m|se)?\b|\bname\b", re.IGNORECASE)


def meant(question: str, text: str, places: Sequence[tuple[int, int]]) -> list[bool]:
    """Return for ranges of a text whether a question can mean them.

    To what an animal eats these are the ones of which the text says so, where there are any, and
    to a choice of two those that name one.

    Args:
        question: that the text may answer.
        text: a passage.
        places: ranges of its characters, the likeliest first.
    """
    can = [
        can_answer(question, text[start:end])
        and not _of_sorts(question, text, start, end)
        and not _of_another_kind(question, text, start, end)
        and not other_role(question, text, start)
        and not ruled_out(question, text, start, end)
        and not of_another_field(question, text, start, end)
        and not of_another(question, text, start, end)
        for start, end in places
    ]
    # Scraps are passed over only where they would be the answer: as further ones they are told
    # from it, and how sure it is counts them.
    for n, (start, end) in enumerate(places):
        if can[n] and not is_scrap(question, text[start:end]):
            break
        can[n] = False
    if _PRICE_ASKED.search(question) or _HOW_MUCH_IS.search(question):
        money = [c and _is_money(text, *place) for c, place in zip(can, places, strict=True)]
        if any(money):
            return money
    if offered := choice(question):
        chosen = [c and chooses(offered, text[a:b]) for c, (a, b) in zip(can, places, strict=True)]
        if any(chosen):
            return chosen
    if asks_food(question):
        begins = [food_from(text, start, end) for start, end in places]
        told = [begin == start for begin, (start, _) in zip(begins, places, strict=True)]
        if any(told):
            return told
        # What tells it in the middle has the food behind that.
        return [c and begin == end for c, begin, (_, end) in zip(can, begins, places, strict=True)]
    return can


def meant_from(question: str, text: str, start: int, end: int) -> int:
    """Return from where on words can be meant in a range that is not; its end for nowhere."""
    return food_from(text, start, end) if asks_food(question) else end


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
    if other_kind(question, words):
        return False
    if (how := _HOW.search(question)) and words.casefold() == how[1].casefold():
        return False
    costs_nothing = _COST_ASKED.search(question) and _FREE.search(words)
    if _AMOUNT_ASKED.search(question) and not (_AMOUNT.search(words) or costs_nothing):
        return False
    if (kind := _KIND_ASKED.search(question)) and alike(words.casefold(), kind[1].casefold()):
        return False
    if asks_age(question) and not (_AMOUNT.search(words) or tells_time(words)):
        return False
    if _PRICE_ASKED.search(question) and _NO_PRICE.fullmatch(words):
        return False
    if _COST_ASKED.search(question) and not (_AMOUNT.search(words) or _MONEY.search(words)):
        return False
    return can_measure(question, words)


def is_scrap(question: str, words: str) -> bool:
    """Return whether words are left over: some that join others, or one of the question's own.

    >>> asked = "How tall is the mast?"
    >>> [is_scrap(asked, said) for said in ("at", "mast", "high", "high as a house", "12 m")]
    [True, True, True, False, False]
    >>> is_scrap("How is it eaten, raw or cooked?", "raw")
    False
    >>> is_scrap("What is the website ending?", ".is")
    False
    """
    if _JOINS.fullmatch(words):
        return True
    if words.endswith("er") or len(words.split()) > 1 + words.casefold().startswith(
        ("a ", "an ", "the ")
    ):
        return False
    said = telling(words)
    return bool(
        said
        and not _AMOUNT.search(words)
        and _ASKS_ELSE.search(question)
        and set(said) <= set(telling(question))
    )


def _is_money(text: str, start: int, end: int) -> bool:
    """Return whether a range of a text is an amount of money; what follows may name it."""
    if _BARE_PRICE.fullmatch(text, start, end):
        return not unit_follows(text, end)
    return _MONEY.search(text, max(0, start - 1), min(len(text), end + 10)) is not None


def _of_another_kind(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a range counts things where an extent is asked, or is a price for a weight.

    >>> text = "It flew 6,812 missions and was sold for 40 pounds."
    >>> _of_another_kind("How fast does it fly?", text, 8, 13)
    True
    >>> _of_another_kind("How heavy is it?", text, 40, 49)
    True
    >>> _of_another_kind("How fast does it fly?", "It flies at 6,812 km/h.", 12, 17)
    False
    """
    parts = _PARTS_ASKED.search(question)
    of_parts = _OF_PARTS.match(text, end) if parts else None
    if parts and of_parts and parts[1].casefold() != of_parts[1].casefold():
        return _BARE_NUMBER.fullmatch(text, start, end) is not None
    if dimension(question) == "mass" and _FOR_MONEY.search(text, max(0, start - 40), start):
        return _MONEY.search(text, start, end) is not None
    return measures_another(question, text, start, end)


def _of_sorts(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a range counts species or the like, and a size or other things are asked.

    >>> text = "There are three living species."
    >>> _of_sorts("How many legs does it have?", text, 10, 15)
    True
    >>> _of_sorts("How many species are there?", text, 10, 15)
    False
    """
    if not (asks_size(question) or asks_age(question)) and (
        _AMOUNT_ASKED.search(question) is None or _SORTS_ASKED.search(question)
    ):
        return False
    if _GROUP_ASKED.search(question):
        return False
    words = text[start:end]
    bare = _BARE_NUMBER.fullmatch(words) is not None
    return _COUNTS_SORTS.search(words) is not None or (
        bare and _OF_SORTS.match(text, end) is not None
    )
