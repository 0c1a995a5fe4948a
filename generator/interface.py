"""The seam between the pipeline and whatever writes the text.

messages = build_messages(query, hits)
completion = "".join(generator.stream(messages))
answer = parse_answer(completion, hits)
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from generator.prompts import Message

MAX_TOKENS = 48


class Generator(Protocol):
    """Something that continues a prompt. `name` is the model, as shown to the user."""

    @property
    def name(self) -> str:
        """The model's name."""

    def stream(self, messages: Sequence[Message], *, max_tokens: int = MAX_TOKENS) -> Iterator[str]:
        """Yield the first line of the completion in pieces, without its newline.

        Closing the iterator stops the generation.

        Raises:
            GeneratorError: see generator.errors.
        """

    def health(self) -> str:
        """Return one line on what answers here, for the user to read.

        Raises:
            GeneratorError: it would not answer now.
        """
