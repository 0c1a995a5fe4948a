"""Passages as data in a prompt: one line, free of what could pass for structure, cut to fit.

Pure functions. The budget is in tokens by `estimate_tokens`, which no tokenizer is needed for:
the same passages are then read whichever generator reads them.
"""

import re
import unicodedata
from collections.abc import Sequence

from corpus.types import Passage

_FOOTNOTE = re.compile(r"\[\d+(?:\s*,\s*\d+)*\]")
_TAG = re.compile(r"<(?=[|/!A-Za-z])")
_PIECE = re.compile(r"[A-Za-z]+|\s+|.", re.DOTALL)
_LETTERS_A_TOKEN = 4


def passage_text(passage: Passage) -> str:
    """Return a passage on one line, headed by its title and free of footnote marks."""
    text = one_line(_FOOTNOTE.sub("", passage.text))
    title = one_line(passage.title)
    return text if text.startswith(title) else f"{title}. {text}"


def raw_text(passage: Passage) -> str:
    """Return a passage as it is, headed by its title: what a prompt without defences has."""
    return (
        passage.text
        if passage.text.startswith(passage.title)
        else f"{passage.title}. {passage.text}"
    )


def one_line(text: str) -> str:
    """Return `text` without what could pass for the structure of the prompt.

    Every run of white space, line separators included, becomes one space; control and
    invisible characters are dropped; and what looks like a tag or a control token
    ("<|im_end|>", "<image>") is broken by a space.
    """
    spaced = " ".join(text.split())
    visible = "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs"))
    return " ".join(_TAG.sub("< ", visible).split())


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, rather too many than too few.

    Four letters of a word count as a token, a digit or mark as one, and any other character
    as its bytes in UTF-8, which is the most that a byte-level tokenizer makes of it.

    >>> estimate_tokens("Capital: Paris (1789)")
    11
    """
    return sum(_size(piece[0]) for piece in _PIECE.finditer(text))


def share(texts: Sequence[str], budget: int) -> list[str]:
    """Return the texts cut so that they have about `budget` tokens together.

    Equal shares; what a short text leaves unused is passed on to longer ones.
    """
    sizes = [estimate_tokens(text) for text in texts]
    kept = [""] * len(texts)
    for done, i in enumerate(sorted(range(len(texts)), key=lambda i: sizes[i])):
        allowed = budget // (len(texts) - done)
        kept[i] = cut(texts[i], allowed)
        budget -= min(sizes[i], allowed)
    return kept


def cut(text: str, tokens: int) -> str:
    """Return the beginning of `text` that has at most `tokens` tokens, ended at a word."""
    used = 0
    for piece in _PIECE.finditer(text):
        used += _size(piece[0])
        if used > tokens:
            head = text[: piece.start()]
            whole = head if text[piece.start()].isspace() else head.rpartition(" ")[0]
            if whole:
                return whole.rstrip()
            # A single word longer than the budget is cut inside.
            return head or text[: tokens * _LETTERS_A_TOKEN if piece[0].isascii() else 0]
    return text


def _size(piece: str) -> int:
    if piece.isspace():
        return 0
    if piece.isascii():
        return -(-len(piece) // _LETTERS_A_TOKEN)
    return len(piece.encode("utf-8", "replace"))
