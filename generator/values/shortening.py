"""The part of a value that a question wants, without what a source adds to it. Pure functions.

Who is the president?       President Duma BOKO (since 1 November 2024)    Duma BOKO
How high is its top?        Mount Everest (highest on earth) 8,849 m       8,849 m
Which is its main religion? Hindu 81.2%, Buddhist 8.2%, Muslim 5.1%        Hindu
What is spoken there?       Dutch (official) 60%, French (official) 40%    Dutch, French
"""

import itertools
import re
from collections.abc import Iterable, Sequence

from generator.values.items import Item, Range, items
from generator.values.quantities import MONTH, SCALES, UNIT, Quantity, quantities
from generator.values.wording import QUALIFIED

_AMOUNT = re.compile(
    r"\bhow\s+(?!(?:do|does|did|is|are|was|were|can|to|come)\b)\w+|%|(?<!by )\b(?:percent\w*|"
    r"per cent|shares?|proportion|portion|fraction|number|length|height|area|size|population|"
    r"depth|weight|distance|speed|age|rate)\b",
    re.IGNORECASE,
)
# "Who is it, and since when?" wants all that is there.
_ASKS = r"(?:how|when|since|what|which|who|where|date)"
_AND = re.compile(
    rf"(?:\band|\+|&)\s+{_ASKS}\b|\b{_ASKS}\b.*,\s*{_ASKS}|"
    r"\bwith\s+(?:(?:their|the|its)\s+)?(?:shares?|percent\w*|numbers?|dates?|altitude|height|length)\b",
    re.IGNORECASE,
)
# Where a name and a quantity may both be meant.
_BOTH = re.compile(r"\b(?:elevation|altitude)\b", re.IGNORECASE)
_CALLED = re.compile(r"\b(?:called|names?)\b", re.IGNORECASE)
_TIME = re.compile(
    r"\b(?:when|(?:what|which) (?:date|day|year|month|time)|since|how long ago)\b", re.IGNORECASE
)
_WHO = re.compile(r"\b(?:who(?:['’]?s)?|whom|whose|name)\b", re.IGNORECASE)
_NONE = re.compile(r"\b(?:no|without(?: any)?)\s+\w", re.IGNORECASE)
_PARTY = re.compile(r"\b(?:who|whom|whose|which (?:country|nation|power|state))\b", re.IGNORECASE)
# What stands in brackets behind a name, where the question is not about the name.
_BESIDE = re.compile(
    r"\b(?:code|abbreviat\w+|acronym|meaning|translat\w+|in english)\b|\b(?:does|do)\b.*\bmean\b",
    re.IGNORECASE,
)
_MOST = re.compile(
    r"\b(?:most|main|mainly|largest|biggest|longest|greatest|primary|chief|dominant|predominant|"
    r"principal|leading|number one|no\.? ?1|major|majority|top|(?:nearly|almost) all)\b"
    r"((?:\s+\w+){0,3})",
    re.IGNORECASE,
)
_LEAST = re.compile(r"\b(?:least|smallest|shortest|fewest)\b((?:\s+\w+){0,3})", re.IGNORECASE)
_SEVERAL = re.compile(
    r"\b(?:what|which|who|where)\s+(?:are|were)\b|\b(?:what|which)\s+\w+[^s\W]s\b", re.I
)
_ONE = re.compile(r"\b(?:who|whom|where|(?:what|which)\s+\w+)\b", re.IGNORECASE)
_PLURAL = re.compile(r"\w[^s\W]s\b", re.IGNORECASE)
_DATE = re.compile(rf"(?:\d{{1,2}} )?{MONTH}(?: to {MONTH}| \d{{3,4}})|\b[12]\d{{3}}\b")
_FROM = re.compile(r"(?:from|by|to|of|in|since|under)\s+", re.IGNORECASE)
_OFFICE = re.compile(
    r"(?:president|prime minister|premier|chancellor|minister|"
    r"governor(?: general)?|administrator|secretary)\s+(?=(?-i:[A-Z]))",
    re.IGNORECASE,
)
# Before a date, an amount, a range or a pair it adds nothing: "during the 1930s", "from 96 to 99%".
_LEADING = re.compile(
    rf"(?:(?:in|on|at|during)\s+(?:the\s+)?(?=\d|{MONTH})|from\s+(?=.{{1,30}}\sto\s)|both\s+(?=.*\sand\s))",
    re.IGNORECASE,
)
# "Between March and August", of which a reader may take the end alone.
_BETWEEN = re.compile(r"\bbetween\s+((?:[^\s,.;]+\s+){1,3})and\s+$", re.IGNORECASE)
# Behind a list: "tin, arsenic, etc.", "lenses, mirrors, or a combination of both".
_TRAILING = re.compile(
    r"(?<=\w),?\s+(?:etc\.?|(?:and|or)\s+(?:an?\s+|any\s+)?combinations?(?:\s+(?:of|thereof)\b[^,;]*)?)$"
)
# What somebody is, before a name of several words: "daimyo Imagawa Yoshimoto".
_CALLING = re.compile(r"(?:[a-z]\w+\s+){1,2}(?=[A-Z][\w.]+\s+[A-Z])")
_NAMED = re.compile(r"\b(?:who(?:['’]?s)?|whom|whose)\b", re.IGNORECASE)
# A clause about what stands before it.
_REMARK = re.compile(r"(?:which|who|whose|where|itself)\b")
# A number, and what the question counts: "88 black and white keys". "How much" is answered with its
# unit: "27 euros".
_HOW_MANY = re.compile(r"\bhow m(?!uch\b)\w+", re.IGNORECASE)
_COUNT = r"(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_COUNTED = re.compile(
    rf"({_COUNT})\s+(?!(?:{UNIT}|{'|'.join(SCALES)}|to|of|or|and)\b)"
    rf"(?:(?!{_COUNT}\b)[^\W\d]++\s*+)++",
    re.IGNORECASE,
)
_NAME_WORDS = 5
_PAIR_CHARS = 60
_LABEL = re.compile(r"([A-Z][^.:;]{2,40}):\s*$")
_SMALL = frozenset(
    "the and for was are were does did what which who whom whose where when why how its this that "  # noqa: SIM905
    "there they their country name called".split()
)


