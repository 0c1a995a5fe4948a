"""Which words can be what a question asks for, by their form. Pure functions.

How long is the coast, in km?       6,435 km, and not 756,102 sq km
How long does one orbit take?       29.45 years, and not 9.59 AU
Where does the government sit?      Ankara, and not President Recep Tayyip ERDOGAN
How many are left?                  about 1,800, and not 1.2 to 1.9 m
Which ocean does it border?         the Indian Ocean, and not Ethiopia; Somalia; Uganda
What do the colours mean?           the soil and its people, and not black, red, green

How many legs does it have?         four, and not three living species
Which species is it?                Asian elephant, and not three

How long is the night?              hours, and not Independence Day, 17 June (1944)
When did the top fall off?          14 December 1991, and not Aoraki/Mount Cook
Who founded the town?               Pierre Savorgnan de BRAZZA, and not 1883

What time does it open?             10 am, and not 1982
How much does it cost?              25 euros, and not two hours

Only what surely is something else is told apart: words without a unit may be anything, and so may
shares and speeds.
"""

import re
from collections.abc import Sequence

from generator.sentences import sentence
from generator.values.around import ruled_out
from generator.values.food import asks_food, food_from
from generator.values.parallel import of_another
from generator.values.quantities import MONTH, SCALES, UNIT, quantities, unit_of
from generator.values.roles import other_role

