"""A question that offers two: "Is this a fruit or a vegetable?" Pure functions."""

import re

from generator.values.wording import alike, telling

_BEFORE = r"(?:(?:an?|the|in|on|at|by|from|of|to|with|for|is|are|it|they|was|were)\s+)*"
_EITHER = re.compile(
    r"\b(?:which|who|what)\b[^,:]*\b(?:\w+er|more|less)\b[^,:]*[,:]\s*"
    r"(?:an?\s+|the\s+)?([^,:]+?),?\s+or\s+(?:an?\s+|the\s+)?([^,:]+?)\W*$",
    re.IGNORECASE,
)
_ONE_OR_OTHER = re.compile(
    r"^\W*(?:(?:and|so|but|ok|well)\W+)*(?:is|are|was|were|do|does|did|has|have|can|will|would)\s"
    r"(?:(?!\bor\b|\bif\b)[^,;:?])*?(?<![\w'’-])([\w'’-]+),?\s+or\s+"
    rf"{_BEFORE}(?!not\b|what\b|so\b|where\b|how\b|else\b|some|more\b|less\b|any|no\b|other)"
    r"([\w'’-]+)(?:\s+(?:there|then|here|please|pls|(?:do\s+)?(?:they|you|people)(?:\s+\w+){1,2}))?(?:\s+in\s+this\s+\w+)?\W*$",
    re.IGNORECASE,
)
# What says the one of two that is offered, in another word.
_SAYS = {
    word: tuple(said.split())
    for words, said in (
        ("day daytime", "diurnal daylight"),
        ("night nighttime", "nocturnal dark"),
        ("kids children", "kids children boys girls pupils"),
        ("adults", "grown men women"),
        ("man", "he king prince father son brother mr sir"),
        ("woman", "she queen princess mother daughter sister mrs lady"),
        ("meat animals", "carnivore carnivorous fish insects mammals birds rodents prey"),
        (
            "plants vegetables",
            "herbivore herbivorous leaves grass grasses bark fruit fruits seeds bamboo",
        ),
        ("water", "river lake pond sea ocean aquatic marine"),
        ("land", "terrestrial forest desert grassland savanna"),
    )
    for word in words.split()
}


def choice(question: str) -> tuple[str, str] | None:
    """Return the two things that a question offers; None where it offers none.

    >>> choice("Is this a fruit or a vegetable?"), choice("Which is longer, the Volga or the Don?")
    (('fruit', 'vegetable'), ('Volga', 'Don'))
    >>> choice("Is it old or what?"), choice("Is it true?"), choice("Can I eat it raw or not?")
    (None, None, None)
    """
    found = _EITHER.search(question) or _ONE_OR_OTHER.search(question)
    return (found[1], found[2]) if found else None


def chooses(offered: tuple[str, str], answer: str) -> bool:
    """Return whether an answer has one of the two things; True where neither has a word to tell.

    >>> [chooses(("fruit", "vegetable"), said) for said in ("fruits", "Capsicum")]
    [True, False]
    >>> chooses(("day", "night"), "nocturnal")
    True
    """
    words = [word for part in offered for word in telling(part)]
    words += [said for word in words for said in _SAYS.get(word, ())]
    said = telling(answer)
    return not words or any(alike(word, other) for word in words for other in said)
