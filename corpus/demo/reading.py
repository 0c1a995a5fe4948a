"""Questions to the demo corpus's passages, written by hand: data/demo/reading.

questions.jsonl.gz  questions written by hand to leads of Wikipedia, with where the answer stands
spoken.jsonl.gz     the same in everyday words, to sections of the Factbook as well
wordings.jsonl.gz   ways to ask for each field of the Factbook and for facts about things

Entities are split by a hash of their id: of ten, eight train, one tunes what is chosen or fitted
on top of the reader, one tests. The wordings and questions marked "val" were written by
somebody who had not seen the others, and never train. `corpus.demo.epochs` draws what a
training sees.
"""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from corpus.demo.data import demo_file
from corpus.demo.factbook import SECTIONS
from corpus.files.jsonl import read_records, text_field
from corpus.reading import Kind, ReadingExample
from corpus.types import Passage

Split = Literal["train", "tune", "test"]

_LONG = 240  # an answer that is longer is cut to its first sentence
_TAIL = re.compile(r" per US dollar.*$")


def split_of(entity: str) -> Split:
    """Return which part an entity belongs to: the same everywhere, whatever else there is."""
    number = int(hashlib.sha256(entity.encode()).hexdigest()[:8], 16)
    if number % 5:
        return "train"
    return "test" if number // 5 % 2 else "tune"


@dataclass(frozen=True, slots=True)
class Fact:
    """A field of an entity, and where its value stands in which passage."""

    passage: Passage
    field: str
    start: int
    end: int

    @property
    def value(self) -> str:
        """Return the field's value."""
        return self.passage.text[self.start : self.end]


def factbook_facts(passage: Passage) -> list[Fact]:
    """Return the labelled fields of a passage of the Factbook, without the period behind each.

    A long value is cut to its first sentence.
    """
    head, text = len(f"{passage.title} - {passage.section}. "), passage.text
    labels = [label for label, _ in SECTIONS.get(passage.section, ()) if label]
    if not labels:
        return [_fact(passage, passage.section, head, len(text))]
    places: list[tuple[str, int]] = []
    for label in labels:
        at = text.find(f"{label}: ", places[-1][1] if places else head)
        if at >= head:
            places.append((label, at))
    ends = [at for _, at in places[1:]] + [len(text)]
    return [
        _fact(passage, label, at + len(label) + 2, end)
        for (label, at), end in zip(places, ends, strict=True)
    ]


def _fact(passage: Passage, field: str, start: int, end: int) -> Fact:
    value = passage.text[start:end].rstrip()
    value = _TAIL.sub("", value.removesuffix("."))
    if len(value) > _LONG:
        sentence = re.match(r".{40,}?[.;](?=\s)", value)
        value = sentence[0][:-1] if sentence else value[:_LONG].rpartition(" ")[0]
    return Fact(passage, field, start, start + len(value))


def wordings(split: Literal["train", "val"]) -> dict[str, list[str]]:
    """Return ways to ask for each field; "{it}" stands for what the picture shows."""
    path = demo_file("reading/wordings.jsonl.gz")
    found: dict[str, list[str]] = defaultdict(list)
    for line, record in read_records(path):
        if text_field(path, line, record, "split") == split:
            field = text_field(path, line, record, "field")
            found[field].append(text_field(path, line, record, "question"))
    return dict(found)


def handwritten(
    split: Literal["train", "val"], passages: dict[str, Passage]
) -> list[tuple[Passage, ReadingExample, str]]:
    """Return the questions written by hand: passage, example, and the type its writer gave it."""
    return _written("reading/questions.jsonl.gz", split, passages)


def spoken_questions(
    split: Literal["train", "val"], passages: dict[str, Passage]
) -> list[tuple[Passage, ReadingExample, str]]:
    """Return the questions in everyday words: passage, example, and the type its writer gave it."""
    return _written("reading/spoken.jsonl.gz", split, passages)


def _written(
    name: str, split: Literal["train", "val"], passages: dict[str, Passage]
) -> list[tuple[Passage, ReadingExample, str]]:
    path = demo_file(name)
    rows = []
    for line, record in read_records(path):
        if text_field(path, line, record, "split") != split:
            continue
        passage = passages[text_field(path, line, record, "passage")]
        question = text_field(path, line, record, "question")
        type_ = text_field(path, line, record, "type")
        answer = text_field(path, line, record, "answer", required=False)
        kind: Kind = "span"
        start = int(str(record.get("start", -1)))
        if type_ == "unanswerable":
            kind = "none"
        elif type_ == "yes-no":
            kind = "yes" if answer == "yes" else "no"
            answer = text_field(path, line, record, "evidence", required=False)
            start = passage.text.find(answer) if answer else -1
        elif type_ in ("list", "definition"):
            kind = "list" if type_ == "list" else "definition"
        end = start + len(answer) if start >= 0 else -1
        rows.append((passage, ReadingExample(question, passage.text, start, end, kind), type_))
    return rows
