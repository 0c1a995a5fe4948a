"""Whether words are of the kind of thing that a question names, by their form. Pure functions.

Which ocean does it border?         the Indian Ocean, and not Ethiopia; Somalia; Uganda
What do the colours mean?           the soil and its people, and not black, red, green
When did the top fall off?          14 December 1991, and not Aoraki/Mount Cook
Which atolls is it made of?         Atafu and Fakaofo, and not three
Who founded the town?               Pierre Savorgnan de BRAZZA, and not 1883
What time does it open?             10 am, and not 1982
How cold does it get?               -20 °C, and not Hoh Nuur
Which country rules it?             Denmark, and not parliamentary democracy
What do I dial to call there?       254, and not .ke
"""

import re
from dataclasses import dataclass

from generator.values.quantities import AMOUNT_WORDS, CARDINAL, MONTH

_TIME = (
    rf"\d|\b{MONTH}\b|\b(?:centur|millenni|decade|year|month|week|day|night|morning|evening|time|"
    r"jurassic|triassic|cretaceous|season|spring|summer|autumn|fall|winter|age|era|epoch|period|"
    r"dynasty|reign|war|revolution|"
    r"ancient|antiquity|prehistor|medieval|renaissance|recent|early|earli|late|mid|first|last|ago|"
    r"after|before|during|until|since|when|while|never|not|no|none|now|still|always)\w*"
)
_TELLS_TIME = re.compile(_TIME, re.IGNORECASE)
_YEAR = r"\W*[12]\d{3}s?\W*"
_NUMBER = rf"[\W\d]*(?:(?:{'|'.join(AMOUNT_WORDS)})[\W\d]*)*"
_ONE_OR_MORE = rf"(?:\d+|{'|'.join(AMOUNT_WORDS)})"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a question has, and what then is no answer.

    Attributes:
        asked: found in the question.
        has: not found in words that are no answer.
        none: words of this form are no answer, even so.
    """

    asked: re.Pattern[str]
    has: re.Pattern[str]
    none: re.Pattern[str]

    def is_other(self, question: str, words: str) -> bool:
        return self.asked.search(question) is not None and (
            self.has.search(words) is None or self.none.fullmatch(words) is not None
        )


def _kind(asked: str, has: str = "", *, none: str = r"(?!)") -> _Kind:
    return _Kind(*(re.compile(part, re.IGNORECASE) for part in (asked, has, none)))


_KINDS = (
    # Of what has happened: "When do they sleep?" may be answered by "after rain".
    _kind(
        r"(?:^|[,.!?]|\b(?:and|since|from))\s*when\s+(?:was|were|did|had|has|have)\b|"
        r"\b(?:what|which)\s+(?:year|century|decade)\b",
        _TIME,
    ),
    _kind(
        r"\bwhen\s+(?:do|does|is|are|can|will)\b",
        none=r"\W*(?:today|now|currently|nowadays|still)\W*",
    ),
    _kind(
        r"\b(?:when|what\s+time)\s+(?:is|are|does|do)\b.*\bopen\b|\bopening\s+(?:times?|hours?)\b",
        none=rf"\W*(?:in\s+)?[12]\d{{3}}\W*|(?:for\s+)?{_ONE_OR_MORE}\s+(?:day|week|month|year)s?",
    ),
    _kind(
        r"\b(?:what|which)\s+time\b(?!\s+(?:period|span|of\s+(?:the\s+)?(?:year|month)))",
        none=rf"{_YEAR}|.*\b{MONTH}\b.*",
    ),
    _kind(
        r"\bhow\s+long\s+(?:do|does|did|will|would|can|could)\b.*\b(?:take|last|live|survive|sleep)s?\b|"
        r"\blife[\s-]?span\b|\blife\s+expectancy\b",
        rf"\b{_ONE_OR_MORE}|{_TIME}|\b(?:short|long|brief|quick|forever|permanent|indefinite|life|shelf|hour|"
        r"minute|second|annual|biennial|perennial|overnight|fortnight|moment|instant|immediate|generation|"
        r"semester|term|easter|christmas|eternity)",
        none=rf"(?:about\s+|some\s+)?{_ONE_OR_MORE}\s+(?:\w+\s+)?(?:species|kinds|types)",
    ),
    _kind(
        r"\bhow\s+much\b.*\b(?:earn|salar|wage|income)",
        none=rf"{_ONE_OR_MORE}(?:[.,]\d+)*\s+(?:year|month|week|day|hour)s?",
    ),
    _kind(r"\b(?:dial|(?:phone|calling|area)\s+(?:code|number|prefix))\b", r"\d"),
    # What it is now is in no passage.
    _kind(
        r"\bwhat(?:['’]?s|\s+is)?\s+(?:the\s+)?time\s+(?:is\s+it|now)\b",
        r"\b(?:UTC|GMT|zone|ahead|behind)\b",
    ),
    _kind(
        r"^\W*(?:and\s+)?who(?:['’]?s)?\b(?!.*\b(?:when|how\s+(?:many|much)|percent\w*|share)\b)",
        none=rf"(?:[\W\d]|\b(?:about|around|circa|in|on|the|early|late|mid|by|of|est|AD|BC|A\.D|B\.C|"
        rf"BCE|CE|centur(?:y|ies)|st|nd|rd|th|{MONTH})\b|(?<=\d)(?:st|nd|rd|th|s)\b)*",
    ),
    _kind(
        r"^\W*(?:which|what|who)\s+(?:\w+\s+)?(?:is|are|was|were)\s+(?:older|younger|newer)\b",
        none=_YEAR,
    ),
    _kind(
        r"\b(?:which|what)\s+(?:oceans?|seas?)\s+(?:is|are|do|does|can|lies?|borders?|surrounds?|"
        r"touch)\b",
        r"\b(?:oceans?|seas?|gulf|bay|strait|atlantic|pacific|indian|arctic|caribbean|"
        r"mediterranean|baltic|adriatic|aegean|ionian|none|no|landlocked)\b",
    ),
    # Its name has a capital, and not only what is noted behind it.
    _kind(
        r"^\W*(?:(?:and|so|in|on|at|from|to|by|of|near)\s+)*(?:which|what)\s+(?:other\s+)?(?:oil\s+|car\s+)?"
        r"(?:country|nation|city|town|river|lake|island|continent|planet|company)\s+"
        r"(?:do|(?!as\b|was\b|its\b|this\b)[a-z]+(?:s|ed)|was|did|are|were|can|could|will|must|"
        r"made|won|gave|built)\b",
        r"\A[^(]*(?-i:[^\W_a-z])|\b(?:none|no|landlocked|every|any|all|both|own|most|same|capital|"
        r"(?:upp|low|inn|out|small|larg|bigg|old|young|new|long|short|high|deep|near|north|south|east|west)"
        r"(?:er|est|ern)|other|first|second|last)\b",
    ),
    _kind(
        r"\bwhat(?:['’]?s|\s+is|\s+are|\s+was|\s+were)\s+(?:\w+\s+){0,3}temperatures?\b|"
        r"\bhow\s+(?:hot|cold|warm)\s+(?:is|are|was|were|does|do|can)\b",
        r"\d|°|\b(?:degrees?|celsius|fahrenheit|kelvin|zero|temperature|cryogenic|white|red|"
        r"(?:hot|cold|warm|cool|mild|temperate|tropical|arid|froze|freez|boil|heat|melt|room|torrid|"
        r"extreme|lukewarm|moderate|chilly|spicy|fiery)\w*)\b",
    ),
    _kind(r"\b(?:what|which)\s+(?:\w+\s+)?(?:species|breed|kind|type|sort)\b", none=_NUMBER),
    # How many they are is not which.
    _kind(
        r"^\W*(?:and\s+)?which\s+(?!(?:\w+\s+)?(?:numbers?|percent\w*|shares?|ages?|sizes?|gears?|classes|"
        r"grades?|rooms|seats|tables|houses|floors|doors|gates|tracks|platforms|lines|buses|trams|trains|"
        r"routes|roads|pages|chapters|lots|years|channels)\b)[a-z]+s\s+(?:is|are|was|were|do|does|did|has|have|make)\b",
        none=rf"\W*{CARDINAL}\W*",
    ),
    _kind(
        r"\bcolou?rs\b.*\b(?:means?|stands? for|symboli[sz]es?|represents?|signif(?:y|ies))\b"
        r"(?!\s+(?:the|this|that)\s+(?:nation|country|state|people|place|land))",
        none=r"(?!.*\b(?:for|(?:symbol|represent|stand|denot|mean|signif|reflect|recall|honou?r|"
        r"evok)\w*)\b).*\b(?:black|white|red|green|blue|yellow|gold|golden|orange|brown|purple|"
        r"crimson|maroon|scarlet|silver|gr[ae]y|description)\b.*",
    ),
    # An address on the internet, where nobody asks for one.
    _kind(
        r"^(?!.*\b(?:internet|web\w*|sites?|online|domains?|tld|url|address\w*|e-?mails?|net|codes?|"
        r"links?|pages?|browser|surf\w*|dot|endings?|ends?|suffix\w*|extension)\b)",
        none=r"\W*\.[a-z]{2,3}(?:\s*[,;]\s*\.[a-z]{2,3})*\W*",
    ),
)


def other_kind(question: str, words: str) -> bool:
    """Return whether words are surely of another kind than a question asks for.

    >>> asked = "Which country rules it?"
    >>> [other_kind(asked, said) for said in ("parliamentary democracy", "Denmark", "none")]
    [True, False, False]
    >>> other_kind("What do I dial there?", ".ke"), other_kind("Which domain has it?", ".ke")
    (True, False)
    """
    return any(kind.is_other(question, words) for kind in _KINDS)


def tells_time(words: str) -> bool:
    """Return whether words may tell when something was or is."""
    return _TELLS_TIME.search(words) is not None
