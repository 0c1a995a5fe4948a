"""A slip in a question's word is mended before the question is looked up and read.

    mended("whats the captial")  ->  "whats the capital"

A word is mended where it is none and is one slip (Damerau-Levenshtein 1) from exactly one word
that is common in questions; of several, from exactly one by a likely slip. spelling.txt has those
common words, and of the words of dictionaries, of names and of the demo's passages those that are
one slip from them: no other word can be taken for a slip. `app.training.spelling` writes it.

A question's first word may be shorter: of "hwo" the next one says whether it is how or who.

Names stay: what begins with a capital, stands in quotation marks, or has a digit, hyphen, dot or
letter with an accent. So does every word of a question that is not plainly in English, or that
asks about a word.
"""

import re
import string
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from app.flow.notes import ENGLISH, OTHERS

WORDS = Path(__file__).with_name("spelling.txt")
# A shorter word has too many neighbours.
SHORTEST = 4
# Slips in the word that a question begins with, which are too short, or words elsewhere: a wat is a
# temple. "Hwo" is how before what may follow that, and who before anything else.
_FIRST = {"wat": "what", "wht": "what", "wich": "which", "whn": "when", "wen": "when"}
_FIRST |= {"wehre": "where"}
_FIRST |= {"woh": "who", "hwo": "who", "hw": "how"}
_AFTER_HOW = re.compile(
    r"\s+(?:many|much|old|long|big|small|large|tall|high|far|deep|wide|thick|heavy|light|often|fast|slow|"
    r"quickly|hot|cold|warm|strong|close|near|common|rare|dangerous|safe|expensive|loud|hard|"
    r"can|could|should|would|to|come|about|(?:do|does|did)(?!\s+(?:it|this|that)\W*$)|"
    r"(?:is|are|was|were)\s+(?:the\s+)?\w+\s+"
    r"(?:\w{2,}ed|\w+ten|made|built|done|drawn|grown|known|born|sold|spelt|found)(?=\W*$|\s+(?!by|to|with|for)))\b"
)

_QUOTED = re.compile(r"[\"“”„«‹][^\"“”„»›]*[\"“”»›]|(?<!\w)['‘’][^'‘’]*['’](?!\w)")
# A word of a-z with nothing beside it but white space, a comma or the like, "'s" or "n't".
_WORD = re.compile(r"(?<![^\s(,;:?!…])[A-Za-z][a-z]*(?=(?:['’]s)?[\s),;:?!….]*(?:\s|$))")
_ABOUT_A_WORD = re.compile(
    r"\b(?:mean(?:s|t|ing)?|words?|spel\w+|translat\w+|pronounc\w+|say|said|abbreviat\w+)\b",
    re.IGNORECASE,
)


class Words(NamedTuple):
    """What is known of words, all in small letters.

    Attributes:
        common: the words of questions, to which others may be mended.
        right: all that are words, the common ones among them.
    """

    common: frozenset[str]
    right: frozenset[str]


@cache
def known_words() -> Words:
    """Return the words of spelling.txt, read once."""
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    common, right = (line for line in lines if not line.startswith("#"))
    return Words(frozenset(common.split()), frozenset(right.split()) | frozenset(common.split()))


def mended(question: str, texts: Iterable[str] = ()) -> str:
    """Return a question with the slips in its words mended; itself where there are none.

    Args:
        question: as typed.
        texts: what stands in these is a word.

    >>> mended("Waht is the langauge of 'captial' here?")
    "What is the language of 'captial' here?"
    >>> mended("how high is lhotse"), mended("quelle est la captale")
    ('how high is lhotse', 'quelle est la captale')
    """
    if _ABOUT_A_WORD.search(question):
        return question
    quoted = [found.span() for found in _QUOTED.finditer(question)]
    words = known_words()
    there = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    slips = {}
    for found in _WORD.finditer(question):
        keep = any(start < found.end() and found.start() < end for start, end in quoted)
        keep = keep or found[0].lower() in there
        first = found.start() == 0
        asked = _asked(found[0], question[found.end() :], words) if first else ""
        meant = "" if keep else asked or _meant(found[0], words, first=first)
        if meant:
            slips[found.span()] = meant
    if not slips or not _plainly_english(question, set(slips), words):
        return question
    for (start, end), meant in reversed(slips.items()):
        question = question[:start] + meant + question[end:]
    return question


def _asked(typed: str, rest: str, words: Words) -> str:
    """Return the word that a question was to begin with; "" where it does, or nobody knows.

    Args:
        typed: the word that it begins with.
        rest: what stands behind that.
        words: that are known.
    """
    meant, following = _FIRST.get(typed.lower(), ""), re.match(r"\s+([a-z]+)\b", rest)
    # "Wat Arun" and "wat pho" are names.
    if not meant or not following or following[1] not in words.common | ENGLISH:
        return ""
    if typed.lower() == "hwo" and _AFTER_HOW.match(rest):
        meant = "how"
    return meant.capitalize() if typed[0].isupper() else meant


def _meant(typed: str, words: Words, *, first: bool) -> str:
    """Return the word that was meant; "" where it is the one that was typed, or nobody knows."""
    word = typed.lower()
    if len(word) < SHORTEST or word in words.right:
        return ""
    likely, others = one_slip_from(word)
    near, nearest = (likely | others) & words.common, likely & words.common
    found = near if len(near) == 1 and len(word) > SHORTEST else nearest
    if len(found) != 1:
        return ""
    [meant] = found
    if typed == word:
        return meant
    # With a capital it may be a name: only what begins questions is none.
    return meant.capitalize() if first and meant in ENGLISH else ""


def one_slip_from(word: str) -> tuple[set[str], set[str]]:
    """Return what a word is one slip from: by a likely one, and by another.

    Likely are a swapped pair, a letter left out, and one typed twice; others are a letter too many
    and a wrong one.

    >>> likely, others = one_slip_from("thhe")
    >>> sorted(likely & {"the", "hthe", "three", "thhen"}), sorted(others & {"hhe", "tche", "the"})
    (['hthe', 'the', 'thhen'], ['hhe', 'tche'])
    """
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    swapped = {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    left_out = {a + c + b for a, b in cuts for c in string.ascii_lowercase}
    twice = {a + b[1:] for a, b in cuts if b[:1] == b[1:2] != ""}
    too_many = {a + b[1:] for a, b in cuts if b}
    wrong = {a + c + b[1:] for a, b in cuts if b for c in string.ascii_lowercase}
    likely = (swapped | left_out | twice) - {word}
    return likely, (too_many | wrong) - likely - {word}


def _plainly_english(question: str, slips: set[tuple[int, int]], words: Words) -> bool:
    """Return whether the words beside the slips are English, as far as can be told."""
    found = re.finditer(r"[^\W\d_]+", question)
    rest = [word[0].casefold() for word in found if word.span() not in slips]
    english = sum(word in ENGLISH for word in rest)
    usual = sum(word in ENGLISH or word in words.common for word in rest)
    others = sum(word in OTHERS for word in rest)
    # "Captial?", and "hihgest point?": nothing beside them is of another language.
    if usual == len(rest) and not others:
        return True
    return english > others and 2 * usual >= len(rest)
