"""Whether something is larger or smaller than what a passage compares it with. Pure functions.

Is it bigger than Texas?    slightly less than 3.5 times the size of Texas      yes
Is it bigger than Texas?    slightly smaller than Texas                         no
Is it bigger than Ohio?     slightly smaller than Texas                         no rule tells
"""

import re

_ASKED = re.compile(
    r"^\W*(?:(?:and|so|but)\W+)?is\b.*?\b(?:(?P<more>bigger|larger)|smaller)\s+than\s+(?P<what>[^,;?]+?)\W*$",
    re.IGNORECASE,
)
_LESS_THAN_ONE = (
    r"0\.\d+\s+times|half|(?:about\s+)?(?:one|two|three|four)[- ]\w+?(?:th|rd|lf|quarter|s)s?"
)
_SAID = re.compile(
    r"(?:(?P<more>larger\s+than|bigger\s+than|(?:twice|(?:[1-9]\d*(?:\.\d+)?|two|three|four|five|six|seven|"
    rf"eight|nine|ten)\s+times)(?=\s+the\s+size\s+of))|smaller\s+than|(?:{_LESS_THAN_ONE})"
    r"(?=\s+the\s+size\s+of))\s+(?:the\s+size\s+of\s+)?(?P<what>[^;()]+?)(?=\W*(?:;|\(|$))",
    re.IGNORECASE,
)
# "Slightly less than twice" is more than once; of once itself nothing is plain.
_ONCE = re.compile(r"^1(?:\.0)?\s")
_NAMES = {
    "us": "us",
    "usa": "us",
    "u.s": "us",
    "u.s.a": "us",
    "united states": "us",
    "united states of america": "us",
    "america": "us",
}


def is_larger(question: str, said: str) -> bool | None:
    """Return what a comparison says to a question for yes or no; None where it compares another.

    >>> asked = [f"Is it {how} than Texas?" for how in ("bigger", "smaller")]
    >>> [is_larger(q, "slightly less than 3.5 times the size of Texas") for q in asked]
    [True, False]
    >>> is_larger("Is it bigger than Ohio?", "slightly smaller than Texas")
    """
    asked = _ASKED.match(question)
    if asked is None:
        return None
    for found in _SAID.finditer(said):
        if _name(found["what"]) == _name(asked["what"]) and not _ONCE.match(found[0]):
            return (found["more"] is None) == (asked["more"] is None)
    return None


def _name(words: str) -> str:
    name = re.sub(r"^(?:the\s+)?(?:(?:us\s+)?state\s+of\s+)?", "", words.strip(" .").casefold())
    return _NAMES.get(name, name)
