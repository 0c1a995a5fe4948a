"""Whether what a passage is about is of a kind, by the sentence that defines it. Pure functions.

Is this a mammal?       Bats are winged mammals, the only ...           yes
Is it really a berry?   A banana is a fruit that is botanically a berry yes
Is it a bear?           The koala is a herbivorous marsupial            no rule tells
Is it a planet?         Pluto is a dwarf planet                         no rule tells

Only what the definition's first noun is called, and what stands before it, is looked at: it denies
nothing, and what comes behind may be said of other things.
"""

import re

from generator.values.wording import QUALIFIED, alike, telling, without

_ASKED = re.compile(
    r"^\W*(?:(?:and|so|but|ok|well|hey|then|now)\W+)*(?:is|are)\s+(?:(?:a|an|the|this|that|these|those|it|they)\b)",
    re.IGNORECASE,
)
_DEFINES = re.compile(
    r"(?:(?:an?|the)\s+)?(?P<subject>[^,.;()]{2,40}?)(?:\s*\([^()]*\))?(?:,[^.;]*?,)?\s+(?:is|are)\s+"
    r"(?:(?:any|one|some)\s+of\s+(?:(?:the|several|various|many|numerous|\d[\d,]*)\s+)*"
    r"(?:[\w-]+\s+){0,2}?(?:species|types|kinds|members)\s+of\s+|"
    r"an?\s+(?:[\w-]+\s+)?(?:species|genus|breed|family|type|kind|form)\s+of\s+)?",
    re.IGNORECASE,
)
# "An elongated, edible fruit", up to what is said of it.
_KIND = re.compile(
    r"(?:(?:an?|the|any)\s+)?(?P<kind>(?:[a-z][\w-]*,\s+)*[a-z][\w-]*(?:\s+[a-z][\w-]*)*?)"
    r"(?=\s*[,;:.(—–]|\s+(?:that|which|who|whose|where|in|of|for|with|from|on|by|to|at|as|and|or|but|"
    r"made|grown|formed|composed|written|carried|drawn|during|used|native|found|known|belonging|closely|consist\w+|typically|usually|often|eaten|"
    r"produc\w+|having|containing|characteri[sz]\w+|endemic|living|built|designed|worn|played|"
    r"commonly|generally|mainly|primarily|located|within|between)\b|\s*$)"
)
_AND_SO = re.compile(r"\s+(?:that|which)\s+(?:is|are)\s+(?:[a-z]+ly\s+)?(?=an?\s)")
# A dwarf planet is not plainly a planet, and what is sometimes so is not so.
_NOT_QUITE = re.compile(
    r"\b(?:dwarf|former|false|pseudo\w*|quasi\w*|toy|model|fictional|mythical|mythological|legendary|"
    r"imaginary|proposed|hypothetical|so-called|artificial|synthetic|imitation|sometimes|partly|"
    r"semi\w*|non\w*|group|set|type|kind|part|lack|absence|study|name|term)\b",
    re.IGNORECASE,
)
# Of these there are degrees, and one.
_RANKED = re.compile(r"\w+est\b|\b(?:most|least|first|last|main|major|chief)\b", re.IGNORECASE)


def is_of_kind(question: str, said: str, own: list[str]) -> bool:
    """Return whether a sentence that defines something says that it is what a question asks.

    Args:
        question: for yes or no.
        said: a sentence.
        own: the words that tell of what its passage is about.

    >>> said = "A banana is an elongated, edible fruit that is botanically a berry grown in Oz."
    >>> [is_of_kind(f"Is it a {kind}?", said, ["banana"]) for kind in ("fruit", "berry", "Oz")]
    [True, True, False]
    """
    asked = without(telling(question), [*own, "actually", "technically", "considered"])
    found = _DEFINES.match(said)
    if not asked or found is None or not _ASKED.match(question) or _RANKED.search(question):
        return False
    subject = telling(found["subject"])
    if not subject or without(subject, own):
        return False
    at = found.end()
    while kind := _KIND.match(said, at):
        words = telling(kind["kind"])
        odd = _NOT_QUITE.search(kind["kind"]) or QUALIFIED.search(kind["kind"])
        if words and not odd and alike(words[-1], asked[-1]) and not without(asked, words):
            return True
        also = _AND_SO.match(said, kind.end())
        if also is None:
            return False
        at = also.end()
    return False