def shortened(question: str, text: str, span: Range) -> tuple[Range, ...]:
    """Return the parts of a span that a question wants, in their order: at least one.

    Args:
        question: that the span answers; one that wants neither yes or no nor a definition.
        text: the passage.
        span: the characters of the value.

    >>> text = "Export partners: UAE 35%, Oman 18% (2023)"
    >>> for q in ("Who buys most?", "To whom do they sell?", "How much goes to Oman?"):
    ...     print([text[a:b] for a, b in shortened(q, text, (17, len(text)))])
    ['UAE']
    ['UAE', 'Oman']
    ['18%']
    """
    parts = _shortened(question, text, span)
    return tuple(_bare(question, text, _unqualified(question, text, part, span)) for part in parts)


def _bare(question: str, text: str, part: Range) -> Range:
    """Return a part without the words around it that belong to its sentence or name nothing."""
    start, end = part
    if (found := _TRAILING.search(text, start, end)) is not None:
        end = found.start()
    found = _LEADING.match(text, start, end)
    if found is None and _NAMED.search(question):
        found = _CALLING.match(text, start, end)
    return found.end() if found else start, end


def _unqualified(question: str, text: str, part: Range, span: Range) -> Range:
    """Return a part, or all of the item that it is of where the rest says "not", "dozen", "until".

    The item may begin before the span and end behind it, where the reader took a name alone.
    """
    for item in items(text, span[0], max(span[1], part[1])):
        start, end = item.whole
        if start <= part[0] and part[1] <= end:
            left = f"{text[start : part[0]]} {text[part[1] : end]}"
            if _NONE.search(question):  # "Without religion?" means the item "none 60%"
                left = left.removeprefix("none ")
            return item.whole if QUALIFIED.search(left) else part
    return part


def _shortened(question: str, text: str, span: Range) -> tuple[Range, ...]:
    if _AND.search(question):
        return (span,)
    start, end = span
    pair = _BETWEEN.search(text, max(0, start - _PAIR_CHARS), start)
    if pair and not _words(pair[1]) & _words(question):
        start = pair.start(1)
    end = _clause(text, start, end)
    listed = items(text, start, end)
    if not listed:
        return (span,)
    if _TIME.search(question) and _dated_alone(text, listed):
        return (listed[0].whole,)
    if len(listed) > 1:
        return _of_several(question, text, (start, end), listed)
    item = listed[0]
    if _asks_amount(question) and not re.search(r"\d", text[start:end]):
        # The reader may have taken the name alone, and what is asked stands behind it.
        further = items(text, start, len(text))[0]
        item = further if further.name == item.name else item
    part = _of_one(question, text, item)
    return (span,) if part == item.whole and (start, end) == span else (part,)


def _dated_alone(text: str, listed: Sequence[Item]) -> bool:
    """Return whether the first of what is listed is a date, and no other has one."""
    first, *others = (text[slice(*item.whole)] for item in listed)
    return _DATE.fullmatch(first) is not None and not any(map(_DATE.search, others))


def _of_one(question: str, text: str, item: Item) -> Range:
    if item.quantity and _asks_amount(question):
        return item.quantity
    if item.quantity and _BOTH.search(question) and item.name < item.quantity:
        return item.name[0], item.quantity[1]
    begin, end = item.name
    name = text[begin:end]
    if item.notes and (part := _of_note(question, text, name, item.notes[0])):
        return part
    office = _OFFICE.match(name)
    if office and (_WHO.search(question) or _words(office[0]) <= _words(question)):
        begin += office.end()
    elif _HOW_MANY.search(question) and (found := _COUNTED.fullmatch(name)):
        end = begin + len(found[1])
    return begin, end


def _of_note(question: str, text: str, name: str, note: Range) -> Range | None:
    """Return what a note has of the answer; None where the name is the answer."""
    start, end = note
    inside, asked = text[start:end], _words(question)
    dated = _DATE.search(name) is not None
    if _TIME.search(question):
        return None if dated else _date(start, inside, asked)
    # A name that only says what was asked for, or a date where somebody is.
    repeated = _CALLED.search(question) is not None and asked >= _words(name) != set()
    if repeated or (dated and _PARTY.search(question)):
        before = _FROM.match(inside)
        return start + (before.end() if before else 0), end
    return note if _BESIDE.search(question) else None


