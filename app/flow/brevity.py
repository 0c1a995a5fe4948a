"""A question longer than a checkpoint reads: the part of it that asks. Pure functions.

    asking_part("Hello! We saw it with the children last week. What does it eat?", fits)

A query has room for some thirty tokens, and what stands behind them is lost: with people who tell
first and ask last, the question itself.
"""

import re
from collections.abc import Callable

_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+(?=\s|$)|$)", re.DOTALL)
_ABBREVIATED = re.compile(r"\b(?:\w|mr|mrs|ms|dr|st|no|prof|etc|e\.g|i\.e)\.$", re.IGNORECASE)
# A clause that asks: "…, can you tell me what it eats", "I wonder how old it is".
_ASKS = re.compile(
    r"\b(?:who(?:se|m)?|what|which|when|where|why|how)\b"
    r"|(?<=[,;:.–-] )(?:is|are|was|were|do|does|did|can|could|has|have|will|would|may)\b",
    re.IGNORECASE,
)


def asking_part(question: str, fits: Callable[[str], bool]) -> str:
    """Return the part of a long question that asks, with as much before it as has room.

    Whole sentences up to the last that ends with a question mark, or up to the last; else that
    sentence from where it begins to ask. The question as it is where it fits, or no part does.

    Args:
        question: as asked.
        fits: whether a question has room.

    >>> fits = lambda text: len(text.split()) <= 8
    >>> asking_part("We love it. Our children liked this bird best. What does it eat? Bye!", fits)
    'What does it eat?'
    >>> asking_part("as we were here with the whole family could you tell me how old it gets", fits)
    'how old it gets'
    >>> asking_part("What does it eat?", fits)
    'What does it eat?'
    """
    if fits(question):
        return question
    said = _sentences(question)
    asked = [place for place, sentence in enumerate(said) if sentence.rstrip().endswith("?")]
    last = asked[-1] if asked else len(said) - 1
    for first in range(last + 1):
        if fits(part := " ".join(said[first : last + 1])):
            return part
    for begins in _ASKS.finditer(said[last]):
        if fits(part := said[last][begins.start() :]):
            return part
    return question


def _sentences(text: str) -> list[str]:
    """Return the sentences of a text; what ends with an abbreviation goes on."""
    found: list[str] = []
    for match in _SENTENCE.finditer(text):
        sentence = match[0].strip()
        if found and _ABBREVIATED.search(found[-1]):
            found[-1] += f" {sentence}"
        else:
            found.append(sentence)
    return found
