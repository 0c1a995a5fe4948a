"""A number or a year of a question beside that of a passage. Pure functions."""

import re

from generator.answers.deciding.fields import (
    BRACKETS,
    MINUS,
    WHEN,
    Field,
    changes_nothing,
    parts_of,
)
from generator.sentences import sentence
from generator.values.quantities import MONTH, QUANTITY, Quantity, comparable, quantity
from generator.values.wording import QUALIFIED, same_words, telling, without

# What is, is not what was or may be; numbers of events are.
NOT_NOW = re.compile(
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
# Of what happened once: from whom, and what came later.
_PARTED = re.compile(r"from (?:the )?(?!.*\b(?:or|and)\b)[A-Z][^\d?]*")
_LATER = re.compile(rf"(?:rebuilt|restored|renovated|reopened)(?: in)? {_DATE.pattern}")
# A number that some read as thousands; one whose minus is a word or stands apart.
_POINT = re.compile(r"-?[1-9]\d{0,2}\.\d{3}")
_OWED = re.compile(r"\b(?:deficit|loss|minus|negative|debt|below|shortfall)\b", re.IGNORECASE)
_TIMES = frozenset(("year", "month", "week", "day", "hour", "minute", "second"))


def asks_number(question: str) -> re.Match[str] | None:
    """Return the year or the amount that a question compares with; None where it has neither."""
    return _YEAR.search(question) or _COMPARED.search(question)


def compare(
    number: re.Match[str], text: str, span: tuple[int, int], field: Field | None, own: list[str]
) -> bool | None:
    """Return whether what a passage says holds beside the number of a question.

    Args:
        number: what `asks_number` found in the question.
        text: the passage.
        span: the characters that the reader took.
        field: the labelled value that they are in; None for prose.
        own: the words that tell only what the passage is about.

    Returns:
        None where that is not plain.
    """
    question = number.string
    known = _ONCE.search(question) if number.re is _YEAR else not NOT_NOW.search(question)
    if not known or _ERA.search(question) or _FROM.search(question, number.end()):
        return None
    asked = _asked(question, number, own)
    if field:
        return _compared(number, _measured(asked, field, number))
    return _compared(number, _told(asked, own, sentence(text, span), number))


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


def _measured(asked: list[str], field: Field, question: re.Match[str]) -> str:
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
    amount = BRACKETS.sub(" ", amount).strip()
    if MINUS.search(field.text, 0, begin) or not _beside(whole, amount, question):
        return ""
    return amount


def _told(asked: list[str], own: list[str], said: str, question: re.Match[str]) -> str:
    """Return the only amount of a sentence that has the words of the question and no others."""
    noted, said = said, BRACKETS.sub(" ", said)
    found = (_DATE if question.re is _YEAR else _AMOUNT).search(said)
    if found is None or not _beside(noted, found[0], question):
        return ""
    around = f"{said[: found.start()]} {said[found.end() :]}"
    if any(p.search(around) for p in (_VAGUE, _ERA, QUALIFIED)) or re.search(r"\d", around):
        return ""
    if question.re is _COMPARED and NOT_NOW.search(around):
        return ""
    return found[0] if same_words(asked, without(telling(around), own)) else ""


def _beside(said: str, amount: str, question: re.Match[str]) -> bool:
    """Return whether all brackets of what is said leave its amount what it is.

    "300 m (984 ft)" does, and "300 m (324 m)" and "1899 (or 1901)" do not.
    """
    parts = [part for note in BRACKETS.findall(said) for part in parts_of(note)]
    if question.re is _YEAR:
        return all(_PARTED.fullmatch(part) or _LATER.fullmatch(part) for part in parts)
    unit = (found := _AMOUNT.fullmatch(amount)) and _size(found).unit
    for part in parts:
        other = re.fullmatch(QUANTITY, part, re.IGNORECASE)
        if other and not WHEN.fullmatch(part):
            if quantity(*other.groups()).unit in ("", unit):
                return False
        elif not changes_nothing(part):
            return False
    return True


def _compared(question: re.Match[str], amount: str) -> bool | None:
    """Return whether an amount is beside the number of a question what it asks, in one unit."""
    if question.re is _YEAR:
        dated = _DATE.fullmatch(amount)
        if dated is None or dated[1] == question[2]:
            return None
        return (dated[1] > question[2]) == (question["more"] is not None)
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
    return larger == (question["more"] is not None)


def _size(found: re.Match[str]) -> Quantity:
    """Return the quantity that a match ends with."""
    return quantity(*found.groups()[-3:])
