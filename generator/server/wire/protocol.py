"""What an OpenAI-compatible server sends, read into plain values. Pure functions.

Servers differ, so this takes: a chunk without choices, or a choice without text (filters, usage,
pings); text as a list of parts; a whole reply where a stream was asked for; and as the end any
`finish_reason` but "" and null, which some write as a text ("null", "none"). A reply of another
shape raises `NotACompletion`, which never leaves the client: it names the server and raises a
generator error.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from generator.interface import Completion, Usage, Verdict
from generator.marks import first_line
from generator.prompts import Message, Prompt
from generator.quoting import estimate_tokens
from generator.server.wire.thoughts import begun

# How many alternatives to a token are asked for, as many as the protocol allows.
TOP_LOGPROBS = {"chat": 20, "completions": 5}
# Ends that are none: null as some servers write it.
_GOES_ON = ("null", "none")


class NotACompletion(Exception):
    """The reply has another shape than the protocol says."""


@dataclass
class Draft:
    """A completion as its pieces arrive, cut at the end of its first line; thoughts are no part.

    Attributes:
        text: what is written so far; blank lines before it are skipped.
        thought: whether the model has been thinking.
        refusal: its words where it refuses to answer.
        finish: why it ended, in the server's word; "" while it goes on.
        stopped: whether it ended at a stop text; None where the server does not say.
    """

    prompt: Prompt
    text: str = ""
    thought: bool = False
    refusal: str = ""
    finish: str = ""
    stopped: bool | None = None
    _written: str = ""
    _begins: int = 0
    _complete: bool = False
    _logprobs: list[float | None] = field(default_factory=list)
    _usage: Usage | None = None

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take one chunk of a stream, or a whole reply; return the new text of the line.

        Raises:
            NotACompletion: it is none.
        """
        if usage := chunk.get("usage"):
            self._usage = _usage(usage)
        choice = first_choice(chunk)
        if choice is None:
            return ""
        message = message_of(choice)
        piece, thought = text_of(message)
        self.thought |= thought
        self.refusal += str(message.get("refusal") or "")
        if finish := _finish(choice):
            self.finish = finish
            # vLLM's name for what ended it: a stop text; a token, or null, is the model's own end.
            said = "stop_reason" in choice
            self.stopped = isinstance(choice["stop_reason"], str) if said else None
        return "" if thought and not piece else self._grow(piece, _logprobs(choice))

    def _grow(self, piece: str, logprobs: list[float | None]) -> str:
        self._written += piece
        begins, thinking, undecided = begun(self._written)
        if begins != self._begins:  # what was taken for the answer was a thought
            self._begins, self.text, self._complete, self._logprobs = begins, "", False, []
            logprobs = []
        if thinking or begins:
            self.thought = True
        if thinking:
            self._logprobs = []
            return ""
        if self._complete:
            return ""
        rest = self._written[begins:]
        if logprobs or (piece and rest):
            self._logprobs += logprobs or [None]
        if undecided and not self.finish:
            return ""
        return self._show(over=self.finish != "")

    def end(self) -> str:
        """Return what was kept back of the line, as nothing more comes."""
        over = self._complete or begun(self._written).thinking
        return "" if over else self._show(over=True)

    def _show(self, *, over: bool) -> str:
        before, rest = self.text, self._written[self._begins :]
        self.text, self._complete = _first_line(rest, self.prompt.stop, over)
        if self.text.startswith(before):
            return self.text[len(before) :]
        return "" if before.startswith(self.text) else self.text

    @property
    def length(self) -> int:
        """Return how many characters are written so far, beyond the first line too."""
        return 0 if begun(self._written).thinking else len(self._written) - self._begins

    @property
    def cut_off(self) -> bool:
        """Return whether a stop text has ended it before its first word, or may have."""
        ended = self.finish in ("", "stop", "stop_sequence") and self.stopped is not False
        return ended and not (self.text.strip() or self.refusal)

    def completion(self, lack: str = "") -> Completion:
        """Return what was written; `lack` says why that is nothing."""
        known = [value for value in self._logprobs if value is not None]
        usage = self._usage or Usage(
            estimate_tokens(self.prompt.text), estimate_tokens(self._written), estimated=True
        )
        whole = bool(known) and len(known) == len(self._logprobs)
        return Completion(self.text, tuple(known) if whole else None, usage, lack)


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


def has_picture(options: Mapping[str, Any]) -> bool:
    """Return whether a request has a picture in its messages."""
    return any(isinstance(message["content"], list) for message in options.get("messages", ()))


