"""A follow-up that is a piece of a question, put where its like stands in the one before.

    How long do the pedals last?            and the chain?      How long do the chain last?
    Who is the head of the music room?      and of the kitchen? Who is the head of the kitchen?
    How long does it keep without cream?    and with cream?     How long does it keep with cream?
    Who won the first prize?                and the second?     Who won the second prize?
    Who designed it?                        and the frame?      Who designed the frame?
    When did it become independent?         from whom?          from whom did it become independent?
    Who is the king?                        since when?         since when is the king in office?

Pure functions. What has no like there, or several unlike ones, is left to other rules.
"""

import re

_PREPOSITIONS = "of|in|on|at|by|for|to|from|with|without|before|after|during|under|over|about"
# No part of a noun with what stands before it.
_ENDS = (
    rf"{_PREPOSITIONS}|and|or|but|than|as|if|when|where|who|which|that|is|are|was|were|be|been|do|does|did|"
    "has|have|had|can|could|may|must|should|will|would|i|you|we|they|he|she|it|there|not|"
    "cost|costs|weigh|weighs|need|needs|take|takes|last|lasts|keep|keeps|hold|holds|carry|mean|"
    "means|open|opens|close|closes|come|comes|go|goes|run|runs|live|lives|made|built|born|cast|sold|"
    r"bought|lost|found|held|written|drawn|sung|won|known|shown|given|taken|burnt|sunk|"
    r"(?!hundred)\w{3,}[^e]ed"
)
_ARTICLES = "the|an?|my|your|our|its|their"
_WORD = rf"(?!(?:{_ENDS}|{_ARTICLES})\b)[\w'’./-]+"
_WORDS = rf"{_WORD}(?:\s+{_WORD}){{0,3}}"
_NOUN = rf"(?:(?:{_ARTICLES})\s+)?{_WORDS}"
_WITH_PREPOSITION = re.compile(rf"({_PREPOSITIONS})\s+({_NOUN})", re.IGNORECASE)
# "Does a lion eat": the last word is the verb.
_DOES = re.compile(r"\b(?:do|does|did|can|could|will|would|must|should|may)\s+\Z", re.IGNORECASE)
_VERB_BEHIND = re.compile(r"(?<=\w)\s+[\w'’-]+\Z")
_END = re.compile(
    r"\W*$|\s+(?:at|in|on)\s+(?:night|spring|summer|autumn|winter|\d+)\W*$", re.IGNORECASE
)
_WITH_ARTICLE = re.compile(rf"\b({_ARTICLES})\s+({_WORDS})", re.IGNORECASE)
_AMOUNT_OF = re.compile(
    rf"\b(how\s+(?:much|many))\s+((?!(?:{_ENDS}|{_ARTICLES}|more|less|older)\b)[\w'’-]+)",
    re.IGNORECASE,
)
# "What is the capital?", "How long is the coast?": there "the population" is another thing to know.
_ASKS_FOR_PART = re.compile(
    r"\W*(?:what|(?:which|how)\s+\w+|who)(?:['’]s|\s+(?:is|are|was|were))\s+$", re.IGNORECASE
)
# Who made "it" may be asked of a part, too.
_WHO_DID = re.compile(
    r"(\W*who\s+(?!(?:is|are|was|were|has|have|had|can|will|may)\b)\w+\s+)(?:it|this|that)(?:\s+\w+)?(?=\W*$)",
    re.IGNORECASE,
)
# What more is asked of what was asked.
_FURTHER = re.compile(
    rf"(?:(?:(?:{_PREPOSITIONS}|since|until)\s+)(?:whom?|what|where|when|which\s+\w+|what\s+\w+|"
    r"how\s+(?:long|many|much))|how\s+(?:many|much|often|long|far|fast|big))",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"\W*(?:when|where|why|how(?:\s+\w+)?|(?:in\s+)?(?:what|which)(?:\s+(?:year|country|city))?)\s+"
    r"((?:do|does|did)\s+.+?|(?:is|are|was|were)\s+.*\w(?:ed|en|ilt|orn|und|ade))\W*$",
    re.IGNORECASE,
)
_WHO_IS = re.compile(r"\W*who(?:['’]?s|\s+is|\s+are)\s+(?P<who>the\s+.+?)\W*$", re.IGNORECASE)
_SINCE = re.compile(r"since\s+when|(?:for\s+)?how\s+long", re.IGNORECASE)
_OFFICE = re.compile(
    r"(?:the|its|their)\s+(?:\w+\s+)?(?:president|king|queen|monarch|emperor|pope|minister|premier|chancellor|"
    r"governor|mayor|head\s+of\s+(?:state|(?:the\s+)?government)|leader|boss|chief)",
    re.IGNORECASE,
)
# What the picture shows, and what only means another thing.
_ANYTHING = re.compile(
    r"\b(?:country|nation|state|place|city|town|animal|plant|bird|fish|picture|flag|thing|one|ones|"
    r"other|others|rest|same)(?:\s+one)?\b",
    re.IGNORECASE,
)
_SUCH_A_ONE = re.compile(r"the\s+(?P<such>(?!(?:other|same|next)\b)[a-z]+)\s+ones?", re.IGNORECASE)
_SAME = {"without": "with", "an": "a", "after": "before"}
# Of one kind, one may stand in the place of the other.
_KINDS = tuple(
    re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for words in (
        r"first|second|third|fourth|fifth|last",
        r"red|yellow|green|blue|black|white|brown|gr[ae]y|orange|pink|purple|gold(?:en)?|silver",
        r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|weekends?|weekdays?",
        r"men|women|boys|girls|adults?|child(?:ren)?|kids|students?|pensioners|seniors|juniors|males?|females?",
        r"spring|summer|autumn|winter",
        r"small|medium|large|big|smallest|largest|biggest|smaller|larger|bigger|older|younger|oldest|youngest",
        r"mornings?|afternoons?|evenings?|nights?|noon",
        r"left|right",
        r"1\d{3}|20\d\d",
    )
)


