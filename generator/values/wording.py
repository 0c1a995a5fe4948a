"""Which words of a question or a label tell something, and which are one. Pure functions."""

import re

_TOKEN = re.compile(r"[^\W\d_]+(?:['’]\w+)?|\d(?:[\d,.]*\d)?")
# What asks, what joins, and what is true of anything.
_SMALL = frozenset(
    "a an the this that these those it its he she they them their his her him one ones you i we "  # noqa: SIM905
    "my your there here is are am was were be been being do does did done have has had having can "
    "could will would shall should may might of in on at by to for from with as into about "
    "and or but if so then than what which who when where why how very really still also "
    "too even just already please tell me hey hi hello say well right true correct yes no any "
    "some sort kind type thing things something somebody person country countries nation "
    "state place animal plant call called access known total become becomes became "
    "commodity commodities".split()
)
# "Is this volcano active?" asks what is called so whether it is active.
_THIS = re.compile(r"\b(?:this|these|those)\s+\w+(?=\s+\w)", re.IGNORECASE)
_FORMS = {
    "coast": "coastline sea ocean seaside",
    "language": "speak speaks spoken",
    "currency": "currencies money pay pays",
    "border": "borders bordering neighbour neighbours neighbor neighbors touch touches",
    "point": "mountain peak summit",
    "population": "people live lives inhabitants residents",
    "area": "larger bigger smaller cover covers size",
    "height": "higher taller lower high tall",
    "length": "longer shorter long",
    "width": "wider narrower wide",
    "depth": "deeper shallower deep",
    "weight": "heavier lighter weigh weighs heavy",
    "age": "older younger old",
    "export": "sell sells sold",
    "import": "buy buys bought",
    "independence": "independent",
}
_ONE = {form: word for word, forms in _FORMS.items() for form in forms.split()}
_ENDINGS = frozenset(("", "s", "es", "e", "d", "ed", "ing", "y", "ies", "ied"))
# Without these words around it, what is said means something else.
QUALIFIED = re.compile(
    r"\b(?:not?|never|none|nor|neither|cannot|without|lacks?|except\w*|exclud\w+|unless|unlike|only|"
    r"but|former|formerly|once|until|ended|abolished|disputed|claimed|banned|closed|"
    r"fewer|half|dozens?|hundreds?|thousands?|scores?|pairs?)\b|n['’]t\b",
    re.IGNORECASE,
)


def telling(words: str) -> list[str]:
    """Return the words that tell something, in lower case, what means one as one.

    >>> telling("Does this monkey still have a striped tail?"), telling("Do they speak Thai?")
    (['striped', 'tail'], ['language', 'thai'])
    """
    found = (token.casefold() for token in _TOKEN.findall(_THIS.sub(" ", words)))
    return [_ONE.get(word, word) for word in found if word not in _SMALL]


def alike(first: str, second: str) -> bool:
    """Return whether two words are forms of one.

    >>> alike("ratify", "ratified"), alike("rib", "ribless"), alike("Niger", "Nigeria")
    (True, False, False)
    """
    if first.removesuffix("s") == second.removesuffix("s"):
        return True
    shared = 0
    while shared < min(len(first), len(second)) and first[shared] == second[shared]:
        shared += 1
    return shared >= 4 and {first[shared:], second[shared:]} <= _ENDINGS


def without(words: list[str], others: list[str]) -> list[str]:
    """Return the words that are no form of any of the others."""
    return [word for word in words if not any(alike(word, other) for other in others)]


def same_words(first: list[str], second: list[str]) -> bool:
    """Return whether both have words, and the same, in whatever form and order."""
    return bool(first and second) and not (without(first, second) or without(second, first))
