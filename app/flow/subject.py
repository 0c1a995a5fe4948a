"""A question that is about something else than its picture. Pure functions.

"What is the population of Uganda?" under the flag of Kenya is no question about Kenya, and the
length of their border is no answer. What such a question names is looked for, and the picture is
not.
"""

import re

# Words by which a question means its picture, or what was said before.
_POINTS = re.compile(
    r"\b(?:this|that|these|those|it|its|they|their|them|he|she|his|her|him|here|there|we|"
    r"picture|photo|photograph|image|shown|pictured)\b",
    re.IGNORECASE,
)
# A name in a question; it is matched with its capitals.
NAME = r"[A-Z][\w'’.-]*(?:\s+(?:of|and|the|[A-Z][\w'’.-]*))*"
_ABOUT = re.compile(
    rf"\b(?:of|in|about)\s+(?:the\s+)?(?P<name>{NAME})[\s?!.…]*$"
    rf"|\b(?P<owner>[A-Z]\w*(?:\s+[A-Z]\w*)*)['’]s\b"
)


def named_instead(question: str) -> str:
    """Return the name of what a question is about that does not mean its picture, or "".

    >>> named_instead("What is the population of Uganda?")
    'Uganda'
    >>> named_instead("and in the Czech Republic?")
    'Czech Republic'
    >>> named_instead("What is New Zealand's capital?")
    'New Zealand'
    >>> named_instead("Is this one of the flags of Africa?")
    ''
    >>> named_instead("When did independence come from France?")
    ''
    """
    found = _ABOUT.search(question)
    if found is None or _POINTS.search(question):
        return ""
    return (found["name"] or found["owner"]).rstrip(".")


def instead_of_picture(name: str) -> str:
    """Return what to know where a question was asked without its picture."""
    return f"The question names {name}, so the picture was not looked at."
