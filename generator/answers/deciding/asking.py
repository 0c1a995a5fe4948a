"""Whether a question wants yes or no, by its form. Pure functions."""

import re

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
