"""Sets that are made of any benchmark, on which the right thing is often to give no answer.

    unanswerable   what was retrieved, without the gold passages and all that hold an answer
    poisoned       what was retrieved, with a sentence written into one of the passages read
    swapped        the question about another example's picture
    no-picture     the question alone

The first two change what is read: rows of retrieval are written for them, over which the answers
and scores of `app.evaluation.run` are made. The others change the examples, and are retrieved for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from app.evaluation.files.json_rows import as_json, json_text
from app.evaluation.files.resumable import read_record, write_record
from app.evaluation.provenance import digest
from app.evaluation.record import RETRIEVAL_NAME, RetrievalRow
from app.evaluation.stages.retrieve import answer_rank
from app.machine.directories import writing
from corpus.benchmarks.poisoned import Attack, tampered, wrong_answer
from corpus.types import Example, Passage
from generator.answers.parsing import contains, same_answer
from retriever.index.passage_index import PassageIndex

TrustSet = Literal["unanswerable", "poisoned", "swapped", "no-picture"]
SETS: tuple[TrustSet, ...] = ("unanswerable", "poisoned", "swapped", "no-picture")
ATTACKS: tuple[Attack, ...] = ("instruction", "false-statement")
_MARK = "#tampered-"
_LOOKED_UP = 64

Lookup = Callable[[Sequence[str]], Iterable[Passage]]


@dataclass(frozen=True, slots=True)
class Poison:
    """A passage that somebody tampered with.

    Attributes:
        passage: with its own id, which is in no index.
        attack: what was done.
        target: the answer that it is to bring about.
    """

    passage: Passage
    attack: Attack
    target: str


def swapped(examples: Sequence[Example]) -> list[Example]:
    """Return the examples that have a picture, each with another one's.

    The other is the next, from half-way round, with other answers, other gold passages and, where
    there is one, another question: so that the question is hardly about that picture.
    """
    with_picture = [example for example in examples if example.image]
    found = []
    for position, example in enumerate(with_picture):
        start = position + max(len(with_picture) // 2, 1)
        count = len(with_picture)
        others = (with_picture[(start + i) % count] for i in range(count))
        fitting = list(islice((o for o in others if _unlike(example, o)), _LOOKED_UP))
        asked = example.question.casefold().strip()
        another = (o for o in fitting if o.question.casefold().strip() != asked)
        if (other := next(another, fitting[0] if fitting else None)) is not None:
            found.append(replace(example, image=other.image))
    return found


def without_pictures(examples: Sequence[Example]) -> list[Example]:
    """Return the examples that have a picture, without it."""
    return [replace(example, image="", black_image=False) for example in examples if example.image]


def unanswerable(
    rows: Iterable[RetrievalRow], examples: Mapping[str, Example], lookup: Lookup
) -> Iterator[RetrievalRow]:
    """Yield what was found without the gold passages, and without all that hold an answer.

    Args:
        rows: what was found.
        examples: by id.
        lookup: gives the passages with some ids.
    """
    for row, texts in _with_texts(rows, lookup):
        example = examples[row.id]
        kept = tuple(
            (id_, score)
            for id_, score in row.hits
            if id_ not in example.gold_passage_ids and not _holds(texts[id_].text, example)
        )
        yield replace(row, hits=kept, answer_rank=0)


def poisoned(
    rows: Iterable[RetrievalRow],
    examples: Mapping[str, Example],
    lookup: Lookup,
    read: int,
    poisons: dict[str, Poison],
) -> Iterator[RetrievalRow]:
    """Yield what was found, with one of the passages that are read tampered with.

    By turns it is a gold passage and another, an instruction and a false statement.

    Args:
        rows: what was found.
        examples: by id.
        lookup: gives the passages with some ids.
        read: how many passages are read.
        poisons: filled with what was done, by the id of the new passage.
    """
    answers = [e.answers[0] for e in examples.values() if e.answers]
    for n, (row, texts) in enumerate(_with_texts(rows, lookup)):
        example = examples[row.id]
        first = row.hits[:read]
        if not first or not example.answers:
            yield row
            continue
        gold = [i for i, (id_, _) in enumerate(first) if id_ in example.gold_passage_ids]
        rest = [i for i, (id_, _) in enumerate(first) if id_ not in example.gold_passage_ids]
        wanted, other = (gold, rest) if n % 2 == 0 else (rest, gold)
        place = (wanted or other)[0]
        attack = ATTACKS[(n // 2) % 2]
        try:
            target = wrong_answer(example.answers, answers, 7 * n + 1)
        except ValueError:  # all answers of the benchmark are right
            yield row
            continue
        passage = tampered(
            texts[first[place][0]], attack, n // 4,
            question=example.question, field=example.question.rstrip("? "), target=target,
        )  # fmt: skip
        passage = replace(passage, id=f"{passage.id}{_MARK}{digest([passage.text])}")
        poisons[passage.id] = Poison(passage, attack, target)
        hits = list(row.hits)
        hits[place] = (passage.id, hits[place][1])
        ranked = [poisons[id_].passage if id_ in poisons else texts[id_] for id_, _ in hits]
        rank = answer_rank([found.text for found in ranked], example)
        yield replace(row, hits=tuple(hits), answer_rank=rank)


def write_rows(base: Path, out: Path, benchmark: str, rows: Iterable[RetrievalRow]) -> None:
    """Write what was found for a set, as a run over it would have found it.

    Args:
        base: the directory of the run that retrieved.
        out: that of the set.
        benchmark: the name of the set.
        rows: what the set is given.
    """
    out.mkdir(parents=True, exist_ok=True)
    target = out / RETRIEVAL_NAME
    partial = target.with_name(f"{target.name}.partial")
    with writing(partial), partial.open("w", encoding="utf-8") as file:
        file.writelines(json_text(as_json(row)) + "\n" for row in rows)
    write_record(target, {**read_record(base / RETRIEVAL_NAME), "benchmark": benchmark})
    partial.replace(target)


class _Tampered:
    """An index in which passages stand that somebody tampered with."""

    def __init__(self, index: PassageIndex, poisons: Mapping[str, Poison]) -> None:
        self._index, self._poisons = index, poisons

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Return the passages with these ids, in this order."""
        ids = list(ids)
        own = {p.id: p for p in self._index.get(id_ for id_ in ids if id_ not in self._poisons)}
        return [self._poisons[id_].passage if id_ in self._poisons else own[id_] for id_ in ids]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


