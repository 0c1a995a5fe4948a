"""Whether a passage says in so many words that there is something, or none of it. Pure functions.

Has it a snooze button?         It has no snooze button, and on purpose.        no
Are the batteries included?     It needs 3 batteries (not included).            no
Is the cable included?          A USB cable (included) or the mains.            yes
Is it vegan?                    Serves four. Vegan and gluten-free.             yes

What is denied has to be all that is asked about, and nothing more may be said of it.
"""

import re

from generator.values.wording import same_words, telling, without

_ASKED = re.compile(
    r"^\W*(?:(?:and|so|but)\W+)?(?:"
    r"(?:do|does)\s+(?:it|they|this|these|you|the\s+\w+)\s+"
    r"(?:have|contain|include|need|teach|offer|sell|serve)|"
    r"(?:has|have)\s+(?:it|they|this|you|the\s+\w+)(?:\s+got)?|(?:is|are)\s+there)\s+"
    r"(?:an?\s+|any\s+|the\s+)?(?P<what>[\w' -]+?)"
    r"(?:\s+(?:in|on|with|inside)\s+(?:it|them|this|here))?\W*$",
    re.IGNORECASE,
)
_NO = re.compile(
    r"(?:^|[,;.:(]\s*|\b(?:and|but|has|have|is|are|contains?|needs?|with)\s+)no\s+(?P<what>[\w'-]+(?:\s+[\w'-]+){0,3}?)"
    r"(?=\s*[,;.)]|\s+(?:and|but|or)\b|\s*$)",
    re.IGNORECASE,
)
_INCLUDED_ASKED = re.compile(
    r"^\W*(?:(?:and|so|but)\W+)?"
    r"(?:(?:is|are)\s+(?:the|an?|any)?\s*(?P<what>[\w' -]+?)\s+(?:included|in\s+the\s+box)|"
    r"does\s+(?:it|this)\s+come\s+with\s+(?:the|an?|any)?\s*(?P<with>[\w' -]+?))\W*$",
    re.IGNORECASE,
)
_INCLUDED = re.compile(
    r"(?P<what>[\w' -]+?)\s*(?:\((?P<out>not\s+)?included(?:\s+in\s+the\s+(?:price|box))?\)|"
    r"\s(?:is|are)\s+(?P<off>not\s+)?(?:included(?:\s+in\s+the\s+(?:price|box))?|in\s+the\s+box)"
    r"(?=\s*(?:[,;.:)]|$)|\s+(?:and|but)\b))",
    re.IGNORECASE,
)
_IS_SO = re.compile(
    r"^\W*(?:is|are)\s+(?:it|this|these|they)\s+(?P<what>[\w-]+)\W*$", re.IGNORECASE
)
_ITEM = re.compile(r"[^.;]+")
_AND = re.compile(r"\s+and\s+|,\s+")
# "Room 3 has no shower", "on Sundays there is no bus": of another thing, or at a time.
_SUBJECT = re.compile(
    r"\W*(?P<what>[^,;:()]*?)\s*\b(?:has|have|is|are|contains?|needs?|comes?)\b", re.IGNORECASE
)
_OPEN = re.compile(
    r"\b(?:if|unless|when|except|until|longer|without|only|not\s+yet)\b", re.IGNORECASE
)


def said_plainly(question: str, sentence: str, own: list[str]) -> bool | None:
    """Return what a sentence says to a question for yes or no; None where it says that not plainly.

    Args:
        question: for yes or no.
        sentence: of a passage.
        own: the words that tell of what the passage is about: they need not be said.

    >>> said = "It has no snooze button, and takes 2 batteries (not included)."
    >>> [said_plainly(q, said, []) for q in (
    ...     "Has it got a snooze button?", "Are the batteries included?", "Has it a button?")]
    [False, False, None]
    """
    if _OPEN.search(sentence):
        return None
    if asked := _INCLUDED_ASKED.match(question):
        wanted = without(telling(asked["what"] or asked["with"]), own)
        for found in _INCLUDED.finditer(sentence):
            if wanted and not without(wanted, telling(found["what"])):
                return not (found["out"] or found["off"])
        return None
    if asked := _ASKED.match(question):
        wanted = without(telling(asked["what"]), own)
        if (of := _SUBJECT.match(sentence)) and without(
            telling(of["what"]), [*own, *telling(question)]
        ):
            return None
        denied = (telling(found["what"]) for found in _NO.finditer(sentence))
        return False if any(same_words(wanted, words) for words in denied) else None
    if asked := _IS_SO.match(question):
        wanted = telling(asked["what"])
        for item in _ITEM.finditer(sentence):
            parts = [part.strip() for part in _AND.split(item[0].strip())]
            if all(len(part.split()) == 1 for part in parts) and any(
                same_words(wanted, telling(part)) for part in parts
            ):
                return True
    return None
