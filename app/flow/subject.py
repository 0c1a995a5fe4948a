"""A question that is about something else than its picture. Pure functions.

"What is the population of Uganda?" under the flag of Kenya is no question about Kenya, and the
length of their border is no answer. What such a question names is looked for, and the picture is
not.
"""

import re
from collections.abc import Iterator

# Words by which a question means its picture, or what was said before; and others that may.
_PICTURE = (
    "this|that|these|those|it|its|they|their|them|he|she|his|her|him|"
    "picture|photo|photograph|image|shown|pictured"
)
_MEANS = re.compile(rf"\b(?:{_PICTURE})\b", re.IGNORECASE)
_POINTS = re.compile(rf"\b(?:{_PICTURE}|here|there|we)\b", re.IGNORECASE)
# A name in a question; it is matched with its capitals.
NAME = r"[A-Z][\w'’.-]*(?:\s+(?:of|and|the|[A-Z][\w'’.-]*))*"
_ABOUT = re.compile(
    rf"\b(?:of|in|about)\s+(?:the\s+)?(?P<name>{NAME})[\s?!.…]*$"
    rf"|\b(?P<owner>[A-Z]\w*(?:\s+[A-Z]\w*)*)['’]s\b"
)
# "And Uganda?", after another question.
NAME_ALONE = re.compile(rf"\W*(?:and\s+)?(?:the\s+)?(?P<name>{NAME})[\s?!.…]*")
# "How heavy is the fire bell?", "Who built the linen loom?": it stands behind its verb.
_SUBJECT = re.compile(
    r"\W*(?:how|what|when|where|who|why)\b.*?\b(?:is|are|was|were|(?P<does>do|does|did)|made|built|"
    r"founded|invented|wrote|painted|designed|discovered)\s+(?:the\s+)?(?P<rest>\w.*)",
    re.IGNORECASE | re.DOTALL,
)
# "Is the castor bean toxic?", and not "Is France a neighbour?", which may be asked of a picture.
_IS_IT = re.compile(
    r"\W*(?:is|are|was|were|do|does|did|can|could|will|has|have|had)\s+(?:the|an?)\s+(?P<rest>\w.*)",
    re.IGNORECASE | re.DOTALL,
)
_MOST_WORDS = 6


def named_instead(question: str) -> Iterator[str]:
    """Yield what may be the name of what a question is about, if that is not its picture.

    What no passage is called is no name, and one small word may mean what is shown: "the animal".

    >>> list(named_instead("What is the population of Uganda?"))
    ['Uganda']
    >>> list(named_instead("and in the Czech Republic?"))
    ['Czech Republic']
    >>> list(named_instead("Uganda?"))
    ['Uganda']
    >>> list(named_instead("What is New Zealand's capital?"))
    ['New Zealand']
    >>> list(named_instead("How heavy is the fire bell here?"))
    []
    >>> list(named_instead("how heavy is the fire bell?")), list(named_instead("Who built Rome?"))
    (['fire bell'], ['Rome'])
    >>> list(named_instead("Is the castor bean toxic?"))
    ['castor bean toxic', 'castor bean']
    >>> "France" in named_instead("When did independence come from France?")
    False
    """
    if _POINTS.search(question):
        return
    if found := NAME_ALONE.fullmatch(question):
        yield found["name"]
    elif found := _ABOUT.search(question):
        yield (found["name"] or found["owner"]).rstrip(".")
    elif found := _SUBJECT.match(question):
        words = found["rest"].rstrip("?!. ").split()[:_MOST_WORDS]
        # "The ginkgo", "does the ginkgo need", and not "the website ending".
        alone = len(words) <= (2 if found["does"] else 1)
        least = 1 if alone or words[0][0].isupper() else 2
        yield from (" ".join(words[:count]) for count in range(len(words), least - 1, -1))
    elif found := _IS_IT.match(question):
        words = found["rest"].rstrip("?!. ").split()[:_MOST_WORDS]
        names = (words[:count] for count in range(len(words), 1, -1))
        yield from (" ".join(name) for name in names if any(word.islower() for word in name))


def may_be_shown(name: str, text: str) -> bool:
    """Return whether a name may mean what a picture shows: one small word that a text about it has.

    >>> owl = "Owls are birds of prey."
    >>> [may_be_shown(name, owl) for name in ("bird", "ginkgo", "Owls", "birds of prey")]
    [True, False, False, False]
    """
    if " " in name or not name[:1].islower():
        return False
    return re.search(rf"\b{re.escape(name)}(?:e?s)?\b", text, re.IGNORECASE) is not None


def means_picture(question: str) -> bool:
    """Return whether a question has a word for its picture, or for what was said before.

    >>> means_picture("How old is it?"), means_picture("Where are the toilets here?")
    (True, False)
    """
    return _MEANS.search(question) is not None


def instead_of_picture(name: str) -> str:
    """Return what to know where a question was asked without its picture."""
    return f"The question names {name}, so the picture was not looked at."


# What to know where passages about nothing in the collection answer better than the picture's.
PICTURELESS = "Other passages than those about the picture answer this, so it was not looked at."
