"""Questions that ask what the picture shows, and nothing else. Pure functions."""

import re

# What is left of such a question without these words is nothing.
_IDENTITY = re.compile(
    r"\W*(so|please|hey|hi|hello|can you|could you|tell me|do you know|say|quick)?\W*"
    r"((what|who)\W?(s| is| are| was)?|identify|name|recogni[sz]e|what am i|what are we)\s*"
    r"(looking at|seeing|being shown|shown|pictured|depicted|called|the name of|it called)?\s*"
    r"(is |are )?(this|that|it|these|those|here|the thing|the object|what is shown)?\s*"
    r"(thing|object|one|animal|person|place|called|then|here|supposed to be|exactly|is|are)?\s*"
    r"(in|on)?\s*(the|this|my)?\s*(picture|photo|image|pic)?\W*",
    re.IGNORECASE,
)


def asks_identity(question: str) -> bool:
    """Return whether a question asks what, or who, the picture shows, and nothing else.

    >>> [asks_identity(q) for q in ("What is this?", "what am i looking at", "Who is this?")]
    [True, True, True]
    >>> asks_identity("What is this used for?") or asks_identity("What kind of thing is this?")
    False
    """
    return _IDENTITY.fullmatch(question) is not None
