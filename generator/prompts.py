"""The few-shot prompt: a query and its passages as messages. Pure functions.

The messages are written so that joining their texts gives the plain few-shot prompt:

    Answer the question ...            <- instruction, the same for every query
    Passage 1: ...                     <- worked examples, the same for every query
    Question: ...
    Answer: Marrenport [1]
    ...
    Passage 1: ...                     <- the passages and the question to answer
    Question: ...
    Answer:

A chat server gets them as messages, with the picture in the last one. A plain
completion model gets `render_text(messages)`. What is fixed comes first, so that a
prefix cache holds it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL.Image import Image

from corpus.types import Hit, Passage, Query

# About 4 characters a token: 1500 leave a prompt of some 600 tokens with the shots.
CHAR_BUDGET = 1500
MAX_QUESTION_CHARS = 400

_FOOTNOTE = re.compile(r"\[\d+(?:\s*,\s*\d+)*\]")
_PASSAGE = re.compile(r"Passage \d+: (.*)")
_TAG = re.compile(r"<(?=[|/A-Za-z])")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the prompt. `role` is "system", "user" or "assistant"."""

    role: str
    text: str
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class _Shot:
    passages: tuple[str, ...]
    question: str
    answer: str


# Nothing here exists: an answer copied from a shot is then plainly wrong.
_INSTRUCTION = (
    "Answer the question with a short phrase from the passages, then cite the passage.\n\n"
)
_SHOTS = (
    _Shot(
        (
            "Veldora - Climate. Climate: mild and wet. Natural hazards: floods in spring.",
            "Veldora - Country name and capital. Name etymology: named after the river Veld. "
            "Capital: Marrenport. Time difference: UTC+1.",
        ),
        "What is the capital of the country with this flag?",
        "Marrenport [2]",
    ),
    _Shot(
        (
            "Tessaly - People. Population: 4,310,502 (2019 est.). Nationality: Tessalian(s).",
            "Tessaly - Economy. Exports: copper, wool, timber. Export partners: Veldora 40%.",
        ),
        "How many people live in this country?",
        "4,310,502 [1]",
    ),
    _Shot(
        (
            "Marsh lorrel. The marsh lorrel is a small wading bird of the family Lorrelidae.",
            "Marsh lorrel - Behaviour. It nests on the ground and feeds on snails and worms.",
        ),
        "What does this animal eat?",
        "snails and worms [2]",
    ),
    _Shot(
        (
            "Norrenia - Currency. Currency: Norren crowns (NXC) per US dollar -.",
            "Norrenia - Communications and transport. Internet country code: .nx. "
            "Key ports: Ullhaven.",
        ),
        "What is the internet country code of the country with this flag?",
        ".nx [2]",
    ),
    _Shot(
        (
            "Oskarra - Currency. Currency: Oskarran florins (OSF) per US dollar -.",
            "Oskarra - Government. Government type: absolute monarchy. Suffrage: none.",
        ),
        "What money do people use in this country?",
        "Oskarran florins [1]",
    ),
)
_CLOSED_INSTRUCTION = "Answer the question about the picture with a short phrase.\n\n"
_CLOSED_SHOTS = (
    _Shot((), "Which instrument is used to look at the stars?", "telescope"),
    _Shot((), "How many legs does this animal have?", "eight"),
    _Shot((), "What do bees make?", "honey"),
)


def build_messages(
    query: Query, hits: Sequence[Hit], *, char_budget: int = CHAR_BUDGET
) -> list[Message]:
    """Return the prompt for `query`, with every passage of `hits` numbered from 1.

    Pass the same hits to `parse_answer`, so that a number means the same passage. Two
    or three serve best: together they get `char_budget` characters, shared so that a
    short one leaves its rest to the long ones, and cut at a word boundary. Without
    hits the prompt has no passages (the baseline without retrieval).
    """
    instruction, shots = (_INSTRUCTION, _SHOTS) if hits else (_CLOSED_INSTRUCTION, _CLOSED_SHOTS)
    messages = [Message("system", instruction)]
    for shot in shots:
        messages.append(Message("user", _turn(shot.passages, shot.question)))
        messages.append(Message("assistant", f" {shot.answer}\n\n"))
    passages = [passage_text(hit.passage) for hit in hits]
    cut = [
        _cut(text, size)
        for text, size in zip(passages, _shares(passages, char_budget), strict=True)
    ]
    question = _cut(one_line(query.question), MAX_QUESTION_CHARS)
    return [*messages, Message("user", _turn(cut, question), query.image)]


def render_text(messages: Sequence[Message]) -> str:
    """Return the prompt as the plain text that a completion model continues."""
    return "".join(message.text for message in messages)


def passage_text(passage: Passage) -> str:
    """Return a passage on one line, headed by its title and free of footnote marks."""
    text = one_line(_FOOTNOTE.sub("", passage.text))
    title = one_line(passage.title)
    return text if text.startswith(title) else f"{title}. {text}"


def one_line(text: str) -> str:
    """Return `text` without what could pass for the structure of the prompt.

    Every run of white space, line separators included, becomes one space, and what
    looks like a tag or a control token ("<|im_end|>", "<image>") is broken by a space.
    """
    return " ".join(_TAG.sub("< ", text).split())


def split_turn(message: Message) -> tuple[list[str], str]:
    """Return the passages in the last of `build_messages`, and the rest of its text."""
    lines = message.text.split("\n")
    passages = [found[1] for line in lines if (found := _PASSAGE.match(line))]
    return passages, "\n".join(lines[len(passages) :])


def _turn(passages: Sequence[str], question: str) -> str:
    lines = [f"Passage {number}: {text}" for number, text in enumerate(passages, start=1)]
    return "\n".join([*lines, f"Question: {question}", "Answer:"])


def _shares(texts: Sequence[str], budget: int) -> list[int]:
    """Return the characters each text may keep: equal shares, unused rests passed on."""
    shares = [0] * len(texts)
    shortest_first = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for done, i in enumerate(shortest_first):
        shares[i] = min(len(texts[i]), budget // (len(texts) - done))
        budget -= shares[i]
    return shares


def _cut(text: str, size: int) -> str:
    """Return `text` cut to at most `size` characters at a word boundary."""
    if len(text) <= size:
        return text
    head = text[: size + 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head[:size]).rstrip()
