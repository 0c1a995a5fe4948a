"""Who did what: the name behind "built by" is not who played it. Pure functions.

Who played this instrument?     ... built by [Fratelli Bonaldi]         no
Who built this instrument?      ... built by [Fratelli Bonaldi]         yes
Which country gave it away?     a gift to the [United States]           no

Only roles that surely are others are told apart: who designed a thing may be said to have made it.
"""

import re

# What is done by the same people, as far as such questions go.
_ROLES = {
    "make": "made make makes built build constructed manufactured produced created crafted cast "
    "forged assembled woven designed invented developed devised drawn written composed painted "
    "carved sculpted founded established",
    "own": "owned own owns bought purchased acquired",
    "play": "played play plays",
    "move": "ridden rode ride drove driven drive flew flown fly piloted steered sailed",
    "discover": "discovered discover discovers found",
    "open": "opened inaugurated",
    "repair": "repaired restored mended renovated",
    "use": "used worn wore",
    "give": "donated presented gave given bequeathed",
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words.split()}
_WHO = re.compile(r"\W*(?:(?:and|so)\s+)?who\b|.*\bby\s+whom\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
# "Built about 1912 by the brothers Bonaldi": a name stands behind.
_DONE_BY = re.compile(r"(?P<done>(?:[\w'’-]+\s+){1,5})by\s+(?:(?!by\b)[a-z]+\s+){0,3}$")

# Who got a present is not who gave it.
_GIVER_ASKED = re.compile(
    r"\b(?:who|whom|which\s+\w+|what\s+\w+)\b.*\b(?:gave|gives|given\s+by|donated|presented)\b"
    r"(?!.*\bto\W*$)|\bfrom\s+(?:whom|which|what)\b.*\b(?:present|gift)\b|"
    r"\b(?:present|gift)\s+from\b",
    re.IGNORECASE,
)
_GIVEN_TO = re.compile(
    r"\b(?:gifts?|given|presents?|presented|donated|donations?)\s+to\s+(?:the\s+|a\s+)?$", re.I
)


# Offices of which a label names one: "Trainer of the women: Petra Novak" is no captain.
_OFFICES = tuple(
    re.compile(rf"\b(?:{office})\b", re.IGNORECASE)
    for office in (
        "captain",
        "trainer|coach",
        "treasurer|cashier",
        "secretary",
        "chair(?:man|woman|person)?|president",
        "conductor",
        "librarian",
        "architect|designer",
        "founder",
        "mayor",
        "deput(?:y|ies)",
        "goalkeeper",
        "umpire|referee",
    )
)
# "Chief of state: President Ann Roe" is no king. A monarch is either.
_TITLES = tuple(
    re.compile(rf"\b(?:{title})\b", re.IGNORECASE)
    for title in (
        "president",
        "king|emperor|sultan|[ae]mir|monarch|sovereign",
        "queen|empress|monarch|sovereign",
        "prime minister|premier|chancellor",
    )
)
_WHO_HOLDS = re.compile(
    r"\W*who(?:['’]?s|\s+(?:is|are|was|were))\s+(?:(?:the|its|their|current|present)\s+)+"
    r"(?P<office>(?:prime\s+)?\w+)(?!['’\w])(?!\s+(?!of\b|in\b|here\b|there\b|now\b)\w)",
    re.IGNORECASE,
)
_TITLE_AT = re.compile(
    r"(?:President|King|Emperor|Sultan|[AE]mir|Queen|Empress|Prime Minister|Premier|Chancellor)\s+"
)
# "Secretary: Ina Voss, also treasurer".
_ITEM_BEHIND = re.compile(r"[^.;:\n]*(?=[.;\n]|\Z)")
_LABEL_BEFORE = re.compile(r"([A-Z][^.:;,]{2,40}):\s*\Z")


def other_role(question: str, text: str, start: int) -> bool:
    """Return whether a name is of who did something else than a question asks who did.

    Args:
        question: that the name may answer.
        text: the passage.
        start: where the name begins in it.

    >>> text = "It was built by Bonaldi and played by Hollander."
    >>> [other_role("Who played it?", text, text.index(n)) for n in ("Bonaldi", "Hollander")]
    [True, False]
    >>> other_role("Who is the captain?", "Trainer: Ann Roe.", 9)
    True
    >>> other_role("Who is the king?", "Chief of state: President Ann Roe.", 26)
    True
    >>> other_role("Who made it?", text, text.index("Bonaldi"))
    False
    >>> text = "It was a gift to Oz from Ub."
    >>> [other_role("Which country gave it?", text, text.index(name)) for name in ("Oz", "Ub")]
    [True, False]
    """
    if _GIVER_ASKED.search(question) and _GIVEN_TO.search(text, max(0, start - 40), start):
        return True
    if not _WHO.match(question):
        return False
    title = re.search(rf"{_TITLE_AT.pattern}\Z", text[max(0, start - 30) : start])
    title, holds = title or _TITLE_AT.match(text, start), _WHO_HOLDS.match(question)
    if title and holds:
        wanted, has = (
            {n for n, names in enumerate(_TITLES) if names.search(words)}
            for words in (holds["office"], title[0])
        )
        if wanted and not wanted & has:
            return True
    if label := _LABEL_BEFORE.search(text, max(0, start - 60), start):
        wanted, has = (
            {n for n, office in enumerate(_OFFICES) if office.search(words)}
            for words in (question, label[1])
        )
        also = _ITEM_BEHIND.match(text, start)
        if also and any(_OFFICES[n].search(also[0]) for n in wanted):
            return False
        if wanted and has and not wanted & has:
            return True
    asked = {_ROLE_OF.get(word.casefold()) for word in _WORD.findall(question)} - {None}
    done = _DONE_BY.search(text, max(0, start - 80), start)
    if len(asked) != 1 or done is None:
        return False
    roles = [role for word in done["done"].split() if (role := _ROLE_OF.get(word.casefold()))]
    return bool(roles) and roles[-1] not in asked