_DIMENSIONS = {
    **dict.fromkeys(("m", "km", "cm", "mm", "ft", "mi", "yd", "inch", "AU"), "length"),
    **dict.fromkeys(("kg", "g", "mg", "µg", "lb", "t", "ton"), "mass"),
    **dict.fromkeys(("year", "month", "week", "day", "hour", "minute", "second"), "time"),
    **dict.fromkeys(("sq km", "sq mi", "sq m", "ha", "acre"), "area"),
    **dict.fromkeys(("km/h", "mph", "knot"), "speed"),
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
    "heads": r"how\s+many\s+(?:people|inhabitants|residents|citizens)\b|headcount\b|"
    r"how\s+many\b.*\b(?:left|remain|survive|alive|in\s+the\s+wild)\b",
}
_MEASURED = {name: re.compile(rf"\b(?:{how})", re.IGNORECASE) for name, how in _ASKED.items()}
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
_NUMBERS = (
    *("no", "none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty"),
    *("ninety", "hundred", "thousand", "million", "billion", "trillion", "dozen", "pair", "couple"),
    *("single", "double", "triple", "once", "twice", "half", "halves", "third", "quarter", "both"),
    *("few", "several", "many", "most", "all", "every", "some", "any", "little", "majority"),
    *("numerous", "multiple", "number", "countless", "various", "unlimited", "infinite"),
    *("uninhabited", "weightless", "massless", "part", "portion", "area", "collection", "series"),
    *("duo", "trio", "quartet", "trilogy", "tetralogy", "first", "second"),
    *("fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "octave", "semitone"),
)
_AMOUNT = re.compile(rf"\d|\b(?:{'|'.join(_NUMBERS)})s?\b", re.IGNORECASE)
_HOW = re.compile(r"\bhow\s+(\w+)", re.IGNORECASE)
_EXTENT_ASKED = re.compile(
    r"\bhow\s+(?:long\s+(?:is|are)|tall|high|wide|deep|heavy|fast|big)\b", re.I
)
_DATE = re.compile(rf"\b\d{{1,2}}\s+{MONTH}|{MONTH}\s+\d", re.IGNORECASE)
# Of what has happened: "When do they sleep?" may be answered by "after rain".
_TIME_ASKED = re.compile(
    r"(?:^|[,.!?]|\b(?:and|since|from))\s*when\s+(?:was|were|did|had|has|have)\b|"
    r"\b(?:what|which)\s+(?:year|century|decade)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    rf"\d|\b{MONTH}\b|\b(?:centur|millenni|decade|year|month|week|day|night|morning|evening|time|"
    r"jurassic|triassic|cretaceous|season|spring|summer|autumn|fall|winter|age|era|epoch|period|dynasty|reign|war|revolution|"
    r"ancient|antiquity|prehistor|medieval|renaissance|recent|early|earli|late|mid|first|last|ago|"
    r"after|before|during|until|since|when|while|never|not|no|none|now|still|always)\w*",
    re.IGNORECASE,
)
_WHO_ASKED = re.compile(
    r"^\W*(?:and\s+)?who(?:['’]?s)?\b(?!.*\b(?:when|how\s+(?:many|much)|percent\w*|share)\b)",
    re.IGNORECASE,
)
_NOBODY = re.compile(
    rf"(?:[\W\d]|\b(?:about|around|circa|in|on|the|early|late|mid|by|of|est|AD|BC|A\.D|B\.C|"
    rf"BCE|CE|centur(?:y|ies)|st|nd|rd|th|{MONTH})\b|(?<=\d)(?:st|nd|rd|th|s)\b)*",
    re.IGNORECASE,
)
_WATER_ASKED = re.compile(
    r"\b(?:which|what)\s+(?:oceans?|seas?)\s+(?:is|are|do|does|can|lies?|borders?|surrounds?|touch)\b",
    re.IGNORECASE,
)
_WATER = re.compile(
    r"\b(?:oceans?|seas?|gulf|bay|strait|atlantic|pacific|indian|arctic|caribbean|mediterranean|"
    r"baltic|adriatic|aegean|ionian|none|no|landlocked)\b",
    re.IGNORECASE,
)
_MEANING_ASKED = re.compile(
    r"\bcolou?rs\b.*\b(?:means?|stands? for|symboli[sz]es?|represents?|signif(?:y|ies))\b"
    r"(?!\s+(?:the|this|that)\s+(?:nation|country|state|people|place|land))",
    re.IGNORECASE,
)
_LOOK = re.compile(
    r"\b(?:black|white|red|green|blue|yellow|gold|golden|orange|brown|purple|crimson|maroon|scarlet|"
    r"silver|gr[ae]y|description)\b",
    re.IGNORECASE,
)
_MEANING = re.compile(
    r"\bfor\b|\b(?:symbol|represent|stand|denot|mean|signif|reflect|recall|honou?r|evok)\w*",
    re.IGNORECASE,
)
# What there are several of, where something else is counted or measured.
_SORTS = r"(?:sub)?species|genera|breeds?|famil(?:y|ies)|orders|varieties|cultivars|kinds|types"
_SORTS_ASKED = re.compile(
    rf"\b(?:{_SORTS}|sorts|genus|members|animals|plants|ones|left|there)\b", re.IGNORECASE
)
_OF_SORTS = re.compile(rf"(?:[\s,-]+\w+){{0,2}}?[\s,-]+(?:{_SORTS})\b", re.IGNORECASE)
_COUNTS_SORTS = re.compile(
    rf"\b(?:\d[\d,.]*|{'|'.join(_NUMBERS)}){_OF_SORTS.pattern}", re.IGNORECASE
)
_SIZE_ASKED = re.compile(r"\bhow\s+(?:big|large|small|tall|high|wide|heavy|deep)\b", re.IGNORECASE)
_SORT_ASKED = re.compile(
    r"\b(?:what|which)\s+(?:\w+\s+)?(?:species|breed|kind|type|sort)\b", re.IGNORECASE
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
_FAR = re.compile(r"\bhow\s+tall\b", re.IGNORECASE)
_KM = frozenset(("km", "mi"))
# What says that a number without a unit is of a kind that is measured.
_SAYS = {
    "mass": re.compile(r"\bweigh|\bheav|\bmass\b|\bbody", re.IGNORECASE),
    "length": re.compile(
        r"\b(?:high|height|tall|long|length|lengthy|wide|width|deep|depth|far|distance|elevation|altitude|measur\w+|"
        r"grow\w*|span\w*|across|reach\w*|diameter|size)\b",
        re.IGNORECASE,
    ),
    "speed": re.compile(r"\b(?:fast\w*|speeds?|runs?|fl(?:y|ies)|per|an)\b|/", re.IGNORECASE),
}
_MONEY_ALONE = re.compile(r"[$£€¥]|\b(?:euros?|dollars?|cents?|francs?)\b", re.IGNORECASE)
_BARE_SIZE = re.compile(r"\bhow\s+(?:big|large|small)\b", re.IGNORECASE)
_FRACTION = re.compile(r"\d+\.\d+")
_BARE_PRICE = re.compile(r"\d{1,4}[.,]\d\d")
_SPELT_TIME = re.compile(
    rf"\b(?:{'|'.join(_NUMBERS)})[\s-]+(?:second|minute|hour|day|week|month|year)s?\b",
    re.IGNORECASE,
)
# What the same house may have, and a count of one is no count of another.
_PARTS = (
    *(
        "rooms",
        "beds",
        "seats",
        "floors",
        "storeys",
        "stairs",
        "windows",
        "doors",
        "towers",
        "bells",
    ),
    *("lifts", "tables", "stars", "chimneys", "pipes", "bathrooms"),
)
_PARTS_ASKED = re.compile(rf"\bhow\s+many\s+(?:\w+\s+)?({'|'.join(_PARTS)})\b", re.IGNORECASE)
_OF_PARTS = re.compile(rf"\s+(?:\w+\s+)?({'|'.join(_PARTS)})\b", re.IGNORECASE)
_OPENING_ASKED = re.compile(
    r"\b(?:when|what\s+time)\s+(?:is|are|does|do|will)\b.*\bopen\b|\bopening\s+(?:times?|hours?)\b",
    re.IGNORECASE,
)
_NO_OPENING = re.compile(
    rf"\W*(?:in\s+)?[12]\d{{3}}\W*|(?:for\s+)?(?:\d+|{'|'.join(_NUMBERS)})\s+(?:day|week|month|year)s?",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"[Hh](?:e|im|is|er)|[Ss]he|[Ii]ts?|[Tt]he(?:y|m|ir|se)|[Tt]h(?:is|at|ose)|[Ww]ho|[Ww]hich"
)
_WHICH_MORE = re.compile(
    r"^\W*(?:which|what|who)\s+(?:\w+\s+)?(?:is|are|was|were)\s+(?:older|younger|newer)\b",
    re.IGNORECASE,
)
_BARE_NUMBER = re.compile(rf"[\W\d]*(?:(?:{'|'.join(_NUMBERS)})[\W\d]*)*", re.IGNORECASE)
_AGE_ASKED = re.compile(r"^(?!.*\b(?:which|what)\b).*\bhow\s+old\s+(?:is|are|was|were)\b", re.I)
# "Once a year" is no extent.
_OFTEN = re.compile(r"\b(?:once|twice)\s+(?:an?|per|every)\b", re.IGNORECASE)
_EVEN_NOW = re.compile(r"\W*(?:today|now|currently|nowadays|still)\W*", re.IGNORECASE)
_WHENEVER_ASKED = re.compile(r"\bwhen\s+(?:do|does|is|are|can|will)\b", re.IGNORECASE)
# "6,812 missions" is none either: what is counted follows.
_NUMBER_ALONE = re.compile(r"\d[\d.,]*")
_COUNTED = re.compile(
    rf"\s+(?!(?:{UNIT}|to|and|or|by|in|per|x|{'|'.join(SCALES)}|cubic|square|light|nautical)\b)"
    r"[a-z]{2,}",
    re.IGNORECASE,
)
_CARDINAL = re.compile(
    r"\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve", re.IGNORECASE
)
_UNIT_FOLLOWS = re.compile(
    rf"[\s-]*(?:to|or|and|by|x|–|-)?\s*[\d.,]*\s*(?:{UNIT}|{'|'.join(SCALES)}|%)\b", re.I
)
_THINGS = re.compile(r"\s+[a-z]+[^su\W]s\b")
_RATE = re.compile(r"\b(?:per|an?|each|every|in)\b|/", re.IGNORECASE)
_CLOCK_ASKED = re.compile(r"\b(?:what|which)\s+time\b(?!\s+(?:period|span|of\s+year))", re.I)
_YEAR_ALONE = re.compile(r"\W*[12]\d{3}s?\W*")
_PRICE_ASKED = re.compile(
    r"\b(?:how\s+much|what|which)\b.*\b(?:costs?|prices?|pay|paid|fees?)\b", re.IGNORECASE
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
# Pounds that something was sold for are no weight.
_FOR_MONEY = re.compile(
    r"\b(?:for|cost|costs|costing|price|paid|pay|worth|fee|sold|bought)\s+(?:\w+\s+){0,2}$",
    re.IGNORECASE,
)
# Not pounds: those are money, too.
_NO_PRICE = re.compile(
    rf"(?:\w+\s+){{0,2}}?(?:\d[\d.,]*|{'|'.join(_NUMBERS)})\s*(?:an?\s+)?"
    r"(?:hours?|minutes?|days?|weeks?|months?|years?|tons?|tonnes?|pages?|members?|people|(?:kilo)?gram(?:me)?s?|k?g|kilos?|"
    r"(?:milli)?lit(?:re|er)s?|ml|(?:kilo|centi)?met(?:re|er)s?|[kc]?m)\W*",
    re.IGNORECASE,
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
    can = [
        can_answer(question, text[start:end])
        and not _of_sorts(question, text, start, end)
        and not _of_another_kind(question, text, start, end)
        and not other_role(question, text, start)
        and not ruled_out(question, text, start, end)
        and not of_another(question, text, start, end)
        for start, end in places
    ]
    if _PRICE_ASKED.search(question) or _HOW_MUCH_IS.search(question):
        money = [c and _is_money(text, *place) for c, place in zip(can, places, strict=True)]
        if any(money):
            return money
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
    if _PRONOUN.fullmatch(words):
        return False
    if _OPENING_ASKED.search(question) and _NO_OPENING.fullmatch(words):
        return False
    if _WHICH_MORE.search(question) and _YEAR_ALONE.fullmatch(words):
        return False
    if _WATER_ASKED.search(question) and not _WATER.search(words):
        return False
    if _TIME_ASKED.search(question) and not _TIME.search(words):
        return False
    if _WHO_ASKED.search(question) and _NOBODY.fullmatch(words):
        return False
    look = _MEANING_ASKED.search(question) and _LOOK.search(words)
    if look and not _MEANING.search(words):
        return False
    if (how := _HOW.search(question)) and words.casefold() == how[1].casefold():
        return False
    if _EXTENT_ASKED.search(question) and _DATE.search(words):
        return False
    if _AMOUNT_ASKED.search(question) and not _AMOUNT.search(words):
        return False
    if _CLOCK_ASKED.search(question) and _YEAR_ALONE.fullmatch(words):
        return False
    if _SORT_ASKED.search(question) and _BARE_NUMBER.fullmatch(words):
        return False
    found = {_DIMENSIONS[size.unit] for size in quantities(words) if size.unit in _DIMENSIONS}
    if _SPELT_TIME.search(words):
        found.add("time")
    if _SIZE_ASKED.search(question) and found and found <= {"time", "speed"}:
        return False
    if _EXTENT_ASKED.search(question) and _MONEY_ALONE.search(words):
        return False
    if _FAR.search(question) and any(size.unit in _KM for size in quantities(words)):
        return False
    if _AGE_ASKED.search(question) and not (_AMOUNT.search(words) or _TIME.search(words)):
        return False
    if _EXTENT_ASKED.search(question) and (
        _OFTEN.search(words) or (_FRACTION.fullmatch(words) and _BARE_SIZE.search(question))
    ):
        return False
    if _WHENEVER_ASKED.search(question) and _EVEN_NOW.fullmatch(words):
        return False
    if _PRICE_ASKED.search(question) and _NO_PRICE.fullmatch(words):
        return False
    if _COST_ASKED.search(question) and not (_AMOUNT.search(words) or _MONEY.search(words)):
        return False
    wanted = _dimension(question)
    if wanted == "speed" and _RATE.search(words):
        return True
    return wanted is None or not found or wanted in found


def _is_money(text: str, start: int, end: int) -> bool:
    """Return whether a range of a text is an amount of money; what follows may name it."""
    if _BARE_PRICE.fullmatch(text, start, end):
        return _UNIT_FOLLOWS.match(text, end) is None
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
    if _another_way(question, text, end):
        return True
    parts = _PARTS_ASKED.search(question)
    of_parts = _OF_PARTS.match(text, end) if parts else None
    if parts and of_parts and parts[1].casefold() != of_parts[1].casefold():
        return _BARE_NUMBER.fullmatch(text, start, end) is not None
    wanted = _dimension(question)
    if wanted == "mass" and _FOR_MONEY.search(text, max(0, start - 40), start):
        return _MONEY.search(text, start, end) is not None
    counts = _NUMBER_ALONE.fullmatch(text, start, end) and _COUNTED.match(text, end)
    if wanted not in ("mass", "length", "speed"):
        things = _AGE_ASKED.search(question) and _THINGS.match(text, end)
        return bool(counts and things)
    if counts:
        return True
    if not _CARDINAL.fullmatch(text, start, end) or _UNIT_FOLLOWS.match(text, end):
        return False
    return _SAYS[wanted].search(sentence(text, (start, end))) is None


def _another_way(question: str, text: str, end: int) -> bool:
    """Return whether the word behind an extent is of another than is asked: "45 cm long"."""
    asked, said = _WAY_ASKED.search(question), _WAY_SAID.match(text, end)
    if not asked or not said:
        return False
    one, other = (_WAY.get(found[1].casefold(), found[1].casefold()) for found in (asked, said))
    return one != other


def _of_sorts(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a range counts species or the like, and a size or other things are asked.

    >>> text = "There are three living species."
    >>> _of_sorts("How many legs does it have?", text, 10, 15)
    True
    >>> _of_sorts("How many species are there?", text, 10, 15)
    False
    """
    if _SIZE_ASKED.search(question) is _AGE_ASKED.search(question) is None and (
        _AMOUNT_ASKED.search(question) is None or _SORTS_ASKED.search(question)
    ):
        return False
    words = text[start:end]
    bare = _BARE_NUMBER.fullmatch(words) is not None
    return _COUNTS_SORTS.search(words) is not None or (
        bare and _OF_SORTS.match(text, end) is not None
    )


def _dimension(question: str) -> str | None:
    """Return what a question wants measured or counted; None where that is not plain."""
    if unit := _UNIT_WANTED.search(question):
        dimension = _DIMENSIONS.get(unit_of(unit[1]))
        return None if dimension == "length" and _SQUARE.search(question) else dimension
    asked = [name for name, how in _MEASURED.items() if how.search(question)]
    return asked[0] if len(asked) == 1 else None