def without_pictures(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return chat messages with their text alone."""
    return [{**message, "content": text_of(message)[0]} for message in messages]


def read_verdict(reply: Mapping[str, Any], prompt: Prompt, choices: Sequence[str]) -> Verdict:
    """Return the probabilities of the choices in a reply of one token, or a few.

    From the log-probabilities of its alternatives where it has any, a choice that is not among
    them counting 0; else 1 for the choice that it wrote.

    Raises:
        NotACompletion: it is no reply, or none of the choices.
    """
    written = reply_text(reply)
    counted = reply.get("usage")
    usage = _usage(counted) if counted else Usage(estimate_tokens(prompt.text), 1, estimated=True)
    alternatives = _alternatives((first_choice(reply) or {}).get("logprobs"), choices)
    if top := _best(alternatives, choices):
        total = sum(top.values())
        return Verdict(tuple(top.get(choice, 0.0) / total for choice in choices), usage)
    word = next(iter(re.findall(r"\w+", written.casefold())), "")
    if word not in choices:
        raise NotACompletion(f"{written[:40]!r} where one of {', '.join(choices)} was asked for")
    return Verdict(tuple(float(choice == word) for choice in choices), usage)


def reply_text(reply: Mapping[str, Any]) -> str:
    """Return what a whole reply says, by either endpoint, without thoughts.

    Raises:
        NotACompletion: it has another shape.
    """
    choice = first_choice(reply)
    if choice is None:
        raise NotACompletion(f"no choices in {str(reply)[:200]}")
    text, _ = text_of(message_of(choice))
    begins, thinking, _ = begun(text)
    return "" if thinking else text[begins:].strip()


def thinks(reply: Mapping[str, Any]) -> bool:
    """Return whether a whole reply has thoughts."""
    text, thought = text_of(message_of(first_choice(reply) or {}))
    begins, thinking, _ = begun(text)
    return thought or thinking or begins > 0


def parse(data: str) -> dict[str, Any]:
    """Return the JSON object in a reply, or in an event.

    Raises:
        NotACompletion: it is none.
    """
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise NotACompletion(data[:2000]) from exc
    if not isinstance(parsed, dict):
        raise NotACompletion(data[:2000])
    return parsed


def first_choice(reply: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first choice of a reply or chunk, by its index; None where it has none.

    Raises:
        NotACompletion: it has another shape.
    """
    choices = reply.get("choices")
    if not choices:
        return None
    if not isinstance(choices, list) or not all(isinstance(c, dict | None) for c in choices):
        raise NotACompletion(f"no choices in {str(reply)[:200]}")
    return next((choice for choice in choices if choice and not choice.get("index")), None)


def message_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a choice that has the text, by whichever endpoint; {} for none."""
    message = choice.get("delta") or choice.get("message") or {}
    if not isinstance(message, dict):
        raise NotACompletion(f"{message!r} where a message was expected")
    if not message.get("content") and isinstance(choice.get("text"), str):
        return {**message, "content": choice["text"]}
    return message


def text_of(message: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the text of a message, and whether there are thoughts apart from it.

    Raises:
        NotACompletion: its content is neither text nor parts of it.
    """
    thought = any(message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    content = message.get("content")
    texts = []
    for part in content if isinstance(content, list) else [content or ""]:
        kind = part.get("type") or "text" if isinstance(part, dict) else "text"
        thought |= kind in ("thinking", "reasoning")
        text = part.get("text") if isinstance(part, dict) else part
        if kind in ("text", "output_text"):
            texts.append("" if text is None else text)
    if not all(isinstance(text, str) for text in texts):
        raise NotACompletion(f"{content!r} where text was expected")
    return "".join(texts), thought


def has_logprobs(reply: Mapping[str, Any], api: str) -> bool:
    """Return whether a reply says how probable its token was, and in chat the alternatives."""
    choice = first_choice(reply) or {}
    if api == "completions":
        return any(value is not None for value in _logprobs(choice))
    return next(_alternatives(choice.get("logprobs"), ()), None) is not None


def _first_line(text: str, stops: Sequence[str], over: bool) -> tuple[str, bool]:
    """Return the first line that has an answer, and whether it is complete."""
    line, complete = first_line(text, over=over)
    ends = [at for stop in stops if (at := line.find(stop)) >= 0]  # where the server goes on
    return (line[: min(ends)], True) if ends else (line, complete)


def _finish(choice: Mapping[str, Any]) -> str:
    """Return why a choice ended; "" while it goes on."""
    word = str(choice.get("finish_reason") or "")
    return "" if word.casefold() in _GOES_ON else word


def _logprobs(choice: Mapping[str, Any]) -> list[float | None]:
    """Return the log-probabilities of a choice's tokens; None for one that is not known."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return []
    plain = _listed(logprobs.get("token_logprobs"))
    entries = [_field(entry, "logprob") for entry in _listed(logprobs.get("content"))]
    return [_finite(value) for value in plain or entries]


def _alternatives(logprobs: Any, choices: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the likeliest tokens and their log-probabilities; nothing where there are none.

    Of a reply of several tokens those in place of the first that is one of the choices.
    """
    if not isinstance(logprobs, dict):
        return
    if content := _listed(logprobs.get("content")):
        spoken = (e for e in content if str(_field(e, "token")).strip().casefold() in choices)
        for entry in _listed(_field(next(spoken, content[0]), "top_logprobs")):
            if (value := _finite(_field(entry, "logprob"))) is not None:
                yield str(_field(entry, "token")), value
    elif tops := _listed(logprobs.get("top_logprobs")):
        for token, logprob in (tops[0] if isinstance(tops[0], dict) else {}).items():
            if (value := _finite(logprob)) is not None:
                yield str(token), value


def _best(alternatives: Iterable[tuple[str, float]], choices: Sequence[str]) -> dict[str, float]:
    """Return the probability of each choice, its spellings (" Yes", "yes") added up."""
    found: dict[str, float] = {}
    for token, logprob in alternatives:
        choice = token.strip().casefold()
        if choice in choices and logprob > -100:
            found[choice] = found.get(choice, 0.0) + math.exp(logprob)
    return found


def _finite(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if number else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _field(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _usage(usage: Any) -> Usage:
    read, written = (
        int(_finite(_field(usage, name)) or 0) for name in ("prompt_tokens", "completion_tokens")
    )
    return Usage(read, written)


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.text}
