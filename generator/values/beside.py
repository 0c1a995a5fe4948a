"""What belongs to a value, and stands beside the words that a reader took. Pure functions.

When is it?                 ... the second Saturday in [January]     the second Saturday in January
At what time does it open?  on [Saturdays] at 2 pm                   Saturdays at 2 pm
When do they fly?           from May to [August]                     May to August
How many tulips are there?  sixty thousand tulips of [140] sorts     sixty thousand
How long is the flight?     [2 hours] and 40 minutes                 2 hours and 40 minutes
How much did it hold?       [900] cubic metres of gas                900 cubic metres
When is it open?            closed on [Tuesdays]                     closed on Tuesdays
What is its number?         0471 [22 40 17]                          0471 22 40 17
What does it cost?          the mincer (£[45) is] an extra           45
What does it cost?          £[3].20, or [4 pounds] 50                3.20, 4 pounds 50
"""

import re

from generator.sentences import sentences
from generator.values.extents import dimension, dimension_of
from generator.values.holders import at_the_time
from generator.values.items import Range
from generator.values.parallel import of_the_year
from generator.values.quantities import CARDINAL, MONTH, UNIT

_WHEN = re.compile(
    r"\b(?:when|(?:what|which) (?:days?|dates?|months?|times?|hours?|season)|opening hours)\b",
    re.IGNORECASE,
)
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_ORDINAL = r"(?:the\s+)?(?:first|second|third|fourth|fifth|last|every|each|\d{1,2}(?:st|nd|rd|th))"
# "The second Saturday in January", "the last Sunday of July".
_DAY_OF = re.compile(rf"\b{_ORDINAL}\s+(?:{_DAY}|week|weekend|day)\s+(?:in|of)\s+$", re.IGNORECASE)
_TIME = r"\d{1,2}(?:[.:]\d{2})?\s?(?:[ap]\.?\s?m\b|o'clock)|\d{1,2}[.:]\d{2}\b|noon\b|midnight\b"
_AT_TIME = re.compile(rf"\s+(?:at|from)\s+(?:{_TIME})(?:\s*(?:to|-|–|until)\s*(?:{_TIME}))?")
# "Half an hour before the garden", "45 minutes before closing".
_BEFORE = re.compile(r"\s+(?:before|after)\s+[^,.;()]{3,60}(?=[,.;()]|$)")
_DURATION = re.compile(
    r"(?:half an?|an?|one|two|three|\d+)\s+(?:minutes?|hours?|days?|weeks?|months?)", re.IGNORECASE
)
# "From May to August", of which a reader may take the end alone; "When did he win his last?" does.
_ONCE = re.compile(r"\b(?:did|was|were|first|last|begin|start|end|finally)\b", re.IGNORECASE)
_FROM = re.compile(r"\bfrom\s+((?:[^\s,.;]+\s+){1,3}?)(?:to|until|till)\s+$", re.IGNORECASE)

_MEASURED = re.compile(r"\bhow\s+(?:long|much|many|fast|tall|high|wide|deep|big|large|old)\b", re.I)
_TIMES = "second|minute|hour|day|night|week|month|year"
# The smaller unit behind a larger, and what an amount is of.
_LARGER = re.compile(r"(?:hours?|days?|weeks?|years?|feet|pounds?)$")
_SMALLER = re.compile(rf"(?:,|\s+and)?\s+\d+(?:\.\d+)?\s+(?:(?:{_TIMES})s?|inch(?:es)?|pence)\b")
_SOLID = re.compile(r"(?<=\d)\s+(?:cubic|square)\s+\w*(?:met(?:re|er)s?|feet|miles?|inches)\b")
_EACH_TIME = re.compile(rf"\s+(?:an?|per|each|every)\s+(?:{_TIMES})\b")
_TIME_SAID = re.compile(rf"\b(?:{_TIMES})s?\b|dai?ly", re.IGNORECASE)

