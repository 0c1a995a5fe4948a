"""What a label, or the subject of a clause, says that a value is. Pure functions.

What is its new name?           [Former names]: Swaziland               not Swaziland
Which is its longest river?     [Lowest point]: Danube                  not the Danube
Which building is on it?        [description]: three bands              not three bands
Which volcano is active?        [Cabo Verde] - Terrain. ...             not Cabo Verde
What does the wheel mean?       [red stands for] blood; the wheel for   not blood

Only labels that surely are of something else are told apart, and clauses beside one that has the
word of the question.
"""

import itertools
import re

from generator.sentences import sentences
from generator.values.wording import alike, telling

# What a question has to have for a value behind a label, or must not have.
_LABELS = tuple(
    tuple(re.compile(part, re.IGNORECASE) for part in parts)
    for parts in (
        (
            r"(?:\A|[.;]\s+)lowest\s+point:\s*[^.;:]*\Z",
            r"\b(?:low|lower|lowest|deep|deepest|below|beneath|bottom|points?|depress\w*|sea\s+level|"
            r"altitude|elevation|height)\b",
        ),
        (
            r"(?:\A|[.;]\s+)highest\s+point:\s*[^.;:]*\Z",
            r"\b(?:high|higher|highest|tall|taller|tallest|peaks?|summit|mount\w*|mt|hills?|volcano\w*|top|"
            r"points?|climb\w*|altitude|elevation|height|(?:big|great|larg)\w*est|steep\w*|hik\w+|ski\w*|"
            r"alps|massif|range|up)\b",
        ),
        (
            r"\bformer\s+names?:\s*[^.:]*\Z",
            r"\b(?:before|old|former\w*|previous\w*)\b|^(?!.*\b(?:new|newest|latest|current|present)\s+(?:\w+\s+)?name\b)"
            r"(?!.*\b(?:called|named)\s+(?:now|today|nowadays|currently)\b)",
        ),
        (
            r"\bmilitary\s+forces:\s*[^.:]*(?:\([^()]*\):)?[^.:]*\Z",
            r"^(?!.*\b(?:charge|boss|leads?|leaders?|rules?|rulers?|reigns?|governs?|heads?)\b)|"
            r"\b(?:milit|arm(?:y|ies|ed)|forces?|soldier|defen[cds]|protect|guard|police|navy|ministry|"
            r"branch|missile|unit)",
        ),
        (
            r"\barea\s+comparison:\s*[^.:]*\Z",
            r"^(?!.*\b(?:flag|back|sides?|reverse|written|colou?rs?)\b)",
        ),
        (
            r"\bmajor\s+urban\s+areas:\s*[^:]*\Z",
            r"^(?!.*\bhow\s+many\s+(?:capitals|states|provinces|regions|islands|rivers|languages)\b)",
        ),
        (
            r"\bnational\s+colou?rs:\s*[^.:]*\Z",
            r"^(?!.*\b(?:means?|stands?|symboli[sz]es?|represents?|for|why)\W*$)",
        ),
        (
            r"\bflag:\s*\Z",
            r"^(?!\W*(?:and\s+)?(?:who|when|where|why)\b).*\b(?:look\w*|descri\w+|design\w*|pattern\w*|colou?r\w*|stripes?|bands?|shapes?)\b|"
            r"\b(?:what|how)(?:['’]s|\s+is|\s+does)\s+(?:on\s+)?(?:the|this|that|its|their)\s+(?:\w+\s+)?flag\b",
        ),
    )
)
# "What is a capsule hotel?" is answered where capsules are told of.
_DEFINED = re.compile(
    r"^\W*what(?:['’]?s|\s+is|\s+are)\s+(?:an?\s+)?(?!th)(?P<which>[\w-]+)\s+(?P<what>[\w-]+)\W*$",
    re.IGNORECASE,
)
# What the passage is about, "Oz - Terrain. ...", is none of what it has.
_HEADING = re.compile(r"[A-Z][^.:;]{0,60}?(?= - [^.:;]{1,60}\. )")
_PART_ASKED = re.compile(
    r"\b(?:which|what)\s+(?:\w+\s+)?(?:volcano(?:e?s)?|mountains?|peaks?|lakes?|oceans?|seas?|animals?|birds?|"
    r"trees?|flowers?|languages?|religions?|crops?|fruits?|dish(?:es)?|part(?:y|ies)|company|companies)\b",
    re.IGNORECASE,
)
# "Black for the people, and the star stands for hope": subjects, each with what it means.
_MEANS = re.compile(
    r"\b(?:stands?|standing)\s+for\b|\b(?:symboli[sz]|represent|signif|denot|recall|evok|"
    r"commemorat|reflect|depict)\w*|\bmeans?\b|\b(?:is|are)\s+(?:an?\s+)?symbols?\b|\bfor\b",
    re.IGNORECASE,
)
_NEXT = re.compile(
    rf";|\.\s|,\s+(?:and\s+)?(?=(?:the\s+)?(?:[\w-]+\s+){{1,4}}?(?:{_MEANS.pattern}))",
    re.IGNORECASE,
)
_MEANING = "meaning: "
_MEANING_ASKED = re.compile(
    r"\b(?:what|who|whom)\s+(?:do|does|did|is|are)\s+(?P<of>.+?)\s+"
    r"(?:supposed\s+to\s+)?(?:means?|stand(?:s|ing)?\s+for|symboli[sz]\w*|represent\w*|"
    r"signif\w+|for)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:in|on|of|at)\b.*", re.IGNORECASE)
