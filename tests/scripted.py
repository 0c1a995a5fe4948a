"""A generator that does as it is told: for testing what stands around a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from generator.interface import (
    Capabilities,
    Completion,
    Piece,
    Usage,
    Verdict,
    Waiting,
    Work,
)
from generator.prompts import Prompt, Style

T = TypeVar("T")


def drained(work: Work[T]) -> tuple[list[str], T]:
    """Return the pieces of text that came, and what came of it."""
    pieces: list[str] = []
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return pieces, end.value
        assert isinstance(event, Piece | Waiting)
        if isinstance(event, Piece):
            pieces.append(event.text)


@dataclass
class ScriptedGenerator:
    """Answers by function of the prompt; remembers what it was asked.

    Attributes:
        write: gives the completion of a prompt, and its mean log-probability or None.
        judge: gives the probability of the first choice.
        images: whether it says that it sees.
        context_tokens: how much it says that it takes, and `picture_tokens` of that a picture.
        lack: why it writes nothing, where it does.
    """

    write: Callable[[Prompt], tuple[str, float | None]]
    judge: Callable[[Prompt], float] = lambda prompt: 0.9
    images: bool = False
    name: str = "scripted"
    style: Style = "few-shot"
    context_tokens: int | None = None
    picture_tokens: int = 0
    lack: str = ""
    asked: list[Prompt] = field(default_factory=list)
    closed: int = 0

    def capabilities(self) -> Capabilities:
        return Capabilities(
            images=self.images,
            logprobs=True,
            choices=True,
            context_tokens=self.context_tokens,
            picture_tokens=self.picture_tokens,
        )

    def stream(self, prompt: Prompt, *, max_tokens: int = 48) -> Work[Completion]:
        completion = self._complete(prompt)
        try:
            for word in completion.text.split(" "):
                yield Piece(f" {word}")
            return completion
        finally:
            self.closed += 1

    def complete(
        self, prompts: Sequence[Prompt], *, max_tokens: int = 48
    ) -> Work[list[Completion]]:
        try:
            yield Waiting()
            return [self._complete(prompt) for prompt in prompts]
        finally:
            self.closed += 1

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Work[list[Verdict]]:
        self.asked += prompts
        yield Waiting()
        return [Verdict((p := self.judge(prompt), 1 - p), Usage(5, 1)) for prompt in prompts]

    def health(self) -> str:
        return "scripted"

    def close(self) -> None:
        pass

    def _complete(self, prompt: Prompt) -> Completion:
        self.asked.append(prompt)
        text, logprob = self.write(prompt)
        logprobs = None if logprob is None else (logprob, logprob)
        return Completion(text, logprobs, Usage(10, 2), "" if text else self.lack)