def _date(start: int, inside: str, asked: set[str]) -> Range | None:
    """Return the date of a note; of several that of the only clause with a word of the question."""
    clauses = [c for c in re.finditer(r"[^,;]+", inside) if _DATE.search(c[0])]
    if len(clauses) > 1:
        clauses = [c for c in clauses if asked & _words(c[0])]
    dates = [d for c in clauses for d in _DATE.finditer(inside, *c.span())]
    if len(dates) == 1:
        return start + dates[0].start(), start + dates[0].end()
    return (start, start + len(inside)) if _DATE.search(inside) else None


def _of_several(question: str, text: str, span: Range, listed: Sequence[Item]) -> tuple[Range, ...]:
    label = _LABEL.search(text[: span[0]])
    asked = _words(question) - _words(label[1] if label else "")
    if _NONE.search(question):
        asked.add("none")
    shared = [len(asked & _words(text[slice(*item.name)])) for item in listed]
    named = [i for i, n in zip(listed, shared, strict=True) if n == max(shared) > 0]
    if _asks_amount(question) or _TIME.search(question):
        exact = [part for item in named if (part := _of_one(question, text, item)) != item.name]
        if len(exact) == 1:
            return (exact[0],)
        if _asks_amount(question):
            return (span,)
    units = {size.unit for item in listed if (size := _size(text, item))}
    if len(units) > 1 and (_MOST.search(question) or _LEAST.search(question)):
        return (span,)
    if one := _singled_out(question, text, listed, labelled=label is not None):
        return (one.name,)
    noted = [i for i in listed if any(_grants(text[slice(*n)], asked) for n in i.notes)]
    if noted or _lists_names(text, listed, labelled=label is not None):
        return tuple(item.name for item in noted or listed)
    return ((span[0], listed[-1].name[1]),) if listed[-1].notes else (span,)


def _grants(note: str, asked: set[str]) -> bool:
    """Return whether a note says of an item what the question restricts: "official"."""
    return bool(asked & _words(note)) and QUALIFIED.search(note) is None


def _lists_names(text: str, listed: Sequence[Item], *, labelled: bool) -> bool:
    """Return whether all are short names, and most have a quantity or a note: else it is prose.

    Behind a label it is enough that whatever has one is a name, and that nothing is denied.
    """
    if any(len(text[slice(*item.name)].split()) > _NAME_WORDS for item in listed):
        return False
    added = [item for item in listed if item.quantity or item.notes]
    named = (text[item.name[0]].isupper() for item in added)
    denied = (QUALIFIED.search(text[slice(*item.whole)]) for item in added)
    if labelled and added and all(named) and not any(denied):
        return True
    return 2 * len(added) > len(listed)


def _singled_out(
    question: str, text: str, listed: Sequence[Item], *, labelled: bool
) -> Item | None:
    """Return the item that "most" or "least" in a question means; None where it wants several.

    The first is the most where a labelled value of several has no quantities.
    """
    most, least = _MOST.search(question), _LEAST.search(question)
    if (found := most or least) is None or _SEVERAL.search(question):
        return None
    if _PLURAL.search(found[1]) and not _ONE.search(question):
        return None
    sizes = {n: s for n, item in enumerate(listed) if (s := _size(text, item)) is not None}
    if not most and len(sizes) < len(listed):
        return None
    if not sizes:
        return listed[0] if labelled and len(listed) > 2 else None
    pick = max if most else min
    return listed[pick(sizes, key=lambda n: sizes[n].size)]


def _size(text: str, item: Item) -> Quantity | None:
    found = quantities(text[slice(*item.quantity)]) if item.quantity else []
    return found[0] if found else None


def _clause(text: str, start: int, end: int) -> int:
    """Return where a name, number or date ends that a remark follows: "63 m; 3 km off Sabi"."""
    listed = items(text, start, end)
    for before, after in itertools.pairwise(listed):
        named = any(map(str.isupper, text[start : before.whole[1]]))
        if named and _REMARK.match(text, *after.whole):
            return before.whole[1]
    if len(listed) > 1 and (text[start].isupper() or text[start].isdigit()):
        first, second = listed[0].whole, listed[1].whole
        remark = text[second[0]].islower() and not QUALIFIED.search(text[second[0] : end])
        if remark and ";" in text[first[1] : second[0]]:
            return first[1]
    return end


def _asks_amount(question: str) -> bool:
    found = _AMOUNT.search(question)
    if found is None:
        return False
    # "Who has the largest share?" wants a name.
    return found[0].lower().startswith("how") or _PARTY.search(question) is None


def _words(text: str) -> set[str]:
    """Return the words that tell, in lower case and without the s of a plural."""
    found: Iterable[str] = re.findall(r"\w{3,}", text.casefold())
    return {word.removesuffix("s") for word in found if word not in _SMALL}
