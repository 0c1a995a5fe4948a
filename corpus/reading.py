"""What a reader of passages learns from: a question, a passage, and where the answer stands.

    read_squad(path)                  SQuAD 1.1 and 2.0, and whatever has their format
    excerpt(example, words, draw)     of a long passage what stands around the answer
    from_gold(examples, passages)     questions with gold passages, as M2KR has them

An answer is a range of characters of the passage, and says of what kind it is.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from corpus.errors import InvalidRecord
from corpus.types import Example
from corpus.words import find_whole

# What sort of answer a question wants, given a passage; "none" where the passage has none.
Kind = Literal["none", "span", "list", "definition", "yes", "no"]
KINDS: tuple[Kind, ...] = ("none", "span", "list", "definition", "yes", "no")

_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")


@dataclass(frozen=True, slots=True)
class ReadingExample:
    """A question to a passage.

    Attributes:
        question: the question.
        passage: the passage's text, as the reader gets it.
        start: first character of the answer, or of what decides a yes or no; -1 for none.
        end: behind the last one; -1 for none.
        kind: of the answer.
    """

    question: str
    passage: str
    start: int = -1
    end: int = -1
    kind: Kind = "none"

    @property
    def answer(self) -> str:
        """Return the words of the answer; "" for none."""
        return self.passage[self.start : self.end] if self.start >= 0 else ""


def read_squad(path: Path) -> Iterator[ReadingExample]:
    """Yield the questions of a SQuAD file, unanswerable ones among them.

    Accepts `is_impossible` or an empty list of answers as "none". An answer that does not stand
    where the file says is looked for elsewhere in its paragraph.

    Raises:
        InvalidRecord: the file is not in SQuAD's format, or an answer is not in its paragraph.
    """
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        paragraphs = [p for article in articles for p in article["paragraphs"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidRecord(path, 0, "data", f"not a SQuAD file ({exc!r})") from exc
    for paragraph in paragraphs:
        try:
            context = _text_of(paragraph, "context")
            for qa in paragraph.get("qas", []):
                yield _squad_example(path, context, qa)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
            problem = f"not a paragraph as SQuAD has them ({exc!r}): {paragraph!r:.200}"
            raise InvalidRecord(path, 0, "paragraphs", problem) from exc


def _text_of(record: Mapping[str, Any], name: str) -> str:
    if not isinstance(text := record[name], str):
        raise ValueError(f"{name} is {text!r:.50}, and no text")
    return text


def _squad_example(path: Path, context: str, qa: Mapping[str, Any]) -> ReadingExample:
    answers, question = qa.get("answers") or [], _text_of(qa, "question")
    if isinstance(answers, Mapping):
        raise ValueError('answers are {"text": [...]}; SQuAD has [{"text": ..., "answer_start"}]')
    if qa.get("is_impossible") or not answers:
        return ReadingExample(question, context)
    text, start = _text_of(answers[0], "text"), int(answers[0].get("answer_start", -1))
    if context[start : start + len(text)] != text:
        start = context.find(text)
    if start < 0 or not text:
        problem = f"the answer {text!r} to {qa.get('id', question)!r} is not in its context"
        raise InvalidRecord(path, 0, "answers", problem)
    return ReadingExample(question, context, start, start + len(text), "span")


def sentences(text: str) -> list[tuple[int, int]]:
    """Return where each sentence of a text begins and ends, with the space behind it.

    >>> sentences("An oak. It grows.")
    [(0, 8), (8, 17)]
    """
    return list(pairwise([0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]))


def excerpt(example: ReadingExample, words: int, draw: random.Random) -> ReadingExample:
    """Return an example with some neighbouring sentences of its passage, the answer's among them.

    So a reader learns from passages as long as those that are retrieved, at less cost. They have
    between half as many words and so many, or are the sentences of the answer where these have
    more. Where there is no answer they are any; what decides a yes or no without being marked may
    stand anywhere, so that all is kept.

    Args:
        example: the question and its whole passage.
        words: at most so many.
        draw: which ones.
    """
    if example.start < 0 and example.kind != "none":
        return example
    text, found = example.passage, sentences(example.passage)
    inside = [
        n for n, (start, end) in enumerate(found) if start < example.end and end > example.start
    ] or [draw.randrange(len(found))]
    first, last, most = inside[0], inside[-1], draw.randint(words // 2, words)
    while True:
        sides = [(first - 1, last)] * (first > 0) + [(first, last + 1)] * (last + 1 < len(found))
        wider = draw.choice(sides) if sides else None
        if wider is None or len(text[found[wider[0]][0] : found[wider[1]][1]].split()) > most:
            break
        first, last = wider
    begin, kept = found[first][0], text[found[first][0] : found[last][1]]
    if example.start < 0:
        return ReadingExample(example.question, kept)
    at = example.start - begin
    return ReadingExample(example.question, kept, at, example.end - begin, example.kind)


def from_gold(examples: Iterable[Example], passages: Mapping[str, str]) -> Iterator[ReadingExample]:
    """Yield a reading of each gold passage that has one of the answers word for word.

    A benchmark says which passage proves an answer, not where in it. What no gold passage has
    word for word is left out: as "none" it would teach the reader to overlook answers.

    Args:
        examples: questions with gold passages and answers.
        passages: the passages' texts by id.
    """
    for example in examples:
        for id_ in example.gold_passage_ids:
            text = passages.get(id_, "")
            for answer in example.answers:
                if answer and (found := find_words(text, answer)):
                    yield ReadingExample(example.question, text, *found, "span")
                    break


def find_words(text: str, answer: str) -> tuple[int, int] | None:
    """Return where an answer first stands in a text as whole words, in any case; None if nowhere.

    In scripts without spaces each character is a word: see `corpus.words`.

    >>> find_words("The Niger and the Nile.", "nil"), find_words("The Niger and the Nile.", "NILE")
    (None, (18, 22))
    """
    pattern = r"\s+".join(map(re.escape, answer.split()))
    return find_whole(pattern, text) if pattern else None
