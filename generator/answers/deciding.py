"""Yes or no: said only where the words that were pointed at decide it. Pure functions.

The reader points at the words that decide a question for yes or no; whether they speak for yes or
for no it does not know (its own guess is right as often as a coin). Rules do, and each wants every
word of the question that tells something accounted for, and, but for a kind, none left over:

    compared    "Is it higher than 3,000 m?" beside "It is 3,776 m high"
    most        "Are most of them Hindu?" beside "Religions: Hindu 81.2%, Buddhist 8.2%"
    listed      "Do they speak French?" beside "Languages: Arabic (official), French"
    noted       "Is it landlocked?" beside "Geography note: landlocked; mountainous"
    larger      "Is it bigger than Texas?" beside "Area comparison: twice the size of Texas"
    kind        "Is it a berry?" beside "A banana is a fruit that is botanically a berry"
    plainly     "Has it a snooze button?" beside "It has no snooze button"
    any         "Is it landlocked?" beside "Coastline: 0 km", "Has it a jack?" beside "Jack: no"

A note in brackets that is none of the few kinds that change nothing leaves all open, and so does a
number that may be read in two ways: "3.000 m", which some write for three thousand.
A list denies nothing by what it has not: a thing has other names, and a list may not be whole.
Prose decides nothing but a number or a kind: the same words in another order say something else.
Else the words are shown, and that they are no yes and no no.
"""

import re
from dataclasses import dataclass
from typing import Literal

from generator.answers.comparing import is_larger
from generator.answers.defining import is_of_kind
from generator.answers.denying import said_plainly
from generator.sentences import sentence
from generator.values.items import Item, items
from generator.values.quantities import MONTH, QUANTITY, Quantity, comparable, quantity
from generator.values.wording import QUALIFIED, same_words, telling, without

Verdict = Literal["yes", "no"]

