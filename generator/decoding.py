"""How one completion grows: which token is taken, and when it has ended.

A row is given the log probabilities after its last token and takes the likeliest of those it
may take. What it has written, and how probable each token was, can be read from it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from generator.copying import Source, without_heading


class Row(Protocol):
    """One growing completion.

    Attributes:
        text: what is written so far, without what ended it.
        logprobs: of each token taken, the one that ended it included.
        ended: whether nothing more can come.
        held: characters at the end of `text` that may yet turn out to begin a stop text.
    """

    text: str
    logprobs: list[float]
    ended: bool
    held: int

    def take(self, logprobs_V: Tensor) -> int:
        """Take a token and return it; when that ended the row, what is returned has no use."""


class Free:
    """Any token, the likeliest first; ends before a stop text, or with the first line.

    Args:
        stop: texts that end it.
        eos: the token that ends it; None when there is none.
        decode: gives the text of tokens.
    """

    def __init__(
        self, stop: Sequence[str], eos: int | None, decode: Callable[[list[int]], str]
    ) -> None:
        self.text, self.ended, self.held = "", False, 0
        self.logprobs: list[float] = []
        self._stop, self._eos, self._decode = stop, eos, decode
        self._tokens: list[int] = []

    def take(self, logprobs_V: Tensor) -> int:
        """Take the likeliest token and return it."""
        token = int(logprobs_V.argmax())
        self.logprobs.append(float(logprobs_V[token]))
        if token == self._eos:
            self.ended = True
            return token
        self._tokens.append(token)
        self.text = self._decode(self._tokens)
        # A model may begin with an empty line; only a prompt that says so ends there.
        begun = len(self.text) - len(self.text.lstrip("\n"))
        ends = [at for stop in self._stop if (at := self.text.find(stop)) >= 0]
        if (newline := self.text.find("\n", begun)) >= 0:
            ends.append(newline)
        if ends:
            self.text, self.ended, self.held = self.text[: min(ends)], True, 0
        else:
            self.held = max((_overlap(self.text, stop) for stop in self._stop), default=0)
        return token


class Copying:
    """Words of a passage in sequence, not of its heading; ends where the shots' answers do.

    Args:
        passage: on one line.
        encode: gives the tokens of a text.
        decode: gives the text of tokens.
    """

    def __init__(
        self,
        passage: str,
        encode: Callable[[str], list[int]],
        decode: Callable[[list[int]], str],
    ) -> None:
        self.text, self.ended, self.held = "", False, 0
        self.logprobs: list[float] = []
        self._source = Source(without_heading(passage), encode)
        # What follows an answer in the shots: a citation or the end of the line.
        self._end_tokens = [encode(text)[0] for text in (" [", "\n")]
        self._decode = decode
        self._tokens: list[int] = []
        self._positions: list[int] = []
        self._follow = self._source.starts()

    def take(self, logprobs_V: Tensor) -> int:
        """Take the likeliest of the tokens that may follow and return it."""
        end_token = max(self._end_tokens, key=lambda token: float(logprobs_V[token]))
        end = float(logprobs_V[end_token])
        best = max(self._follow, key=lambda token: float(logprobs_V[token]), default=None)
        may_end = self._source.may_end(self._positions)
        if best is None or (may_end and end >= float(logprobs_V[best])):
            self.logprobs.append(end)
            self.ended = True
            return end_token
        self.logprobs.append(float(logprobs_V[best]))
        self._tokens.append(best)
        self._positions = self._follow[best]
        self._follow = self._source.following(self._positions)
        self.text = self._decode(self._tokens)
        return best


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` begin `stop`."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
