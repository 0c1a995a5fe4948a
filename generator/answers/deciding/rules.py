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
from typing import Literal

from generator.answers.deciding.comparing import is_larger
from generator.answers.deciding.defining import is_of_kind
from generator.answers.deciding.denying import said_plainly
from generator.answers.deciding.fields import TURNED, field_at
from generator.answers.deciding.lists import answered, has_any, is_listed, is_most, is_noted
from generator.answers.deciding.numbers import NOT_NOW, asks_number, compare
from generator.sentences import sentence
from generator.values.wording import telling, without

Verdict = Literal["yes", "no"]

# "Kenya - Energy. Electricity: ...": what it is about, then the section.
_HEADING = re.compile(r"([A-Z][^.:;]{0,60}?) - [^.:;]{1,60}\. ")
_MOST = re.compile(r"\b(?:most|(?:the )?majority|more than half|over half)\b", re.IGNORECASE)
_HAVING = re.compile(
    r"\W*(?:(?:do|does)\b.*\bhave\b|(?:has|have|any|is there|are there)\b)", re.IGNORECASE
)


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
    if TURNED.search(question):
        return None
    field, heading = field_at(text, span), _HEADING.match(text)
    own = telling(f"{title} {heading[1] if heading else ''}")
    if number := asks_number(question):
        return _said(compare(number, text, span, field, own))
    if NOT_NOW.search(question):
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
        return "yes" if is_most(asked, field) else None
    asked = without(telling(question), own)
    if (held := answered(asked, field)) is not None:
        return _said(held)
    if field.label[-1:] == ["note"] and is_noted(asked, field):
        return "yes"
    if asked == ["landlocked"]:
        held = has_any(["coast"], field)
        return _said(None if held is None else not held)
    if _HAVING.match(question) and (held := has_any(asked, field)) is not None:
        return _said(held)
    return "yes" if is_listed(asked, field) else None


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
    field = field_at(text, span)
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


def _said(holds: bool | None) -> Verdict | None:
    if holds is None:
        return None
    return "yes" if holds else "no"