_AUXILIARY = (
    r"(?:is|are|am|was|were|do|does|did|can|could|has|have|had|will|would|should|must|may|might)"
)
_OPENING = re.compile(
    rf"\W*(?:(?:so|and|but|well|please|now|then|also|hey|hi|hello|tell me|say)\W+)*{_AUXILIARY}"
    r"(?:n['’]?t)?\s|\W*any\s(?!other\b|others\b)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(rf"[:,;]\s*{_AUXILIARY}(?:n['’]?t)?\s[^:;]*\?\W*$", re.IGNORECASE)
_TAG = re.compile(
    r",\s*(?:right|true|correct|yes|no|or not|innit)\W*$|\byes or no\b", re.IGNORECASE
)
_POLITE = re.compile(
    rf"\W*{_AUXILIARY}\s+(?:you|i|we|anyone|anybody|someone|somebody)\s+(?:please\s+)?"
    r"(?:tell|name|say|know|guess|explain|describe|identify|list|give|show|ask|find|remember|learn|"
    r"have)\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\w\s+or\s+(?!(?:not|more|less|so|fewer)\b)\w", re.IGNORECASE)
# "Does it have a coast, and how long is it?" wants the length.
_ASKS_MORE = re.compile(
    r"\b(?:what|which|who|whom|where|when|why|how)\b|(?:^|\band )whose\b", re.IGNORECASE
)
# A negation turns the answer round, and "only" asks for more than one rule looks at.
_TURNED = re.compile(
    r"\b(?:not|never|no|none|without|neither|nor|lacks?|lacking|except|excluding|unlike|all|always|"
    r"every|each|only|entirely|both|false|wrong)\b|n['’]t\b",
    re.IGNORECASE,
)
# What is, is not what was or may be; numbers of events are.
_NOT_NOW = re.compile(
    r"\b(?:was|were|did|had|been|used to|will|would|shall|should|must|may|might|could|ever)\b", re.I
)
_MORE = (
    r"(?:more|greater|higher|larger|bigger|longer|taller|deeper|older|heavier|wider) than|over|"
    r"above|exceeding|at least"
)
_LESS = (
    r"(?:less|fewer|smaller|shorter|lower|lighter|younger|narrower|shallower) than|under|below|"
    r"at most|up to"
)
_COMPARED = re.compile(
    rf"\b(?:(?P<more>{_MORE})|{_LESS})\s+{QUANTITY}(?:\s+(?:high|tall|long|wide|deep|old)\b)?",
    re.IGNORECASE,
)
# As what the number of a field is compared: "a longer coast", "a larger population".
_MEASURED_AS = {
    "coast": "length",
    "border": "length",
    "point": "height",
    "population": "area",
    **{word: word for word in ("area", "height", "length", "width", "depth", "weight", "age")},
}
_YEAR = re.compile(r"\b(?:(?P<more>after)|before)\s+(\d{4})\b(?![,.]\d)", re.IGNORECASE)
# What is so at one time may have been so before and after; these happen once.
_ONCE = re.compile(
    r"\b(?:found(?:ed|ing)|built|born|birth|died|death|discovered|established|complet(?:ed|ion)|"
    r"finished|opened|published|invented|created|erected|constructed|signed|launched|independence|"
    r"bec[oa]mes? independent)\b",
    re.IGNORECASE,
)
_DATE = re.compile(rf"(?:(?:\d{{1,2}}\s+)?{MONTH}\s+)?\b(\d{{4}})\b")
# Of "more than 5 kg" one side is known.
_AMOUNT = re.compile(rf"(?:(?:(?P<more>{_MORE})|(?P<less>{_LESS}))\s+)?{QUANTITY}", re.IGNORECASE)
# Words around a number that make it no measure of the whole.
_VAGUE = re.compile(
    r"\b(?:than|about|around|some|approximately|approx|roughly|circa|c|ca|nearly|almost|between|"
    r"from|to|by|since|or|can|could|may|might|per|each)\b|[~±–−-]",
    re.IGNORECASE,
)
# "Is it 5 km from the coast?" measures no coast.
_FROM = re.compile(r"\b(?:from|off|to|at|away|above|below)\b", re.IGNORECASE)
_ERA = re.compile(r"\b(?:BCE?|B\.C|AD|A\.D|CE|centur\w+|ago)\b")
_BRACKETS = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
# "eSIM", "Wi-Fi" and "5G" are labels too.
_LABEL = re.compile(
    r"(?:^|(?<=[.;\]] ))((?:[A-Z]|[a-z]{1,2}[A-Z]|\d+[A-Z])[A-Za-z-]*(?: [a-z-]+){0,4}): "
)
# "Kenya - Energy. Electricity: ...": what it is about, then the section.
_HEADING = re.compile(r"([A-Z][^.:;]{0,60}?) - [^.:;]{1,60}\. ")
# Notes that change nothing, each part by itself: when it was counted, and what more it is.
_WHEN = re.compile(rf"(?:(?:since )?(?:(?:\d{{1,2}} )?{MONTH} )?\d{{4}}(?: est\.?)?|est\.?)")
_RANK = re.compile(r"(?:co-)?official|national|official and national|landlocked", re.IGNORECASE)
# Of what happened once: from whom, and what came later.
_PARTED = re.compile(r"from (?:the )?(?!.*\b(?:or|and)\b)[A-Z][^\d?]*")
_LATER = re.compile(rf"(?:rebuilt|restored|renovated|reopened)(?: in)? {_DATE.pattern}")
# A number that some read as thousands; one whose minus is a word or stands apart.
_POINT = re.compile(r"-?[1-9]\d{0,2}\.\d{3}")
_OWED = re.compile(r"\b(?:deficit|loss|minus|negative|debt|below|shortfall)\b", re.IGNORECASE)
_MINUS = re.compile(r"[-–−]\s*$")
# It is doubtful, or one of two.
_UNSURE = re.compile(r"\b(?:or|may|might|possibly|probably|perhaps)\b|[?*†/]", re.IGNORECASE)
# Whose shares are shares of the people.
_OF_PEOPLE = ["language", "religion", "ethnic", "group"]
_TIMES = frozenset(("year", "month", "week", "day", "hour", "minute", "second"))
_STOP = re.compile(r"\.(?=\s|$)")
_AND = re.compile(r"\band\b")
_LESS_OF = re.compile(r"(?:free|less)\b", re.IGNORECASE)
_PER = re.compile(r"(?<!\s)(?:\s*\([^()]*\))?\s+per\s.*", re.DOTALL)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent|per cent)")
_NOTHING = re.compile(r"(?<![\d.,])0(?:\.0+)?(?![\d.,]*\d)")
_MOST = re.compile(r"\b(?:most|(?:the )?majority|more than half|over half)\b", re.IGNORECASE)
_HAVING = re.compile(
    r"\W*(?:(?:do|does)\b.*\bhave\b|(?:has|have|any|is there|are there)\b)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Field:
    """A labelled value: "Languages: Dutch (official), French".

    Attributes:
        text: the passage.
        label: the words before the colon that tell something.
        items: what the value lists, up to a full stop or the next label.
    """

    text: str
    label: list[str]
    items: list[Item]


def asks_yes_no(question: str) -> bool:
    """Return whether a question wants yes or no, by its form.

    >>> [asks_yes_no(q) for q in ("Is it big?", "it is big, right?", "Size: is it the biggest?")]
    [True, True, True]
    >>> [asks_yes_no(q) for q in ("What is it?", "Can you tell me its size?", "Is it red or blue?")]
    [False, False, False]
    """
    if _POLITE.match(question) or _CHOICE.search(question) or _ASKS_MORE.search(question):
        return False
    return bool(_OPENING.match(question) or _CLAUSE.search(question) or _TAG.search(question))


def decide(question: str, text: str, span: tuple[int, int], title: str = "") -> Verdict | None:
    """Return what a span of a passage says to a question for yes or no; None if no rule tells.

    Args:
        question: for which `asks_yes_no` holds. One with "not" or "only" in it is never decided.
        text: the passage.
        span: the characters that the reader took.
        title: what the passage is about: its name in the question tells nothing, nor does the one
            that the passage begins with.

    >>> decide("Is it higher than 3,000 m?", "It is 3,776 m high.", (6, 13))
    'yes'
    >>> text = "Oz - Languages. Languages: Arabic (official), French"
    >>> [decide(q, text, (27, 52), "Oz") for q in ("Is French spoken?", "Do they speak Thai?")]
    ['yes', None]
    """
    if _TURNED.search(question):
        return None
    field, heading = _field(text, span), _HEADING.match(text)
    own = telling(f"{title} {heading[1] if heading else ''}")
    if found := _YEAR.search(question) or _COMPARED.search(question):
        known = _ONCE.search(question) if found.re is _YEAR else not _NOT_NOW.search(question)
        if not known or _ERA.search(question) or _FROM.search(question, found.end()):
            return None
        asked = _asked(question, found, own)
        if field:
            return _compared(found, _measured(asked, field, found))
        return _compared(found, _told(asked, own, sentence(text, span), found))
    if _NOT_NOW.search(question):
        return None
    if (held := said_plainly(question, sentence(text, span), own)) is not None:
        return _said(held)
    if field is None:
        return "yes" if is_of_kind(question, sentence(text, span), own) else None
    start, end = field.items[0].whole[0], field.items[-1].whole[1]
    if "comparison" in field.label and (held := is_larger(question, text[start:end])) is not None:
        return _said(held)
    if found := _MOST.search(question):
        asked = without(telling(question.replace(found[0], " ")), own)
        return "yes" if _most(asked, field) else None
    asked = without(telling(question), own)
    if (held := _answered(asked, field)) is not None:
        return _said(held)
    if field.label[-1:] == ["note"] and _noted(asked, field):
        return "yes"
    if asked == ["landlocked"]:
        held = _any(["coast"], field)
        return None if held is None else _said(not held)
    if _HAVING.match(question) and (held := _any(asked, field)) is not None:
        return _said(held)
    return "yes" if _listed(asked, field) else None


def whole_items(question: str, text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Return a range of a passage, widened to the items of the labelled field that it is in.

    Of several items the one alone that the question names.

    >>> text = "Kenya - Borders. Border countries: Somalia 684 km; Uganda 814 km."
    >>> for words in ("814", "684 km; Uganda 814 km"):
    ...     at = text.index(words)
    ...     start, end = whole_items("Does it touch Uganda?", text, (at, at + len(words)))
    ...     print(text[start:end])
    Uganda 814 km
    Uganda 814 km
    """
    field = _field(text, span)
    touched = [
        item
        for item in (field.items if field else ())
        if item.whole[0] < span[1] and item.whole[1] > span[0]
    ]
    asked = set(telling(question))
    named = [item for item in touched if asked.intersection(telling(text[slice(*item.name)]))]
    if len(named) == 1:
        return named[0].whole
    starts, ends = zip(span, *(item.whole for item in touched), strict=True)
    return min(starts), max(ends)


def _asked(question: str, number: re.Match[str], own: list[str]) -> list[str]:
    """Return what a question measures: its words beside the number, else how it is compared.

    Nothing where the two do not go together: a coast's number is no width.
    """
    compared = telling(re.sub(QUANTITY, " ", number[0]))
    how = [word for word in compared if word in _MEASURED_AS.values()]
    if number.re is _COMPARED and _size(number).unit in _TIMES:
        # "A longer warranty": anything that is measured in time may be longer.
        how = ["duration" if word == "length" else word for word in how]
    if not (rest := without(telling(question.replace(number[0], " ")), own)):
        return how
    measured = {_MEASURED_AS.get(word) for word in rest} | {"duration"}
    return rest if measured.issuperset(how) else []


def _field(text: str, span: tuple[int, int]) -> _Field | None:
    """Return the labelled value that a span is in; None where it is in none."""
    labels = [found for found in _LABEL.finditer(text) if found.end() <= span[0]]
    if not labels or _TURNED.search(labels[-1][1]):
        return None
    start = labels[-1].end()
    following = _LABEL.search(text, start)
    end = following.start() if following else len(text)
    if stop := _STOP.search(text, start, end):
        end = stop.end()
    return _Field(text, telling(labels[-1][1]), items(text, start, end)) if span[1] <= end else None


def _measured(asked: list[str], field: _Field, question: re.Match[str]) -> str:
    """Return a field's amount where its label has the words of the question; else nothing."""
    # "Border countries: Mali 5 km; Chad 7 km": the first is not the whole.
    if len(field.items) != 1 or not same_words(asked, field.label):
        return ""
    item = field.items[0]
    start, end = item.whole
    whole = field.text[start:end]
    if any(p.search(whole) for p in (QUALIFIED, _ERA, _OWED)):
        return ""
    begin = item.quantity[0] if item.quantity else start
    amount = field.text[slice(*item.quantity)] if item.quantity else whole
    amount = _BRACKETS.sub(" ", amount).strip()
    if _MINUS.search(field.text, 0, begin) or not _beside(whole, amount, question):
        return ""
    return amount


def _beside(said: str, amount: str, question: re.Match[str]) -> bool:
    """Return whether all brackets of what is said leave its amount what it is.

    "300 m (984 ft)" does, and "300 m (324 m)" and "1899 (or 1901)" do not.
    """
    parts = [part for note in _BRACKETS.findall(said) for part in _parts(note)]
    if question.re is _YEAR:
        return all(_PARTED.fullmatch(part) or _LATER.fullmatch(part) for part in parts)
    unit = (found := _AMOUNT.fullmatch(amount)) and _size(found).unit
    for part in parts:
        other = re.fullmatch(QUANTITY, part, re.IGNORECASE)
        if other and not _WHEN.fullmatch(part):
            if quantity(*other.groups()).unit in ("", unit):
                return False
        elif not _changes_nothing(part):
            return False
    return True


def _parts(note: str) -> list[str]:
    """Return what a note says, each by itself."""
    return [part.strip() for part in re.split(r"[;,](?!\d{3})", note)]


def _changes_nothing(part: str, name: str = "") -> bool:
    """Return whether a part of a note is a date, a rank, an amount or the short form of a name.

    >>> [_changes_nothing(note, "euros") for note in ("2020 est.", "5 km", "EUR", "suspended")]
    [True, True, True, False]
    """
    if _WHEN.fullmatch(part) or _RANK.fullmatch(part):
        return True
    if found := re.fullmatch(QUANTITY, part, re.IGNORECASE):
        return bool(found[3])
    letters = iter(name.upper())
    return re.fullmatch(r"[A-Z]{3,4}", part) is not None and all(c in letters for c in part)


def _plain(asked: list[str], field: _Field, item: Item) -> bool:
    """Return whether the notes of an item change nothing, or are what the question asks about."""
    whole, name = field.text[slice(*item.whole)], field.text[slice(*item.name)]
    notes = [part for note in _BRACKETS.findall(whole) for part in _parts(note)]
    return not QUALIFIED.search(whole) and all(
        _changes_nothing(note, name) or same_words(telling(note), _shared(telling(note), asked))
        for note in notes
    )


def _shared(words: list[str], others: list[str]) -> list[str]:
    return without(words, without(words, others))


def _told(asked: list[str], own: list[str], said: str, question: re.Match[str]) -> str:
    """Return the only amount of a sentence that has the words of the question and no others."""
    noted, said = said, _BRACKETS.sub(" ", said)
    found = (_DATE if question.re is _YEAR else _AMOUNT).search(said)
    if found is None or not _beside(noted, found[0], question):
        return ""
    around = f"{said[: found.start()]} {said[found.end() :]}"
    if any(p.search(around) for p in (_VAGUE, _ERA, QUALIFIED)) or re.search(r"\d", around):
        return ""
    if question.re is _COMPARED and _NOT_NOW.search(around):
        return ""
    return found[0] if same_words(asked, without(telling(around), own)) else ""


def _compared(question: re.Match[str], amount: str) -> Verdict | None:
    """Return the verdict of an amount beside the number of a question, in one unit."""
    if question.re is _YEAR:
        dated = _DATE.fullmatch(amount)
        if dated is None or dated[1] == question[2]:
            return None
        return _said((dated[1] > question[2]) == (question["more"] is not None))
    if (found := _AMOUNT.fullmatch(amount)) is None:
        return None
    if any(map(_POINT.fullmatch, (question.groups()[-3], found.groups()[-3]))):
        return None
    asked, has = comparable(_size(question), _size(found))
    if asked.unit != has.unit or asked.size == has.size:
        return None
    larger = has.size > asked.size
    if found["less" if larger else "more"]:
        return None
    return _said(larger == (question["more"] is not None))


def _most(asked: list[str], field: _Field) -> bool:
    """Return whether more than half of something is what the question names.

    A smaller share denies nothing: "Christian 10%" beside "Protestant 60%".
    """
    named = without(asked, [*field.label, "population"])
    if without(without(field.label, asked), _OF_PEOPLE):
        return False  # "Tourists: German 60%" are no most people
    for item in field.items:
        if item.quantity and same_words(named, telling(field.text[slice(*item.name)])):
            share = _SHARE.fullmatch(field.text[slice(*item.quantity)])
            if share and _plain(named, field, item):
                return float(share[1]) > 50
    return False


def _listed(asked: list[str], field: _Field) -> bool:
    """Return whether a field that the question is about has what it names.

    "Is French official?" wants "official" among the notes of French.
    """
    asked = without(asked, ["population"])
    named = without(asked, field.label)
    # "Does its neighbour border Sudan?" says the label's word twice.
    if without(field.label, asked) or not 0 < len(asked) - len(named) <= len(field.label):
        return False
    for item in field.items:
        whole = field.text[slice(*item.whole)]
        if _NOTHING.search(whole) or _UNSURE.search(whole) or not _plain(named, field, item):
            continue
        name = _PER.sub("", field.text[slice(*item.name)])
        notes = [word for note in item.notes for word in telling(field.text[slice(*note)])]
        # "Sugar and gluten free oats": "free" may be said of both.
        parts = _AND.split(name)
        parts = parts if len(telling(parts[-1])) == 1 and not _LESS_OF.search(name) else []
        for words in map(telling, (name, *parts)):
            if words and not without(words, named) and not without(named, [*words, *notes]):
                return True
    return False


def _answered(asked: list[str], field: _Field) -> bool | None:
    """Return what a field says that is nothing but yes or no: "Headphone jack: no"."""
    if len(field.items) != 1 or not same_words(asked, field.label):
        return None
    whole = field.text[slice(*field.items[0].whole)].casefold()
    return {"yes": True, "no": False}.get(whole)


def _noted(asked: list[str], field: _Field) -> bool:
    """Return whether one of several remarks says just what a question asks: "landlocked"."""
    names = ((item, telling(field.text[slice(*item.name)])) for item in field.items)
    return any(same_words(asked, name) and _plain(asked, field, item) for item, name in names)


def _any(asked: list[str], field: _Field) -> bool | None:
    """Return whether there is any of what a field is called; None where it is not plain."""
    if len(field.items) != 1 or not same_words(asked, field.label):
        return None
    item = field.items[0]
    whole = field.text[slice(*item.whole)]
    if whole.lower() == "none":
        return False
    amount = re.fullmatch(QUANTITY, _BRACKETS.sub("", whole).strip(), re.IGNORECASE)
    if amount is None or not _plain(asked, field, item):
        return None
    size = quantity(*amount.groups()).size
    return None if size < 0 or _MINUS.search(field.text, 0, item.whole[0]) else size > 0


def _size(found: re.Match[str]) -> Quantity:
    """Return the quantity that a match ends with."""
    return quantity(*found.groups()[-3:])


def _said(holds: bool) -> Verdict:
    return "yes" if holds else "no"
