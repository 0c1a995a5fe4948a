"""What a reader of passages learns from: a question, a passage, and where the answer stands.

    read_squad(path)                  SQuAD 1.1 and 2.0, and whatever has their format
    excerpt(example, words, draw)     of a long passage what stands around the answer
    without_answer(example)           of a passage what is left without the sentences that answer
    from_gold(examples, passages)     questions with gold passages, as M2KR has them

An answer is a range of characters of the passage, and says of what kind it is.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from corpus.errors import CorpusError, InvalidField, InvalidRecord
from corpus.files.sources import Source
from corpus.types import Example
from corpus.words import find_whole

# What sort of answer a question wants, given a passage; "none" where the passage has none.
Kind = Literal["none", "span", "list", "definition", "yes", "no"]
KINDS: tuple[Kind, ...] = ("none", "span", "list", "definition", "yes", "no")

_SQUAD = (
    'It needs {"data": [{"paragraphs": [{"context": ..., "qas": [{"id": ..., "question": ..., '
    '"answers": [{"text": ..., "answer_start": ...}]}]}]}]}'
)
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

    The file is UTF-8, with or without a byte-order mark, plain or compressed. Only `is_impossible`
    says "none": answers that are missing or empty would teach it by a slip. An answer that does
    not stand where the file says is looked for elsewhere in its paragraph. Of the answers of
    several people the one is taken that shares most words with the others.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: a paragraph is not as SQuAD has them, or an answer is not in it; its number
            is that within the file.
        CorpusError: the file is damaged, or is not in SQuAD's format.
    """
    for number, paragraph in enumerate(_paragraphs(path), start=1):
        try:
            context = _text_of(paragraph, "context")
            for qa in paragraph.get("qas", []):
                yield _squad_example(context, qa)
        except InvalidField as exc:
            raise InvalidRecord(path, number, exc.field, str(exc), unit="paragraph") from exc
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
            problem = f"not a paragraph as SQuAD has them ({exc!r}): {paragraph!r:.200}"
            raise InvalidRecord(path, number, "", problem, unit="paragraph") from exc


def _paragraphs(path: Path) -> list[Any]:
    try:
        found = json.loads(b"".join(Source(path).chunks()).decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        raise CorpusError(f"{path} is not UTF-8 (byte {exc.start + 1}); save it as UTF-8") from exc
    except json.JSONDecodeError as exc:
        where = f"{exc.msg} at line {exc.lineno}, column {exc.colno}"
        raise CorpusError(f"{path} is not a SQuAD file: not JSON ({where}). {_SQUAD}") from exc
    except (ValueError, RecursionError) as exc:
        raise CorpusError(f"{path} is not a SQuAD file: JSON that cannot be read ({exc})") from exc
    try:
        return [paragraph for article in found["data"] for paragraph in article["paragraphs"]]
    except (KeyError, TypeError) as exc:
        raise CorpusError(f"{path} is not a SQuAD file. {_SQUAD}") from exc


def _text_of(record: Mapping[str, Any], name: str) -> str:
    if not isinstance(text := record[name], str):
        raise ValueError(f"{name} is {text!r:.50}, and no text")
    return text


def _squad_example(context: str, qa: Mapping[str, Any]) -> ReadingExample:
    question = _text_of(qa, "question")
    named, impossible = f"question {qa.get('id', question)!r}", qa.get("is_impossible", False)
    if not isinstance(impossible, bool):
        problem = f"{impossible!r:.50} at {named}: write true or false, without quotes"
        raise InvalidField("is_impossible", problem)
    if impossible:
        return ReadingExample(question, context)
    answers = qa.get("answers")
    if isinstance(answers, Mapping):
        raise ValueError('answers are {"text": [...]}; SQuAD has [{"text": ..., "answer_start"}]')
    if not answers:
        raise InvalidField("answers", _without_answers(named, qa))
    answer = _agreed(answers)
    text, start = _text_of(answer, "text"), int(answer.get("answer_start", -1))
    if start < 0 or context[start : start + len(text)] != text:
        start = context.find(text)
    if start < 0 or not text:
        raise InvalidField("answers", f"the answer {text!r} to {named} is not in its context")
    return ReadingExample(question, context, start, start + len(text), "span")


def _agreed(answers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the answer that shares most words with the others; the first, of equal ones."""
    words = [Counter(_text_of(answer, "text").casefold().split()) for answer in answers]

    def shared(n: int) -> float:
        """Return the sum of F1 of one answer's words to each answer's."""
        sizes = (words[n].total() + other.total() for other in words)
        return sum(
            2 * (words[n] & other).total() / max(size, 1)
            for other, size in zip(words, sizes, strict=True)
        )

    return answers[max(range(len(answers)), key=shared)]


def _without_answers(named: str, qa: Mapping[str, Any]) -> str:
    close = [] if "answers" in qa else get_close_matches("answers", map(str, qa), n=1, cutoff=0.75)
    what = "empty" if "answers" in qa else f"called {close[0]!r}" if close else "missing"
    wanted = '"answers": [{"text": ..., "answer_start": ...}]'
    return f'{what} at {named}: write {wanted}, or "is_impossible": true where it has no answer'


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


def without_answer(example: ReadingExample) -> str | None:
    """Return an example's passage without the sentences that its answer is in.

    None where there is no answer, or the rest still has its words.

    >>> without_answer(ReadingExample("how old?", "An oak. It is 90 years old. It grows.", 14, 22))
    'An oak. It grows.'
    """
    if example.start < 0:
        return None
    rest = "".join(
        example.passage[a:b]
        for a, b in sentences(example.passage)
        if b <= example.start or example.end <= a
    ).strip()
    return None if example.answer.casefold() in rest.casefold() else rest


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
