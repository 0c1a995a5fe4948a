"""Where a passage says what an animal eats. Pure functions.

Words for food have no form that tells them from others, but what stands before them does:
"it can digest starch, with a diet consisting almost entirely of bamboo".
"""

import re

# "What does it eat?", and not "Which animals eat hay?", nor what people eat.
_ASKED = re.compile(
    r"\b(?:eats?|eating|feeds?(?:\s+\w+ly)?\s+on|what\s+do(?:es)?\b.*\blives?\s+on|"
    r"preys?\s+(?:up)?on|consumes?|munch\w*(?:\s+on)?)"
    r"(?:\s+(?:\w+ly|mostly|most|almost|usually|in\s+(?:the\s+wild|nature)))*\W*$|"
    r"\b(?:diet|menu)\b|\b(?:its|their)\s+(?:\w+\s+)?(?:food|prey)\b",
    re.IGNORECASE,
)
_NOT_ASKED = re.compile(
    r"\b(?:people|humans?|person|we|you|i|one|places?|lands?|where|who|how|why)\b", re.IGNORECASE
)
_TELLS = re.compile(
    r"(?<!-)\b(?:eat(?:s|ing)?|feed(?:s|ing)?(?:\s+\w+ly)?\s+on|lives?\s+on|"
    r"prey(?:s|ing)?\s+(?:up)?on|prey(?=,)|consum(?:es?|ing)|graz(?:es?|ing)\s+on|"
    r"brows(?:es?|ing)\s+on|hunt(?:s|ing)?|suck(?:s|ing)?|sip(?:s|ping)?|diets?|food\s+source|main\s+food)\b",
    re.IGNORECASE,
)
# The words follow in the same sentence.
_TOLD = re.compile(rf"{_TELLS.pattern}[^.;:]*$", re.IGNORECASE)
_NAMED = re.compile(r"\b\w+(?:ivor(?:e|es|ous)|-eating|-based diet|-rich diet)\b", re.IGNORECASE)
# Before it in a range: the range begins with what something else is said of.
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had)\b", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|never|cannot|no|rarely)\b|n['’]t\b", re.IGNORECASE)


def asks_food(question: str) -> bool:
    """Return whether a question wants to know what an animal eats.

    >>> [asks_food(q) for q in ("What does it eat?", "whats its diet", "Which animals eat hay?")]
    [True, True, False]
    """
    return bool(_ASKED.search(question)) and not _NOT_ASKED.search(question)


def tells_food(text: str, start: int, end: int) -> bool:
    """Return whether a range of characters is told to be eaten, or says so itself.

    >>> text = "It can digest starch and has a diet of bamboo."
    >>> [tells_food(text, text.index(word), len(text)) for word in ("starch", "bamboo")]
    [False, True]
    >>> tells_food("It digests starch and is herbivorous.", 11, 36)
    False
    """
    named = _NAMED.search(text[start:end])
    if named and not _VERB.search(text[start:end][: named.start()]):
        return True
    return _affirmed(text, _TOLD.search(text, 0, start))


def food_from(text: str, start: int, end: int) -> int:
    """Return where in a range begins what is told to be eaten; its end where nothing is told.

    >>> text = "It can digest starch and has a diet of bamboo."
    >>> text[food_from(text, text.index("starch"), len(text)):]
    ' of bamboo.'
    >>> food_from("starch but never eats meat", 0, 26)
    26
    """
    if tells_food(text, start, end):
        return start
    tells = _TELLS.search(text, start, end)
    return tells.end() if tells and _affirmed(text, tells) else end


def _affirmed(text: str, told: re.Match[str] | None) -> bool:
    return told is not None and not _DENIED.search(text, max(told.start() - 15, 0), told.start())
