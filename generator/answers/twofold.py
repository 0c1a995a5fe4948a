"""A question that asks two things: what it asks first. Pure functions.

    first_of_two("Who is the president and how old is he?")   # Who is the president?

A reader points at one stretch of words, and so answers one of the two without saying which.
"""

import re

# What is said beside an answer to the first, and why that is not given for the whole.
TWO_IN_ONE = "Two questions in one: only the first is answered; ask the other by itself."
HALF = "the question asks two things"

_BEFORE = r"(?:in|on|at|of|by|for|to|from|with|about)"
_WORD = r"(?:who|whom|whose|what|which|when|where|why|how)"
# "so, tell me in which": what stands before the first question word.
_HEAD = (
    r"(?:(?:and|so|but|ok|okay|hi|hello|hey|please|then|well)\b[\s,]*)*"
    r"(?:(?:(?:can|could|would) you )?(?:please )?tell me,? |do you know |i (?:want|would like) to "
    rf"know )?(?:{_BEFORE} )?"
)
_JOINED = re.compile(
    rf"(?P<first>{_HEAD}(?P<one>{_WORD})(?:['’]?s|['’]re)?\b.*?\w)[\s,;]*[,;\s](?:and|&)\s+"
    rf"(?:also )?(?:{_BEFORE} )?(?P<two>{_WORD})(?:['’]s|['’]re)?\s+(?!else\b)\w.*",
    re.IGNORECASE | re.DOTALL,
)
_SHARED = re.compile(
    rf"(?P<one>{_HEAD}{_WORD})\s+(?:and|&)\s+(?:{_BEFORE} )?{_WORD}(?P<rest>\s+\w.*\s\w.*)",
    re.IGNORECASE | re.DOTALL,
)
# "Who gave it to the museum, and when?"
_BEHIND = re.compile(
    rf"(?P<first>{_HEAD}{_WORD}(?:['’]?s|['’]re)?\b.*?\w)[\s,;]*[,;\s](?:and|&)\s+(?:also )?"
    r"(?:since )?(?:who|when|where|why|how(?: (?:much|many|long|often|old))?)\W*",
    re.IGNORECASE | re.DOTALL,
)
# "Why red? What does it stand for?" asks one thing twice, as people do who begin with why.
_MARKED = re.compile(
    rf"(?P<first>{_HEAD}(?!why|how come){_WORD}(?:['’]?s|['’]re)?\b[^?]*\w[^?\w]*\?)[\s?!]*"
    rf"(?:(?:and|also|but|so|then)\b[\s,]*)?(?:{_BEFORE} )?{_WORD}(?:['’]?s|['’]re)?\s"
    r"(?=[^?]*\w\s)[^?]*\?.*",
    re.IGNORECASE | re.DOTALL,
)
# These begin a clause as often as a question: "an animal that swims and which lays eggs".
_RELATIVE = re.compile(r"\s(?:that|which|who|whom|whose|where)\s", re.IGNORECASE)


def first_of_two(question: str) -> str | None:
    """Return what a question asks first where it plainly asks two things; None where it does not.

    Plainly: two question words joined by "and", or two questions with a mark each.

    >>> first_of_two("who is the president and how old is he")
    'who is the president?'
    >>> first_of_two("When and where was the tower built?")
    'When was the tower built?'
    >>> first_of_two("What is the capital? How many people live there?")
    'What is the capital?'
    >>> first_of_two("who gave this to the museum and when")
    'who gave this to the museum?'
    >>> first_of_two("What is the name of the animal that swims and which lays eggs?")
    """
    asked = question.strip()
    if found := _SHARED.fullmatch(asked):
        return f"{found['one']}{found['rest']}"
    if found := _MARKED.fullmatch(asked):
        return found["first"]
    if found := _BEHIND.fullmatch(asked):
        return f"{found['first']}?"
    found = _JOINED.fullmatch(asked)
    if found is None:
        return None
    first, two = found["first"], found["two"].lower()
    clause = two in ("which", "who", "where") and _RELATIVE.search(first[found.end("one") :])
    return None if two == "whose" or clause else f"{first}?"
