"""What an OpenAI-compatible server sends, read into plain values. Pure functions.

A reply that does not have the protocol's shape raises `NotACompletion`, which never leaves the
client: it names the server and raises a generator error.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from generator.interface import Completion, Usage, Verdict
from generator.passages import estimate_tokens
from generator.prompts import Message, Prompt

# How many alternatives to a token are asked for, as many as the protocol allows.
TOP_LOGPROBS = {"chat": 20, "completions": 5}


class NotACompletion(Exception):
    """The reply has another shape than the protocol says."""


@dataclass
class Growing:
    """A completion as its pieces arrive, cut at the end of its first line.

    Attributes:
        text: what is written so far; blank lines before it are skipped.
        ended: whether the line is complete.
    """

    prompt: Prompt
    text: str = ""
    ended: bool = False
    _logprobs: list[float] = field(default_factory=list)
    _all_known: bool = True
    _usage: Usage | None = None
    pieces: int = 0

    def add(self, chunk: Any, api: str) -> str:
        """Take one chunk of a stream, or a whole reply; return the new text of the line.

        Raises:
            NotACompletion: it is none.
        """
        if usage := getattr(chunk, "usage", None):
            self._usage = _usage(usage)
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list):
            raise NotACompletion(f"no choices in {str(chunk)[:200]}")
        if not choices or self.ended:
            return ""
        piece, logprobs, finished = _choice(choices[0], api)
        self.pieces += 1
        if logprobs:
            self._logprobs += logprobs
        elif piece:
            self._all_known = False
        text = piece if self.text else piece.lstrip("\n")
        line, newline, _ = text.partition("\n")
        self.text += line
        self.ended = bool(newline and self.text.strip()) or finished
        return line

    def completion(self) -> Completion:
        """Return what was written."""
        known = self._all_known and self._logprobs
        usage = self._usage or Usage(
            estimate_tokens(self.prompt.text), estimate_tokens(self.text), estimated=True
        )
        return Completion(self.text, tuple(self._logprobs) if known else None, usage)


def chat_messages(prompt: Prompt, picture: str | None) -> list[dict[str, Any]]:
    """Return the prompt as chat messages; the picture, a data URI, goes into the last."""
    *fixed, last = prompt.messages
    messages = [_message(message) for message in fixed]
    if picture is None:
        return [*messages, _message(last)]
    parts = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": last.text},
    ]
    return [*messages, {"role": last.role, "content": parts}]


def read_verdict(reply: Any, prompt: Prompt, choices: Sequence[str]) -> Verdict:
    """Return the probabilities of the choices in a reply of one token.

    From its top log-probabilities where it has any, a choice that is not among them
    counting 0; else 1 for the choice that it wrote.

    Raises:
        NotACompletion: it is no reply, or none of the choices.
    """
    try:
        written = token_text(reply).strip().casefold()
        top = _best(_alternatives(reply.choices[0].logprobs), choices)
    except (AttributeError, IndexError, TypeError) as exc:
        raise NotACompletion(f"no choice in {str(reply)[:200]}") from exc
    counted = getattr(reply, "usage", None)
    usage = _usage(counted) if counted else Usage(estimate_tokens(prompt.text), 1, estimated=True)
    if top:
        total = sum(top.values())
        return Verdict(tuple(top.get(choice, 0.0) / total for choice in choices), usage)
    if written not in choices:
        raise NotACompletion(f"{written[:40]!r} where one of {', '.join(choices)} was asked for")
    return Verdict(tuple(float(choice == written) for choice in choices), usage)


def token_text(reply: Any) -> str:
    """Return what a reply of one token says, by either endpoint."""
    choice = reply.choices[0]
    text = choice.message.content if hasattr(choice, "message") else choice.text
    return text or ""


def _alternatives(logprobs: Any) -> Iterator[tuple[str, float]]:
    """Yield the likeliest tokens and their log-probabilities; nothing where there are none."""
    if content := getattr(logprobs, "content", None):
        for entry in content[0].top_logprobs or ():
            yield str(entry.token), entry.logprob
    elif tops := getattr(logprobs, "top_logprobs", None):
        yield from (tops[0] or {}).items()


def _best(alternatives: Iterable[tuple[str, float]], choices: Sequence[str]) -> dict[str, float]:
    """Return the probability of each choice, its spellings (" Yes", "yes") added up."""
    found: dict[str, float] = {}
    for token, logprob in alternatives:
        choice = token.strip().casefold()
        if choice in choices and logprob > -100:
            found[choice] = found.get(choice, 0.0) + math.exp(logprob)
    return found


def _choice(choice: Any, api: str) -> tuple[str, list[float], bool]:
    """Return a choice's text, its tokens' log-probabilities, and whether it is the last."""
    if api == "completions":
        piece = choice.text
        logprobs = list(getattr(choice.logprobs, "token_logprobs", None) or [])
    else:
        delta = getattr(choice, "delta", None) or getattr(choice, "message", None)
        if delta is None:
            raise NotACompletion(f"no text in {str(choice)[:200]}")
        piece = delta.content
        content = getattr(getattr(choice, "logprobs", None), "content", None) or []
        logprobs = [entry.logprob for entry in content]
    if piece is not None and not isinstance(piece, str):
        raise NotACompletion(f"{piece!r} where text was expected")
    return piece or "", [float(value) for value in logprobs], choice.finish_reason is not None


def _usage(usage: Any) -> Usage:
    return Usage(int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0))


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.text}
