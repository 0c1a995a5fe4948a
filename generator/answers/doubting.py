"""What a question says that its answer leaves out of account: reasons to doubt it. Pure functions.

    a year      "How many lived there in 1950?" beside a sentence about 2010
    a choice    "Which is longer, the Volga or the Don?" answered with a length

A doubt makes an answer "unsure", however probable it is; the words are shown all the same.
"""

import re

from generator.values.wording import telling

_YEAR = re.compile(
    r"(?<![\d.,])(?:1[0-9]|20)\d\d"
    r"(?![\d%]|[.,]\d|s\b|\s?(?:[ckm]?m|ft|feet|met\w+|miles?|[km]?g|tons?|people|years)\b)"
)
# "before 1900", "between 1914 and 1918": years that need not be said.
_BOUND = re.compile(
    r"\b(?:before|after|until|till|since|by|from|to|between|and|than|around|about|under|over|"
    r"above|below|prior to|up to|later|earlier)\W+(?:the\W+|year\W+)*$",
    re.IGNORECASE,
)
_EITHER = re.compile(
    r"\b(?:which|who|what)\b[^,:]*\b(?:\w+er|more|less)\b[^,:]*[,:]\s*"
    r"(?:an?\s+|the\s+)?([^,:]+?),?\s+or\s+(?:an?\s+|the\s+)?([^,:]+?)\W*$",
    re.IGNORECASE,
)
# Behind an answer: "462 inhabitants in 2010", "120 km (2015 est.)".
_SAID_OF = re.compile(r"[^;,.()]{0,25}?(?:\b(?:in|by|of|until|since)\s+|\()(\d{4})\b")


def doubts_about(question: str, text: str, span: tuple[int, int]) -> tuple[str, ...]:
    """Return what speaks against an answer in the words of its question.

    Args:
        question: that was asked.
        text: the passage that the answer is from.
        span: the characters of the answer.

    >>> text = "Oz had 462 inhabitants in 2010 and 520 in 2002."
    >>> [doubts_about(f"How many in {year}?", text, (7, 10)) for year in (2010, 2002, 1950)]
    [(), ('it is said of 2010, not of 2002',), ('the passage says nothing of 1950',)]
    """
    found = []
    if said := _other_year(question, text, span):
        found.append(said)
    if (choice := _EITHER.search(question)) and not _offered(choice, text[slice(*span)]):
        found.append(f"it is neither “{choice[1]}” nor “{choice[2]}”")
    return tuple(found)


def _other_year(question: str, text: str, span: tuple[int, int]) -> str:
    years = [m for m in _YEAR.finditer(question) if not _BOUND.search(question[: m.start()])]
    if len(years) != 1:
        return ""
    asked = years[0][0]
    if asked not in text:
        return f"the passage says nothing of {asked}"
    said_of = _SAID_OF.match(text, span[1])
    if said_of is None or said_of[1] == asked or asked in text[slice(*span)]:
        return ""
    return f"it is said of {said_of[1]}, not of {asked}"


def _offered(choice: re.Match[str], answer: str) -> bool:
    """Return whether an answer has one of the two things that a question offers."""
    offered = {word for part in choice.groups() for word in telling(part)}
    return not offered or bool(offered & set(telling(answer)))