def put_in_place(piece: str, before: str) -> str:
    """Return the question before with a piece in the place of its like; "" where it has none.

    Args:
        piece: the follow-up, without "and" or a mark: a noun, with or without a preposition.
        before: the question before, such that it stands alone.

    >>> put_in_place("the chain", "How long do the pedals last?")
    'How long do the chain last?'
    >>> put_in_place("with cream", "how long does it keep without cream")
    'how long does it keep with cream'
    >>> put_in_place("the second", "Who won the first prize in 2024?")
    'Who won the second prize in 2024?'
    >>> put_in_place("the population", "What is the capital of this country?")
    ''
    """
    if of := _SUCH_A_ONE.fullmatch(piece):
        likes = [m for m in _WITH_ARTICLE.finditer(before) if " " in m[2] and m[2].islower()]
        if likes:
            noun = likes[-1][2].split()[-1]
            return _put(f"the {of['such']} {noun}", before, likes[-1])
    if _ANYTHING.search(piece):
        return ""
    for kind in _KINDS:
        new, old = kind.search(piece), list(kind.finditer(before))
        if new and len(old) == 1 and kind.sub("", piece).strip().lower() in ("", "the", "for the"):
            return before[: old[0].start()] + new[0] + before[old[0].end() :]
    if found := _WITH_PREPOSITION.fullmatch(piece):
        likes = [m for m in _WITH_PREPOSITION.finditer(before) if _one(m[1]) == _one(found[1])]
        return _put(piece, before, likes[-1]) if likes else ""
    if _OFFICE.fullmatch(piece) and (_WHO_IS.match(before) or _SINCE.match(before)):
        return f"Who is {piece}?"
    if found := _WITH_ARTICLE.fullmatch(piece):
        likes = [
            like
            for like in _likes_with_article(before)
            if _one(like[1]) == _one(found[1]) and not _ANYTHING.fullmatch(like[2])
        ]
        last = piece.split()[-1].casefold()
        if same := [like for like in likes if like[2].split()[-1].casefold() == last]:
            return _put(piece, before, same[-1])
        likes = [m for m in likes if not _ASKS_FOR_PART.fullmatch(before, 0, m.start())]
        likes = [m for m in likes if m[2].islower() == found[2].islower()] or likes
        if likes:
            return _put(piece, before, likes[-1])
        if did := _WHO_DID.match(before):
            return did[1] + piece + before[did.end() :]
        return ""
    if re.fullmatch(_WORDS, piece, re.IGNORECASE) and (of := _AMOUNT_OF.search(before)):
        return before[: of.start(2)] + piece + before[of.end(2) :]
    return ""


def asked_further(piece: str, before: str) -> str:
    """Return a question that asks a further thing of what the one before asked; "" for none.

    Args:
        piece: the follow-up: a question word or two, with a preposition perhaps.
        before: the question before, such that it stands alone.

    >>> asked_further("from whom", "When did it become independent?")
    'from whom did it become independent?'
    >>> asked_further("since when", "Who's the president?")
    'since when is the president in office?'
    >>> asked_further("from whom", "What is the capital?")
    ''
    """
    who = _WHO_IS.match(before)
    if who and _SINCE.fullmatch(piece) and _OFFICE.match(who["who"]):
        return f"{piece} is {who['who']} in office?"
    said = _SAID.match(before)
    return f"{piece} {said[1]}?" if said and _FURTHER.fullmatch(piece) else ""


def _one(word: str) -> str:
    word = word.casefold()
    return _SAME.get(word, word)


def _likes_with_article(before: str) -> list[re.Match[str]]:
    """Return the nouns of a question that have an article, without the verb that it ends with.

    >>> [like[0] for like in _likes_with_article("What does a lion eat?")]
    ['a lion']
    """
    found = list(_WITH_ARTICLE.finditer(before))
    for n, like in enumerate(found):
        verb = _VERB_BEHIND.search(before, like.start(), like.end())
        if verb and _DOES.search(before, 0, like.start()) and _END.match(before, like.end()):
            found[n] = _WITH_ARTICLE.match(before, like.start(), verb.start()) or like
    return found


def _put(piece: str, before: str, like: re.Match[str]) -> str:
    return before[: like.start()] + piece + before[like.end() :]
