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

# What a name is asked of, and not what kind it is of: "Which plant is this?".
_NAMED = re.compile(
    r"\W*(?:(?:so|please|hey|hi|hello|can you|could you|tell me|do you know|say|and|ok)\W+)*"
    r"(?:what|which)\s+(?:plant|flower|tree|fruit|vegetable|mushroom|fungus|herb|animal|bird|fish|"
    r"insect|reptile|mammal|building|house|tower|bridge|castle|palace|church|cathedral|temple|"
    r"mosque|monument|statue|sculpture|painting|landmark|museum|city|town|island|mountain|volcano|"
    r"lake|river|waterfall|dish|food|drink|sport|tool|machine|vehicle|ship|instrument)\s+"
    r"(?:(?:is|was)\s+(?:this|that|it|shown|pictured)(?:\s+(?:one|here|called))?|am i looking at|"
    r"do (?:i|we|you) see)(?:\s+(?:in|on)\s+(?:the|this|my)\s+(?:picture|photo|image|pic))?\W*",
    re.IGNORECASE,
)


def asks_identity(question: str) -> bool:
    """Return whether a question asks what, or who, the picture shows, and nothing else.

    >>> [asks_identity(q) for q in ("What is this?", "Which plant is this?", "Who is this?")]
    [True, True, True]
    >>> asks_identity("What is this used for?") or asks_identity("What kind of thing is this?")
    False
    """
    return bool(_IDENTITY.fullmatch(question) or _NAMED.fullmatch(question))


def asks_person(question: str) -> bool:
    """Return whether a question asks for somebody: its words tell where the picture may not."""
    return re.match(r"\W*(?:\w+\W+){0,3}who\b", question, re.IGNORECASE) is not None


_LAND = r"(?:country|nation|state|territory|land|flag|place)"
_THIS = r"(?:this|that|it|these|those|the picture|the flag|here|shown|pictured)"
_COUNTRY = re.compile(
    r"\W*(?:(?:so|please|hey|hi|hello|can you|could you|tell me|do you know|say|and|ok)\W+)*(?:"
    rf"(?:what|which)\W?s?\s+{_LAND}(?:['’]?s)?(?:\s+flag)?"
    rf"(?:\s+(?:is|are|was)?\s*{_THIS}"
    r"(?:\s+(?:flag|country|nation|of|from|is|in the (?:picture|photo)))*)?"
    rf"|(?:what|which)\s+{_LAND}\s+(?:does|do|has)\s+(?:{_THIS}\s*)?(?:flag\s+)?"
    r"(?:belong to|stand for|represent|come from|flag)"
    rf"|whose\s+(?:flag|country|banner)(?:\s+(?:is|was)?\s*{_THIS})?"
    r"|(?:(?:what|which)(?:\s+is|['’]?s)\s+)?(?:the\s+)?name\s+(?:of\s+)?(?:this|that|the)?"
    rf"\s*{_LAND}"
    rf"|(?:what|which)(?:\s+is|['’]?s)\s+(?:this|that|the)\s+{_LAND}(?:\s+called)?"
    rf"|where\s+(?:is|does|are)\s+(?:this|that|the)\s+flag\s+(?:come\s+)?from"
    rf"|(?:identify|name)\s+(?:this|that|the)\s+{_LAND}"
    r")\W*",
    re.IGNORECASE,
)
# Fields that passages about countries have.
_COUNTRY_HAS = re.compile(
    r"\b(?:Capital|Country name|Nationality|Government type|Border countries|National anthem|"
    r"Government|Population|Independence|Coastline|Currency|Official name|Flag|Military forces): "
)


def asks_country(question: str) -> bool:
    """Return whether a question asks which country the picture, or its flag, is of, and no more.

    >>> [asks_country(q) for q in ("Which country is this?", "whose flag is that", "what flag")]
    [True, True, True]
    >>> asks_country("Which country is next to it?") or asks_country("what is this?")
    False
    """
    return _COUNTRY.fullmatch(question) is not None


def of_a_country(text: str) -> bool:
    """Return whether a passage is about a country, by its fields.

    >>> of_a_country("Chad - Flag. Flag: three bands."), of_a_country("The flag: three bands.")
    (True, False)
    """
    return _COUNTRY_HAS.search(text) is not None
