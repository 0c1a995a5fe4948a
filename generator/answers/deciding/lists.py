"""What a labelled value lists, says of most, or has none of. Pure functions."""

import re

from generator.answers.deciding.fields import BRACKETS, MINUS, Field, is_plain
from generator.values.quantities import QUANTITY, quantity
from generator.values.wording import same_words, telling, without

# It is doubtful, or one of two.
_UNSURE = re.compile(r"\b(?:or|may|might|possibly|probably|perhaps)\b|[?*†/]", re.IGNORECASE)
# Whose shares are shares of the people.
_OF_PEOPLE = ["language", "religion", "ethnic", "group"]
_AND = re.compile(r"\band\b")
_LESS_OF = re.compile(r"(?:free|less)\b", re.IGNORECASE)
_PER = re.compile(r"(?<!\s)(?:\s*\([^()]*\))?\s+per\s.*", re.DOTALL)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent|per cent)")
_NOTHING = re.compile(r"(?<![\d.,])0(?:\.0+)?(?![\d.,]*\d)")


def is_most(asked: list[str], field: Field) -> bool:
    """Return whether more than half of something is what the question names.

    A smaller share denies nothing: "Christian 10%" beside "Protestant 60%".
    """
    named = without(asked, [*field.label, "population"])
    if without(without(field.label, asked), _OF_PEOPLE):
        return False  # "Tourists: German 60%" are no most people
    for item in field.items:
        if item.quantity and same_words(named, telling(field.text[slice(*item.name)])):
            share = _SHARE.fullmatch(field.text[slice(*item.quantity)])
            if share and is_plain(named, field, item):
                return float(share[1]) > 50
    return False


def is_listed(asked: list[str], field: Field) -> bool:
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
        if _NOTHING.search(whole) or _UNSURE.search(whole) or not is_plain(named, field, item):
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


def answered(asked: list[str], field: Field) -> bool | None:
    """Return what a field says that is nothing but yes or no: "Headphone jack: no"."""
    if len(field.items) != 1 or not same_words(asked, field.label):
        return None
    whole = field.text[slice(*field.items[0].whole)].casefold()
    return {"yes": True, "no": False}.get(whole)


def is_noted(asked: list[str], field: Field) -> bool:
    """Return whether one of several remarks says just what a question asks: "landlocked"."""
    names = ((item, telling(field.text[slice(*item.name)])) for item in field.items)
    return any(same_words(asked, name) and is_plain(asked, field, item) for item, name in names)


def has_any(asked: list[str], field: Field) -> bool | None:
    """Return whether there is any of what a field is called; None where it is not plain."""
    if len(field.items) != 1 or not same_words(asked, field.label):
        return None
    item = field.items[0]
    whole = field.text[slice(*item.whole)]
    if whole.lower() == "none":
        return False
    amount = re.fullmatch(QUANTITY, BRACKETS.sub("", whole).strip(), re.IGNORECASE)
    if amount is None or not is_plain(asked, field, item):
        return None
    size = quantity(*amount.groups()).size
    return None if size < 0 or MINUS.search(field.text, 0, item.whole[0]) else size > 0
