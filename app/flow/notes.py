"""What a user should know beside the answer, in sentences. Pure functions.

The page, the command line and --json say the same.
"""

import re
from collections.abc import Iterable

from app.flow.events import Retrieval
from generator.answers.parsing import contains
from retriever.pictures.neighbours import SHOWN_FROM

# How far below the best passage one about another thing scores at most, where both may be meant.
# By this kbvqa-mini asks about 58 ± 6 % of pairs of flags side by side and 12 ± 4 % of single ones;
# of drawn things about 15 ± 5 % and 17 ± 5 %, mostly because a pair of those scores too low to mean
# anything (validation vendor, n = 60 each, AMD EPYC; these pictures chose it).
ALIKE = 1.0
# How much less alike a picture of another entity is at most, where both may be meant: of the flags
# of Monaco and Indonesia, and of Chad and Romania, 0.003 at most; of Ireland and Italy 0.07. And of
# the one that the best passage is about, where that is not the one most alike.
TWINS, _PREFERRED = 0.01, 0.05
SAME_LOOK = "another thing looks the same"
OTHER_LANGUAGE = "the question does not look like English"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that other languages of the Latin script have and English has not, and the other way round.
OTHERS = _set(
    """quel quelle quels quelles est ce cet cette ces le la les des du une dans où combien qui que
    comment quoi pourquoi sont
    welche welcher welches wie wo wer wann warum ist das der dieser dieses diese dieses ein eine
    dem den viele heißt sind
    cuál cuáles qué cómo dónde cuándo cuántos cuántas quién es esta este esto el los las una del
    país son
    qual quali è questo questa questi dove quanti quante che il gli della dello sono
    quais onde quantos quantas quem como isto esse essa da os um uma são
    wat welke waar hoe wanneer dit deze het een van zijn"""
)
ENGLISH = _set(
    """what which who whom whose where when why how is are was were be does did do can could has
    have had will would should may the a an of this that these those in on at to for from with and
    or its it they there name tell me many much long tall old big"""
)
# What the names of what the picture shows are called, by whether that is sure: said so that a
# guess does not read as an answer.
RECOGNISED = {True: "Recognised", False: "In the picture, perhaps"}
# Said behind a part that was looked at where nobody named one.
CHOSEN = " (chosen by the program)"
_WORD = re.compile(r"[^\W\d_]+")
_FEWEST_LETTERS = 2  # of a question


def notes(question: str, found: Retrieval) -> tuple[str, ...]:
    """Return what to know beside an answer, a sentence each; () for nothing.

    Args:
        question: as asked.
        found: all that was found.
    """
    said = []
    if found.cut:
        said.append(
            f"The question is longer than this checkpoint reads: about {found.cut} tokens at its "
            "end were not looked at. Ask a shorter one."
        )
    if not in_english(question):
        said.append(
            "The question does not look like English, the only language that these models read."
        )
    if (same := twins(question, found)) is not None:
        said.append(
            f"{same[0]} and {same[1]} look the same here; the answer is about "
            f"{found.hits[0].passage.title}. If the other is meant, ask with its name."
        )
    elif (two := alike(found)) is not None:
        said.append(
            f"{two[0]} and {two[1]} fit almost alike: which one is meant? Where the picture shows "
            "more than one thing, have a part of it looked at."
        )
    return tuple(said)


def shown_alike(similar: Iterable[tuple[str, float]]) -> str:
    """Return which pictures are like the asked one, of names and similarities; "" for none.

    >>> shown_alike([("Bagel", 0.97), ("Kaaba", 0.3)])
    'Bagel (0.97)'
    """
    return ", ".join(f"{name} ({cosine:.2f})" for name, cosine in similar if cosine >= SHOWN_FROM)


def twins(question: str, found: Retrieval) -> tuple[str, str] | None:
    """Return the names of two entities whose pictures are as much like the query's; else None.

    By their vectors: colours that lie a little elsewhere, or are of another shade, tell apart what
    one vendor draws. None where the question names one of them, or the best passage is about
    neither.
    """
    if len(found.similar) < 2 or not found.hits:
        return None
    one, *others = found.similar
    best = found.hits[0].passage.entity
    for other in others:
        if best not in (one.entity, other.entity):
            continue
        most = TWINS if best == one.entity else _PREFERRED
        named = contains(question, one.name) or contains(question, other.name)
        if one.cosine - other.cosine < most and one.name and other.name and not named:
            return one.name, other.name
    return None


def alike(found: Retrieval) -> tuple[str, str] | None:
    """Return the titles of two different things that the picture may show as well; else None.

    Only for checkpoints whose scores were calibrated, and where the best one is not too low to
    mean anything. Passages that speak of each other are about one thing.
    """
    if found.unsure or found.threshold is None or not found.hits:
        return None
    best = found.hits[0]
    for hit in found.hits[1:]:
        if best.score - hit.score >= ALIKE:
            break
        one, other = best.passage, hit.passage
        apart = not contains(one.text, other.title) and not contains(other.text, one.title)
        if one.title and other.title and apart:
            return one.title, other.title
    return None


def in_english(question: str) -> bool:
    """Return whether a question may be in English: that it is not has to be plain.

    It is not where it has next to no letters, most of them are of another script, or more of its
    words are such as only other languages have than such as English has.

    >>> [in_english(q) for q in ("Capital?", "Quelle est la capitale de ce pays ?", "首都是哪里？")]
    [True, False, False]
    >>> in_english('{"a": 1}'), in_english("1789")
    (False, False)
    """
    words = [word.casefold() for word in _WORD.findall(question)]
    letters = "".join(words)
    latin = sum(ord(letter) < 0x250 or 0x1E00 <= ord(letter) < 0x1F00 for letter in letters)
    if len(letters) < _FEWEST_LETTERS or 2 * latin < len(letters):
        return False
    return sum(w in OTHERS for w in words) <= sum(w in ENGLISH for w in words)
