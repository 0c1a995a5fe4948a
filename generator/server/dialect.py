"""What one server takes of the protocol's options, learnt from what it refuses.

Servers differ in small things: one wants `max_completion_tokens`, another knows no
`stream_options`, takes no temperature but its own, or at most five alternatives to a token. An
option that a refusal names is left out, or put as the server wants it, from then on. Knows no HTTP.
"""

import re
from collections.abc import Mapping
from typing import Any

# What may be left out: an answer can be had without.
_SPARE = (
    "temperature", "stream_options", "stop", "logprobs", "top_logprobs", "structured_outputs",
)  # fmt: skip
# Of these the first that is a number counts alternatives: in chat `logprobs` is true or false.
_COUNTED = ("top_logprobs", "logprobs")
_SPELLED = {"top_logprobs": r"\b(?:top_logprobs|top_n_tokens)\b"}
_LIMIT, _OTHER_LIMIT = "max_tokens", "max_completion_tokens"
# What an option is left out for: it is not just spoken of.
_REFUSED = re.compile(
    r"\b(not|un\w+|extra|unknown|invalid|only|must|cannot|can't|should|forbidden|remove\w*|"
    r"deprecated|expected|min(imum)?|max(imum)?|limit\w*|allow\w*|greater|less|"
    r"large|high|exceed\w*|at (least|most)|us(e|ing))\b|<=|>=",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    r"(?:>=?|at least|greater than or equal to|minimum(?: value)?(?: of| is)?:?)\s*(\d+)", re.I
)
_AT_MOST = re.compile(
    r"(?:<=|at most|less than or equal to|(?:no|not|cannot be) (?:more|greater|larger) than|up to"
    r"|exceed|\bmax(?:imum)?(?:[ _](?:allowed|value|number|limit))*(?: (?:of|is))?\s*[:=(]?"
    r"|limit(?:ed)?(?: (?:of|is|to))?\s*[:=(]?"
    r"|between [01] and|\b[01]\s*(?:-|to|\.\.\.?)|\[[01],)\s*(\d+)",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context|too long|max_model_len|n_ctx|too many (?:\w+ )?tokens|(?:reduce|exceeds?).{0,60}"
    r"(?:length|tokens)|prompt is too|input is too|(?:tokens|length).{0,40}exceed",
    re.IGNORECASE | re.DOTALL,
)


def says_too_long(said: str) -> bool:
    """Return whether a server's words say that the prompt has too many tokens.

    >>> says_too_long("This model's maximum context length is 2048 tokens.")
    True
    >>> says_too_long("'temperature' does not support 0 with this model.")
    False
    """
    return _TOO_LONG.search(said) is not None


class Dialect:
    """How the options of a request have to be put for one server.

    Attributes:
        notes: what was learnt, in words.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._left_out: set[str] = set()
        self._least_tokens = 1
        self._most_alternatives: int | None = None
        self._other_limit = False

    def written(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options as this server takes them."""
        put = {name: value for name, value in options.items() if name not in self._left_out}
        if "logprobs" not in put:
            put.pop("top_logprobs", None)
        counted = _counted(put)
        if self._most_alternatives is not None and counted:
            put[counted] = min(put[counted], self._most_alternatives)
        if _LIMIT in put:
            limit = max(put.pop(_LIMIT), self._least_tokens)
            put[_OTHER_LIMIT if self._other_limit else _LIMIT] = limit
        return put

    def leave_out(self, option: str, note: str) -> None:
        """Ask without an option from now on; `note` says why."""
        if option not in self._left_out:
            self._left_out.add(option)
            self.notes.append(note)

    def learn(self, said: str, options: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
        """Return whether the request should be sent again, put otherwise.

        Args:
            said: the words of the refusal.
            options: of the request, as they were meant.
            sent: as they were sent.
        """
        if not says_too_long(said) and _REFUSED.search(said):
            self._learn(said, sent)
        # Another request may have taught it in the meantime.
        return self.written(options) != sent

    def _learn(self, said: str, sent: Mapping[str, Any]) -> None:
        named = self._named(said, sent)
        tokens = next((sent[name] for name in (_LIMIT, _OTHER_LIMIT) if name in sent), None)
        if named in (None, _LIMIT, _OTHER_LIMIT) and tokens is not None:
            least = _AT_LEAST.search(said)
            if least and tokens < int(least[1]) <= 256:
                self._least_tokens = int(least[1])
                self.notes.append(f"asks for at least {least[1]} tokens")
            elif named == _LIMIT:
                self._other_limit = True
                self.notes.append(f"takes {_OTHER_LIMIT} for {_LIMIT}")
        elif named in _COUNTED and (most := _most(said, sent)):
            self._most_alternatives = most
            self.notes.append(f"gives at most {most} alternatives to a token")
        elif named is not None:
            left_out = "logprobs" if named == "top_logprobs" else named
            self.leave_out(left_out, f"takes no {left_out}")

    def _named(self, said: str, sent: Mapping[str, Any]) -> str | None:
        """Return the option that is spoken of first."""
        found = {
            match.start(): name
            for name in (*_SPARE, _LIMIT, _OTHER_LIMIT)
            if name in sent and (match := re.search(_SPELLED.get(name, rf"\b{name}\b"), said))
        }
        return found[min(found)] if found else None


def _counted(sent: Mapping[str, Any]) -> str | None:
    """Return the option that says how many alternatives to a token are asked for."""
    return next((name for name in _COUNTED if type(sent.get(name)) is int), None)


def _most(said: str, sent: Mapping[str, Any]) -> int | None:
    """Return how many alternatives a refusal allows, where that is fewer; None for none.

    Five where it speaks of their number and does not say.
    """
    counted = _counted(sent)
    if counted is None:
        return None
    if numbers := _AT_MOST.search(said):
        most = int(numbers[1])
    else:
        most = 5 if re.search(_SPELLED["top_logprobs"], said) else 0
    return most if 0 < most < sent[counted] else None
