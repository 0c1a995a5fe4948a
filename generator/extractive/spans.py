"""From the network's logits to words of a passage. Pure functions.

The probability of a span is that of its start and its end among all spans that are allowed in
the window and "no answer" (both at token 0), so that a passage without an answer has little to
give whatever it holds.

Shapes: L tokens of a window, T tokens of the passage in it.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from corpus.words import words

MAX_SPAN_TOKENS = 72
# Start and end are read by themselves: where two answers compete, the start of one and the end of
# the other would do. In log-odds, for each sentence that ends inside and each token in it.
CROSSING, LENGTH = 4.0, 0.05
_SENTENCE = re.compile(r"(?<=[.!?؟])[\"')\]]*\s+|(?<=[。！？])[」』”’）]*\s*")
_SIGN = re.compile(r"(?<![^\s(])[-−–]$")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)[^\s,;()]*[\w/]")
_QUESTION_MARKS = ("?", "？", "؟")
_PAIRS = {"(": ")", "[": "]", "“": "”"}
# A sentence that repeats so much of the question in a row, and at least so many words, is an echo;
# where the question asks or points with one of these words it has to repeat that, too: "Tokyo is
# the capital of Japan" has most of "What is the capital of Japan?", and is its answer. What points
# at a picture was not written before the question.
_ASKED_SHARE, _ASKED_WORDS = 0.7, 3
_ASKING = (
    "what which who whom whose when where why how whats whos wheres hows "
    "this these those here shown "
    "où qui quel quelle quels quelles quand pourquoi comment combien wo wer wann warum wie welche "
    "welcher welches dónde quién qué cuál cuándo cuánto dove chi quando क्या कहाँ कौन कब"
)
# Of what is asked without any, and begins with none of these, a sentence that says so.
_VERBS = frozenset(
    "is are was were do does did can could will would has have had may must should".split()  # noqa: SIM905
)
_ANSWERS = re.compile(r"\banswers?\b|[:=]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `first` to `last` of the passage part of a window, and their log-probability."""

    first: int
    last: int
    logprob: float


