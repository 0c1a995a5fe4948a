"""Where the sentences of a passage begin and end, as a reader sees them. Loads no torch."""

import itertools
import re
from bisect import bisect_right
from collections.abc import Sequence

# A sentence ends where a capital follows, and not behind an initial or a short form.
_NEXT = re.compile(r"(?<=[a-z0-9)\]\"'%][.!?])\s+(?=[A-Z\"'(])")


def sentence_numbers(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return for ranges of characters, in order, the number of the sentence that each begins in.

    >>> sentence_numbers("It eats. Fish.", [(0, 2), (3, 7), (7, 8), (9, 13)])
    [0, 0, 0, 1]
    """
    bounds = [match.end() for match in _NEXT.finditer(text)]
    return [bisect_right(bounds, start) for start, _ in offsets]


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the ranges of a text's sentences, each with the space behind it.

    >>> text = "It eats. Fish swim."
    >>> [text[a:b] for a, b in sentences(text)]
    ['It eats. ', 'Fish swim.']
    """
    return list(
        itertools.pairwise([0, *(match.end() for match in _NEXT.finditer(text)), len(text)])
    )


def sentence(text: str, span: tuple[int, int]) -> str:
    """Return the sentences that a range of characters is in.

    >>> sentence("It eats. Fish swim. It sleeps.", (9, 13))
    'Fish swim. '
    """
    inside = [(a, b) for a, b in sentences(text) if a < span[1] and span[0] < b]
    return text[inside[0][0] : inside[-1][1]]
