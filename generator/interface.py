"""The seam between the strategies and whatever continues a prompt.

    completion = yield from generator.stream(prompt)            one answer as it grows
    completions = wait(generator.complete(prompts))             several at once
    verdicts = wait(generator.choose(prompts, ("yes", "no")))   with probabilities

The embedded reader and the client of a server both have this shape, and both count
log-probabilities in the same way. All three are `Work`: they yield what happens meanwhile, and
return what comes of it. Closing one calls it off: that is how a user who leaves stops the work on
a server.
"""

from collections.abc import Callable, Sequence
from collections.abc import Generator as GeneratorOf
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, TypeVar

from generator.prompts import Prompt, Style

MAX_TOKENS = 48

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing new; comes every now and then, so that whoever listens may stop."""


@dataclass(frozen=True, slots=True)
class Piece:
    """More of a text that is being written, to follow the pieces before it."""

    text: str


# Yields what happens while it goes on, and returns what comes of it.
Work = GeneratorOf[Waiting | Piece, None, _T]


def wait(work: Work[_T]) -> _T:
    """Return what comes of `work`."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: _T = end.value
            return result


def overheard(work: Work[_T], heard: Callable[[str], None]) -> Work[_T]:
    """Return what comes of `work`, each piece of text told to `heard` before it goes on.

    What `heard` raises calls the work off.
    """
    with closing(work):
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                result: _T = end.value
                return result
            if isinstance(event, Piece):
                heard(event.text)
            yield event


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written. `estimated` when the server did not count them itself."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """What a generator wrote for one prompt; unlike an answer it is neither read nor chosen.

    Attributes:
        text: the first line, without its newline and without a stop text of the prompt.
        token_logprobs: natural logarithm of the probability of each token of the text and,
            where it is known, of the token that ended it; None where the generator gives none.
        usage: tokens read and written.
        lack: why there is no text, where that is known.
    """

    text: str
    token_logprobs: tuple[float, ...] | None
    usage: Usage
    lack: str = ""

    @property
    def logprob(self) -> float | None:
        """Return log p(text | prompt), the sum over its tokens."""
        return None if self.token_logprobs is None else sum(self.token_logprobs)

    @property
    def mean_logprob(self) -> float | None:
        """Return the mean over the tokens: what beam search calls the sequence score."""
        return sum(self.token_logprobs) / len(self.token_logprobs) if self.token_logprobs else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of some choices: their probabilities, which sum to 1, and the tokens it took."""

    probabilities: tuple[float, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do, found out once.

    Attributes:
        images: it is given the picture.
        logprobs: it says how probable its tokens were.
        choices: it can be held to a list of choices.
        context_tokens: the longest prompt with its answer; None when it does not say.
        answer_tokens: of those, kept for the answer.
        picture_tokens: and for a picture, about.
    """

    images: bool
    logprobs: bool
    choices: bool
    context_tokens: int | None = None
    answer_tokens: int = MAX_TOKENS
    picture_tokens: int = 0

    @property
    def prompt_tokens(self) -> int | None:
        """Return how many tokens of text a prompt may have; None where that is not known."""
        if self.context_tokens is None:
            return None
        return self.context_tokens - self.answer_tokens - self.picture_tokens * self.images


class Generator(Protocol):
    """Something that continues prompts. `name` is the model, as shown to the user."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def style(self) -> Style:
        """How prompts are written to it, where nothing is set."""

    def capabilities(self) -> Capabilities:
        """Return what it can do; asks a server the first time.

        Raises:
            GeneratorError: it cannot be asked now.
        """

    def stream(self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS) -> Work[Completion]:
        """Yield the first line of the completion in pieces; return the whole completion.

        Raises:
            GeneratorError: see generator.errors.
        """

    def complete(
        self, prompts: Sequence[Prompt], *, max_tokens: int = MAX_TOKENS
    ) -> Work[list[Completion]]:
        """Return the completions of several prompts that are worked on together.

        The completion of a prompt to which nothing is written is empty.

        Raises:
            GeneratorError: see generator.errors; one that fails ends the others.
        """

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Work[list[Verdict]]:
        """Return for each prompt the probabilities of the choices.

        Where no probabilities are to be had, the choice written has 1.

        Args:
            prompts: each asks for one of the choices.
            choices: they must differ in their first token.

        Raises:
            GeneratorError: see generator.errors; a reply that is none of the choices among them.
        """

    def health(self) -> str:
        """Return one line on what answers here, for the user to read.

        Raises:
            GeneratorError: it would not answer now.
        """

    def close(self) -> None:
        """Let go of connections and threads."""