def best_spans(
    start_L: Tensor,
    end_L: Tensor,
    first: int,
    allowed: Sequence[bool],
    *,
    count: int = 1,
    longest: int = MAX_SPAN_TOKENS,
    sentences: Sequence[int] = (),
) -> tuple[list[Span], float]:
    """Return the likeliest spans that do not overlap, best first, and log p(no answer).

    Of equal spans the earlier one comes first, and the shorter of those.

    Args:
        start_L: logits of beginning; token 0 stands for "no answer".
        end_L: logits of ending.
        first: where the passage's T tokens begin.
        allowed: for each of them, whether an answer may have it.
        count: spans wanted.
        longest: tokens of a span.
        sentences: the number of the sentence that each of them is in; () for all in one.
    """
    size = len(allowed)
    starts_T, ends_T = (logits[first : first + size].double() for logits in (start_L, end_L))
    pairs_TT = starts_T[:, None] + ends_T[None, :]
    places = torch.arange(size)
    inside = (places[None, :] >= places[:, None]) & (places[None, :] < places[:, None] + longest)
    # No forbidden token in the span: as many have been passed at its end as before its start.
    forbidden = torch.tensor([not a for a in allowed], dtype=torch.long)
    passed = torch.cat([torch.zeros(1, dtype=torch.long), forbidden.cumsum(0)])
    inside &= passed[None, 1:] == passed[:-1, None]
    pairs_TT = pairs_TT - LENGTH * (places[None, :] - places[:, None])
    if sentences:
        number = torch.tensor(sentences)
        pairs_TT = pairs_TT - CROSSING * (number[None, :] - number[:, None])
    pairs_TT = pairs_TT.masked_fill(~inside, -torch.inf)
    none = start_L[0].double() + end_L[0].double()
    total = torch.logaddexp(pairs_TT.flatten().logsumexp(0), none) if size else none
    found: list[Span] = []
    while len(found) < count and size and torch.isfinite(best := pairs_TT.max()):
        i, j = divmod(int((pairs_TT == best).flatten().int().argmax()), size)
        found.append(Span(i, j, float(best - total)))
        pairs_TT[: j + 1, i:] = -torch.inf  # whatever overlaps with it
    return found, float(none - total)


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a range of characters widened to whole words and to the bracket it leaves open.

    A number keeps its sign, and an address all that is behind its dots.

    >>> text = "Algerian dinars (DZD) per US dollar"
    >>> [text[slice(*whole_words(text, *r))] for r in [(0, 10), (9, 20), (17, 20)]]
    ['Algerian dinars', 'dinars (DZD)', 'DZD']
    >>> [text[slice(*whole_words(text, 4, 6))] for text in ("at -20 C", "1-2020 C")]
    ['-20', '2020']
    >>> text = "Write to school@museum.example. It is free."
    >>> text[slice(*whole_words(text, 9, 22))]
    'school@museum.example'
    """
    while start < end and text[start].isspace():
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in ",;:"):
        end -= 1
    while 0 < start < len(text) and _joined(text, start):
        start -= 1
    while 0 < end < len(text) and _joined(text, end):
        end += 1
    if _SIGN.search(text, max(0, start - 1), start) and text[start : start + 1].isdigit():
        start -= 1
    for address in _ADDRESS.finditer(text):
        if start < address.end() and address.start() < end:
            start, end = min(start, address.start()), max(end, address.end())
    span = text[start:end]
    for opening, closing in _PAIRS.items():
        if span.count(opening) > span.count(closing) and text[end : end + 1] == closing:
            end += 1
    return start, end


def echoes(question: str, text: str) -> list[tuple[int, int]]:
    """Return the ranges of sentences that repeat the question, or answer one that they ask.

    A passage that was written before the question does not repeat it; one that was planted to
    answer it does, and so does a sentence like "Q: ... A: ...". Nothing in them is an answer.

    >>> text = "Kenya. What is its capital? It is Oz. Capital: Nairobi."
    >>> [text[a:b] for a, b in echoes("What is its capital?", text)]
    ['What is its capital?', 'It is Oz.']
    >>> echoes("What is the capital of Oz?", "Emerald City is the capital of Oz.")
    []
    """
    bounds = [0, *(m.end() for m in _SENTENCE.finditer(text)), len(text)]
    sentences = [(a, b) for a, b in itertools.pairwise(bounds) if text[a:b].strip()]
    asked = _words(question)
    found: list[tuple[int, int]] = []
    after_question = False
    for a, b in sentences:
        sentence = text[a:b].rstrip()
        asks = sentence.endswith(_QUESTION_MARKS)
        repeats = _repeats(asked, sentence)
        if (
            repeats
            or asks
            or after_question
            or re.match(r"\W*(question|answer|q|a)\s*:", sentence, re.I)
        ):
            found.append((a, a + len(sentence)))
        after_question = asks
    return found


def _joined(text: str, at: int) -> bool:
    """Return whether the characters around a place are of one word, marks on letters included."""
    before, after = text[at - 1], text[at]
    if _is_mark(after):
        return before.isalnum() or _is_mark(before)
    return after.isalnum() and (before.isalnum() or _is_mark(before))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _words(text: str) -> list[str]:
    """Return the words of a text to compare: however composed, accented or cased.

    >>> _words("Wo liegt Co\u0302te d'Ivoire?") == _words("wo liegt CÔTE D’IVOIRE")
    True
    """
    apart = unicodedata.normalize("NFKD", text.casefold())
    return words("".join(c for c in apart if not _is_mark(c)))


def _repeats(asked: Sequence[str], sentence: str) -> bool:
    """Return whether a sentence has so much of a question in a row that it was made from it."""
    needed = max(_ASKED_WORDS, _ASKED_SHARE * len(asked))
    asking = [n for n, word in enumerate(asked) if word in _asking_words()]
    for start, length in _runs(asked, _words(sentence)):
        if length < needed:
            continue
        if asking:
            if any(start <= n < start + length for n in asking):
                return True
        elif asked[0] in _VERBS or _ANSWERS.search(sentence):
            return True
    return False


@cache
def _asking_words() -> frozenset[str]:
    return frozenset(_words(_ASKING))


def _runs(wanted: Sequence[str], words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where words in a row begin in `wanted` that both have, and how many they are."""
    row = [0] * (len(words) + 1)
    for i, word in enumerate(wanted):
        above = 0
        for j, other in enumerate(words, start=1):
            row[j], above = (above + 1 if word == other else 0), row[j]
            if row[j]:
                yield i + 1 - row[j], row[j]