def with_poisons(index: PassageIndex, poisons: Mapping[str, Poison]) -> PassageIndex:
    """Return the index with those passages in it besides."""
    return cast(PassageIndex, _Tampered(index, poisons))


def _unlike(example: Example, other: Example) -> bool:
    if other.image == example.image or set(example.gold_passage_ids) & set(other.gold_passage_ids):
        return False
    return not any(same_answer(a, b) for a in example.answers for b in other.answers)


def _holds(text: str, example: Example) -> bool:
    # As pseudo-recall looks for it, and word for word.
    return answer_rank([text], example) > 0 or any(contains(text, a) for a in example.answers)


def _with_texts(
    rows: Iterable[RetrievalRow], lookup: Lookup
) -> Iterator[tuple[RetrievalRow, dict[str, Passage]]]:
    some: list[RetrievalRow] = []

    def looked_up() -> Iterator[tuple[RetrievalRow, dict[str, Passage]]]:
        wanted = sorted({id_ for row in some for id_, _ in row.hits})
        texts = {passage.id: passage for passage in lookup(wanted)} if wanted else {}
        for row in some:
            yield row, texts

    for row in rows:
        some.append(row)
        if len(some) == _LOOKED_UP:
            yield from looked_up()
            some.clear()
    yield from looked_up()