# "0471 [22 40 17]", of a name its last quotation mark, of "11 a.m." its last stop.
_PHONE = re.compile(r"\b(?:tele)?phone\b|\bcall\b|\bfax\b", re.IGNORECASE)
_DIGITS = re.compile(r"\+?\d[\d /–-]*\d")
_CLOSED = re.compile(r"\b(?:closed|shut)\s+(?:[a-z]+\s+){1,3}\Z", re.IGNORECASE)
_CLOSED_ASKED = re.compile(r"\b(?:closed?|closes|closing|shut)\b", re.IGNORECASE)
# "A loaf of [1 kg 5.20 euros]": the weight is of what has the price.
_PRICE = re.compile(
    r"\b(?:costs?|prices?|pay|paid|fees?|how much is|how much are)\b", re.IGNORECASE
)
_PRICED = re.compile(
    rf"\d[\d.,]*\s*(?!pounds?\b)(?:{UNIT}|[ap]\.?m\.?)\s+(?=[$£€]?\d[\d.,]*(?:\s*(?:euros?|dollars?|pounds?|€))?\Z)",
    re.IGNORECASE,
)
_HALF_DAY = re.compile(r"\b[ap]\.m\Z", re.IGNORECASE)
# "[11.5 cm, 390 g]" is how wide, and how heavy.
_AMOUNTS = re.compile(r"[£$€]?\d(?:[\d.,]*\d)?(?:\s*[^\W\d]+|\s*[£$€%])?")
_ONLY_AMOUNTS = re.compile(rf"(?:{_AMOUNTS.pattern},\s+)+{_AMOUNTS.pattern}")
_MONEY = re.compile(r"[£$€]|\b(?:euros?|pounds?|dollars?|pence|cents?)\b", re.IGNORECASE)
# "[3].20", "[4 pounds] 50" and "two and [a half] hours" are one number each.
_DECIMALS = re.compile(r"(?<=\d)\.\d{1,2}(?![.\d])")
_HUNDREDTHS = re.compile(r"(?:(?<=\d pounds)|(?<=\d euros)) \d\d(?![\d.,]*\d)(?! [a-z]*ence\b)")
# "Children under [12 free]": the age is of who pays nothing.
_UP_TO_FREE = re.compile(r"\d+\s+(?:years?\s+)?(?=free\Z)", re.IGNORECASE)
_WHOLE_AND = re.compile(rf"\b{CARDINAL}\s+and\s+\Z", re.IGNORECASE)
_A_HALF = re.compile(r"an?\s+(?:half|quarter)\b", re.IGNORECASE)

# "The mares [Pixel], Morse and Salt": a question for several wants the rest of the list.
_ALL = re.compile(
    r"\b(?:what|who|which)\b(?:\s+\w+){0,2}\s+(?:are|were)\b|\bnames\s+of\b", re.IGNORECASE
)
_NAME = r"(?:the\s+)?[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+){0,2}"
_REST = re.compile(rf"(?:,\s+{_NAME})*,?\s+and\s+{_NAME}(?=[.;,:]|$)")

_HOW_MANY = re.compile(r"\bhow many\s+(?P<what>(?:[^\W\d]+[\s-]+){0,3}[^\W\d]+)", re.IGNORECASE)
_MANY = frozenset(["people", "children", "men", "women", "sheep", "fish", "species", "teeth"])
_ONES = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
)
_NUMBER = (
    rf"(?:\d(?:[\d.,]*\d)?|(?:{_ONES})(?:-(?:{_ONES}))?)"
    r"(?:\s+(?:hundred|thousand|million|billion|dozen)(?:\s+and\s+\w+)?)*"
)
_NUMBERED = re.compile(rf"\b(?P<number>{_NUMBER})\s+", re.IGNORECASE)

# A number of something: "140 sorts", and not "3,100 of them" or "31 had paved runways".
_OF_OTHERS = re.compile(
    rf"\b{_NUMBER}\s+(?:[^\W\d]+[^su\W]s|{'|'.join(sorted(_MANY))})\b", re.IGNORECASE
)


def with_beside(question: str, text: str, span: Range) -> Range:
    """Return a span of a passage with what belongs to it; the same where nothing does.

    Args:
        question: that the span answers.
        text: the passage.
        span: the characters that a reader took.

    >>> text = "It is on the last Sunday in July. Tours are on Saturdays at 2 pm."
    >>> for words in ("July", "Saturdays"):
    ...     at = text.index(words)
    ...     start, end = with_beside("When is it?", text, (at, at + len(words)))
    ...     print(text[start:end])
    the last Sunday in July
    Saturdays at 2 pm
    """
    span = of_the_year(question, text, _uncut(question, text, span))
    span = _of_the_kind(question, text, at_the_time(question, text, span))
    if _WHEN.search(question):
        return _dated(question, text, span)
    if _PRICE.search(question) and (of := _PRICED.match(text, *span)):
        return of.end(), span[1]
    start, end = _counted(question, text, span)
    if text[start].isupper() and _ALL.search(question) and (rest := _REST.match(text, end)):
        return start, rest.end()
    if _MEASURED.search(question) and (more := _rest_of_amount(question, text, start, end)):
        end = more
    return start, end


