"""A question longer than a checkpoint reads: the part of it that asks. Pure functions.

    asking_part("Hello! We saw it with the children last week. What does it eat?", fits)

A query has room for some thirty tokens, and what stands behind them is lost: with people who tell
first and ask last, the question itself.
"""

import re
from collections.abc import Callable

# What is said beside an answer to such a part.
IN_PART = (
    "The question is longer than this checkpoint reads: only the part that asks was looked at. "
    "Ask what else you want to know by itself."
)

_SENTENCE = re.compile(r"\S.*?(?:[.!?…？]+(?=\s|$)|\n|$)", re.DOTALL)
_ABBREVIATED = re.compile(r"\b(?:\w|mr|mrs|ms|dr|st|no|prof|etc|e\.g|i\.e)\.$", re.IGNORECASE)
_MARKED = re.compile(r"[?？]\W*$")
_WORD = r"(?:who(?:se|m)?|what|which|when|where|why|how)\b"
_WITH_WORD = re.compile(rf"\b{_WORD}", re.IGNORECASE)
# "We liked it, did we not?", "Isn't that nice?" ask nothing.
_TAG = re.compile(
    r"[,;]\s*\w+(?:n['’]t)?\s+(?:i|you|he|she|it|we|they|that)(?:\s+not)?\W*$|^\W*\w+n['’]t\b",
    re.IGNORECASE,
)
# Where somebody without a question mark, or in a long sentence, comes to what is asked.
_COMES = re.compile(
    r"\b(?:tell (?:me|us)|find out|(?:want|like|love|need) to know|wonder(?:ing)?|so|please)\b"
    r"[\s,:]*",
    re.IGNORECASE,
)
_TELLS = re.compile(rf"^\W*(?:{_WORD}|name the|list)|{_COMES.pattern}", re.IGNORECASE)
_ASKS = re.compile(
    rf"\b{_WORD}"
    r"|(?<=[,;:.–-] )(?:is|are|was|were|do|does|did|can|could|has|have|will|would|may)\b",
    re.IGNORECASE,
)
_FEW_WORDS = 2  # that are no question


def asking_part(question: str, fits: Callable[[str], bool]) -> str:
    """Return the part of a long question that asks, with as much before it as has room.

    Whole sentences up to the one that asks; else that sentence from where it begins to. The
    question as it is where it fits, or no part does.

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
    last = _asking(said)
    for first in range(last + 1):
        if fits(part := " ".join(said[first : last + 1])):
            return part
    sentence = said[last]
    begins = [found.end() for found in _COMES.finditer(sentence)][::-1]
    begins += [found.start() for found in _ASKS.finditer(sentence)]
    for start in begins:
        if len((part := sentence[start:]).split()) > _FEW_WORDS and fits(part):
            return part
    return question


def _asking(said: list[str]) -> int:
    """Return which of some sentences asks: the last with a mark and a question word, if any."""
    marked = [place for place, sentence in enumerate(said) if _MARKED.search(sentence)]
    plain = [place for place in marked if not _TAG.search(said[place])]
    worded = [place for place in plain if _WITH_WORD.search(said[place])]
    told = [place for place, sentence in enumerate(said) if _TELLS.search(sentence)]
    return (worded or plain or told or marked or [len(said) - 1])[-1]


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