_COLOURS = frozenset(
    "black white red green blue yellow orange brown purple crimson maroon silver grey".split()  # noqa: SIM905
)
_SHADES = {"gold": "yellow", "golden": "yellow", "gray": "grey", "scarlet": "red"}
_NO_SUBJECT = frozenset(
    "flag color colour colors colours symbol band bands stripe stripes part number shape".split()  # noqa: SIM905
)


def of_another_field(question: str, text: str, start: int, end: int) -> bool:
    """Return whether the label or the subject of a range of a text is none of a question's.

    >>> text = "Oz - Flag. Flag: description: a star on red meaning: red is for blood; the star "
    >>> text += "stands for hope. Former names: Ys. Lowest point: Sea 0 m."
    >>> def out(question: str, words: str) -> bool:
    ...     return of_another_field(question, text, text.index(words), text.index(words) + 1)
    >>> out("What does the star stand for?", "blood"), out("What does red mean?", "blood")
    (True, False)
    >>> out("What is its new name?", "Ys"), out("What was it called?", "Ys")
    (True, False)
    >>> out("Which is its longest river?", "Sea"), out("Where is it lowest?", "Sea")
    (True, False)
    """
    for label, wanted in _LABELS:
        if label.search(text, 0, start) and not wanted.search(question):
            return True
    defined = _DEFINED.match(question)
    if defined and _is_told_elsewhere(defined["which"], defined["what"], text, start):
        return True
    heading = _HEADING.match(text)
    if heading and heading[0] == text[start:end] and _PART_ASKED.search(question):
        return True
    return _means_another(question, text, start)


def _is_told_elsewhere(which: str, what: str, text: str, start: int) -> bool:
    """Return whether which one of a thing is meant is told behind the sentence of a place alone.

    >>> text = "A hotel is a house with rooms. In Oz capsule hotels have tiny ones."
    >>> [_is_told_elsewhere(which, "hotel", text, 11) for which in ("capsule", "good")]
    [True, False]
    """
    end = next(b for a, b in sentences(text) if a <= start < b)
    told, rest = set(telling(text[:end])), set(telling(text[end:]))
    one, thing = {which.casefold()}, {what.casefold()}
    return _among(thing, told) and _among(one, rest) and not _among(one, told)


def _means_another(question: str, text: str, start: int) -> bool:
    """Return whether a place is in a clause on the meaning of another thing than a question's.

    >>> text = "meaning: red is for blood, and the star stands for hope"
    >>> [_means_another(f"What does {it} mean?", text, text.index("blood"))
    ...     for it in ("the star", "the lion", "blue")]
    [True, False, True]
    """
    asked = _MEANING_ASKED.search(question)
    named = _subject(_PLACE.sub("", asked["of"])) - _NO_SUBJECT if asked else set()
    begin = text.find(_MEANING) + len(_MEANING)
    if not named or _MEANING not in text or start < begin:
        return False
    bounds = [begin, *(found.end() for found in _NEXT.finditer(text, begin)), len(text)]
    clauses = list(itertools.pairwise(bounds))
    a, b = next((a, b) for a, b in clauses if a <= start < b)
    means = _MEANS.search(text, a, start)
    if means is None or _among(named, _subject(text[a:b])):
        return False
    if named & _COLOURS and _subject(text[a : means.start()]) & _COLOURS:
        return True
    return any(_among(named, _subject(text[a:b])) and _MEANS.search(text, a, b) for a, b in clauses)


def _subject(words: str) -> set[str]:
    """Return the words that tell of a subject, shades of a colour as that."""
    return {_SHADES.get(word, word) for word in telling(words)}


def _among(named: set[str], said: set[str]) -> bool:
    return any(alike(word, other) for word in named for other in said)
