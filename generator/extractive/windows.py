"""Question and passage as tokens, in windows that overlap where a passage is long.

[CLS] question [SEP] window of the passage [SEP]
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

QUESTION_TOKENS = 64
# MiniLM was trained on texts of up to 256 tokens.
WINDOW_TOKENS = 256
OVERLAP_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Window:
    """A pair as the network reads it.

    Attributes:
        passage: the index of the passage.
        ids: tokens, [CLS] and [SEP] among them.
        first: the index in `ids` of the passage's first token.
        offsets: for each of the window's passage tokens, its characters in the passage.
    """

    passage: int
    ids: tuple[int, ...]
    first: int
    offsets: tuple[tuple[int, int], ...]


def windows(tokenizer: Tokenizer, question: str, passages: Sequence[str]) -> list[Window]:
    """Return the windows of all passages, in order; a passage without tokens has none.

    A question of more than QUESTION_TOKENS is cut in front. Every token of a passage is in a
    window, and any OVERLAP_TOKENS neighbours are together in one.
    """
    begin, sep = (int(tokenizer.token_to_id(mark) or 0) for mark in ("[CLS]", "[SEP]"))
    asked = tokenizer.encode(question, add_special_tokens=False).ids[-QUESTION_TOKENS:]
    head = [begin, *asked, sep]
    room = WINDOW_TOKENS - len(head) - 1
    found = []
    for number, encoding in enumerate(
        tokenizer.encode_batch(list(passages), add_special_tokens=False)
    ):
        ids, offsets = encoding.ids, encoding.offsets
        for start in starts(len(ids), room):
            own = slice(start, start + room)
            found.append(Window(number, (*head, *ids[own], sep), len(head), tuple(offsets[own])))
    return found


def starts(length: int, room: int) -> list[int]:
    """Return where windows of `room` tokens begin, so that they cover `length` with overlap.

    >>> starts(300, 200), starts(200, 200), starts(0, 200)
    ([0, 100], [0], [])
    """
    if length <= room:
        return [0] if length else []
    last = length - room
    return [*range(0, last, room - OVERLAP_TOKENS), last]


def batch(chosen: Sequence[Window]) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and segments, all [B, L]."""
    length = max(len(window.ids) for window in chosen)
    ids = torch.zeros(len(chosen), length, dtype=torch.long)
    mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, window in enumerate(chosen):
        size = len(window.ids)
        ids[row, :size] = torch.tensor(window.ids)
        mask[row, :size] = 1
        segments[row, window.first : size] = 1
    return ids, mask, segments