def _uncut(question: str, text: str, span: Range) -> Range:
    """Return a span with the rest of a mark or a number of which it has a part.

    >>> text = 'The boat "Ann" sails at 11 a.m. from pier 3; call 0471 22 40 17.'
    >>> [text[slice(*_uncut("call?", text, (text.index(a), text.index(b) + len(b))))]
    ...     for a, b in (('"', "Ann"), ("11", "a.m"), ("22", "17"))]
    ['"Ann"', '11 a.m.', '0471 22 40 17']
    """
    start, end = span
    if text[start:end].count('"') % 2 and text.startswith('"', end):
        end += 1
    if _HALF_DAY.search(text, start, end) and text.startswith(".", end):
        end += 1
    if text.rfind("(", 0, start) > text.rfind(")", 0, start):
        close = text.find(")", start, end)
        alone = close == end - 1 or _AMOUNTS.match(text, start) is not None
        end = close if close > start and alone and "(" not in text[start:close] else end
    if more := _DECIMALS.match(text, end) or _HUNDREDTHS.match(text, end):
        end = more.end()
    if free := _UP_TO_FREE.match(text, start, end):
        start = free.end()
    if _A_HALF.match(text, start) and (whole := _WHOLE_AND.search(text, max(0, start - 20), start)):
        start = whole.start()
    if _PHONE.search(question) and _DIGITS.fullmatch(text, start, end):
        whole = next(m for m in _DIGITS.finditer(text) if m.start() <= start < m.end())
        start, end = whole.start(), max(end, whole.end())
    return start, end


def _of_the_kind(question: str, text: str, span: Range) -> Range:
    """Return the one of several amounts with commas between them that can be what is asked for.

    >>> text = "11.5 cm, 390 g"
    >>> [text[slice(*_of_the_kind(q, text, (0, 14)))] for q in ("How heavy is it?", "How wide?")]
    ['390 g', '11.5 cm']
    """
    if "," not in text[slice(*span)]:
        return span
    parts = [m.span() for m in _AMOUNTS.finditer(text, *span)]
    if not _ONLY_AMOUNTS.fullmatch(text, *span) or len(parts) < 2:
        return span
    if _PRICE.search(question):
        fit = [part for part in parts if _MONEY.search(text, *part)]
    else:
        wanted = dimension(question)
        fit = [part for part in parts if wanted and dimension_of(text[slice(*part)]) == wanted]
    return fit[0] if len(fit) == 1 else span


def _rest_of_amount(question: str, text: str, start: int, end: int) -> int:
    """Return where an amount ends whose first part alone was taken; 0 where it is whole."""
    if not any(map(str.isdigit, text[start:end])):
        return 0
    if _LARGER.search(text, start, end) and (smaller := _SMALLER.match(text, end)):
        return smaller.end()
    if solid := _SOLID.match(text, end):
        return solid.end()
    each = None if _TIME_SAID.search(question) else _EACH_TIME.match(text, end)
    return each.end() if each else 0


def _dated(question: str, text: str, span: Range) -> Range:
    start, end = span
    said = text[start:end]
    if re.match(MONTH, said) and (day := _DAY_OF.search(text, max(0, start - 60), start)):
        start = day.start()
    elif (closed := _CLOSED.search(text, max(0, start - 30), start)) and not _CLOSED_ASKED.search(
        question
    ):
        start = closed.start()
    elif not _ONCE.search(question):
        begins = _FROM.search(text, max(0, start - 60), start)
        start = begins.start(1) if begins else start
    if re.search(rf"(?:{_DAY})$", said) and (time := _AT_TIME.match(text, end)):
        end = time.end()
    if _DURATION.fullmatch(said) and (then := _BEFORE.match(text, end)):
        end = then.end()
    return start, end


def _counted(question: str, text: str, span: Range) -> Range:
    """Return the number of what a question counts, where a reader took another of its sentence.

    >>> text = "Sixty thousand tulips of 140 sorts bloom."
    >>> at = text.index("140")
    >>> start, end = _counted("How many tulips are there?", text, (at, at + 3))
    >>> text[start:end]
    'Sixty thousand'
    >>> _counted("How many species are inside?", "It has 92 species, 31 of them inside.", (19, 21))
    (19, 21)
    """
    what = _what_is_counted(question)
    if not what:
        return span
    begins, ends = next((a, b) for a, b in sentences(text) if a <= span[0] < b)
    numbers = [
        found.span("number")
        for found in _NUMBERED.finditer(text, begins, ends)
        if re.match(rf"(?:[^\W\d]+[\s-]+){{0,1}}{re.escape(what)}\b", text[found.end() :], re.I)
    ]
    if len(numbers) != 1:
        return span
    [(start, end)] = numbers
    apart = end <= span[0] or span[1] <= start
    other = _OF_OTHERS.search(text, span[0], min(len(text), span[1] + 30))
    return (start, end) if apart and other and other.start() <= span[1] else span


def _what_is_counted(question: str) -> str:
    """Return the noun behind "how many"; "" where it is not plain which it is.

    >>> [_what_is_counted(q) for q in ("How many wild tulips grow here?", "How many live there?")]
    ['tulips', '']
    """
    found = _HOW_MANY.search(question)
    if found is None:
        return ""
    words = re.findall(r"[^\W\d]+", found["what"])
    plural = (w for w in words if w.casefold() in _MANY or re.search(r"[^su]s$", w))
    return next(plural, "")
