"""Checks of one's own data before anything is trained: each finding names a line and a remedy.

What stops a training is what would break it or make its figures worthless. The rest is told: the
line is left out, or teaches less than it could.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from app.evaluation.provenance import file_sha256
from corpus.errors import InvalidImage, InvalidRecord
from corpus.examples import example_lines
from corpus.pictures.images import load_image
from corpus.pictures.store import ImageFolder
from corpus.progress import Advance
from corpus.types import Example, Passage
from corpus.words import find_whole
from retriever.metrics import pseudo_recall_at_k
from retriever.training.negatives import normalised

_SUGGESTED_AMONG = 100_000  # ids; among more a search for a like one takes too long


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a line that should be otherwise.

    Attributes:
        kind: the same for all lines with the same trouble.
        where: the file and its line.
        what: which value it is.
        remedy: what to do about it.
        stops: whether nothing is trained before that is done.
    """

    kind: str
    where: str
    what: str
    remedy: str
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A line of an example file that could be read.

    Attributes:
        where: the file and the line, for people.
        example: what it says.
        picture: hash of the picture's file; "" where there is none.
    """

    where: str
    example: Example
    picture: str = ""

    @property
    def question(self) -> tuple[str, str]:
        """Return what makes two lines ask the same."""
        return normalised(self.example.question), self.picture or self.example.image


@dataclass(frozen=True, slots=True)
class OwnData:
    """Example files as they were read.

    Attributes:
        training: the lines that are trained on.
        validation: those that are measured on; () where no file was given.
        findings: about their lines, in the order of the files; those that stop first.
    """

    training: tuple[Asked, ...]
    validation: tuple[Asked, ...]
    findings: tuple[Finding, ...]

    @property
    def stopped(self) -> bool:
        """Return whether a finding stops the training."""
        return any(finding.stops for finding in self.findings)


def check(
    training: Path,
    validation: Path | None,
    images: ImageFolder,
    passages: Mapping[str, Passage],
    advance: Advance = lambda done, total: None,
) -> OwnData:
    """Return example files with everything found about them.

    Args:
        training: an example file (`corpus.examples`).
        validation: another one, or None.
        images: where their pictures lie; every one is decoded.
        passages: the corpus, by id.
        advance: told how many lines of a file are checked.

    Raises:
        DatasetNotFound: there is no such file.
    """
    findings: list[Finding] = []
    read: list[tuple[Asked, ...]] = []
    for path in (training, validation) if validation is not None else (training,):
        asked = tuple(_read(path, images, findings, advance))
        for rule in (_gold, _leaks, _answers, _negatives, _copies):
            findings += rule(asked, passages)
        findings += _repeats(asked)
        read.append(asked)
    if validation is not None:
        findings += _shared(*read)
    findings.sort(key=lambda finding: not finding.stops)
    return OwnData(read[0], read[1] if validation is not None else (), tuple(findings))


def _read(
    path: Path, images: ImageFolder, findings: list[Finding], advance: Advance
) -> Iterator[Asked]:
    """Yield the lines that can be read, with their pictures looked at."""
    hashes: dict[Path, str] = {}
    lines = list(example_lines(path))
    images.find_all(e.image for _, e in lines if isinstance(e, Example))
    for done, (line, example) in enumerate(lines, start=1):
        where = f"{path.name}:{line}"
        if isinstance(example, InvalidRecord):
            problem = str(example).split(": ", 1)[1]
            what = example.field or "the whole line"
            findings.append(Finding("bad line", where, what, problem, stops=True))
            continue
        picture = images.find(example.image) if example.image else None
        if picture is None and example.image:
            remedy = f"put it under {images.root}, or give its folder by --images"
            findings.append(Finding("no picture", where, example.image, remedy, stops=True))
        elif picture is not None and picture not in hashes:
            hashes[picture] = file_sha256(picture)
            try:
                load_image(picture)
            except InvalidImage as exc:
                remedy = f"save it again, or remove the line: {exc}"
                findings.append(Finding("bad picture", where, example.image, remedy, stops=True))
        yield Asked(where, example, hashes[picture] if picture is not None else "")
        advance(done, len(lines))


def _gold(asked: Sequence[Asked], passages: Mapping[str, Passage]) -> Iterator[Finding]:
    few = len(passages) <= _SUGGESTED_AMONG
    ids = {id_.casefold(): id_ for id_ in passages} if few else {}
    for row in asked:
        if not row.example.gold_passage_ids:
            remedy = "it is left out: add gold_passage_ids, a list of passage ids"
            yield Finding("no gold passage", row.where, row.example.question, remedy)
        for id_ in row.example.gold_passage_ids:
            if id_ not in passages:
                near = get_close_matches(id_.casefold(), ids, n=1)
                remedy = f"is it {ids[near[0]]}?" if near else "`kbvqa corpus show` prints the ids"
                yield Finding("gold passage not in the corpus", row.where, id_, remedy, stops=True)


def _leaks(asked: Sequence[Asked], passages: Mapping[str, Passage]) -> Iterator[Finding]:
    for row in (row for row in asked if row.example.image):
        titles = {passages[id_].title for id_ in row.example.gold_passage_ids if id_ in passages}
        for title in sorted(titles - {""}):
            if find_whole(re.escape(title), row.example.question):
                remedy = "write 'this country', 'this bird' for it: else no picture is needed"
                yield Finding("the question names the gold title", row.where, title, remedy)


def _answers(asked: Sequence[Asked], passages: Mapping[str, Passage]) -> Iterator[Finding]:
    for row in asked:
        answers = [answer for answer in row.example.searched if answer.strip()]
        texts = _texts(row, passages)
        if answers and texts and not pseudo_recall_at_k(texts, answers, len(texts)):
            remedy = "give it as the passage words it, or leave answers out"
            yield Finding("no gold passage has an answer", row.where, answers[0], remedy)


def _negatives(asked: Sequence[Asked], passages: Mapping[str, Passage]) -> Iterator[Finding]:
    """Yield the lines beside whose gold passages there is none that could be wrong."""
    without = []
    for row in (row for row in asked if row.example.gold_passage_ids):
        answers = [answer for answer in row.example.searched if answer.strip()]
        gold = {normalised(text) for text in _texts(row, passages)}
        wrong = (
            id_ not in row.example.gold_passage_ids
            and not pseudo_recall_at_k([passage.text], answers, 1)
            and normalised(passage.text) not in gold
            for id_, passage in passages.items()
        )
        if not any(wrong):
            without.append(row)
    every = len(without) == sum(bool(row.example.gold_passage_ids) for row in asked)
    for row in without:
        what = ", ".join(row.example.searched[:1] or row.example.gold_passage_ids[:1])
        remedy = "add passages that do not have the answer, or give a longer answer"
        yield Finding("no negative is possible", row.where, what, remedy, stops=every)


def _copies(asked: Sequence[Asked], passages: Mapping[str, Passage]) -> Iterator[Finding]:
    """Yield gold passages whose text stands in the corpus under another id, which then is wrong."""
    gold = {id_ for row in asked for id_ in row.example.gold_passage_ids if id_ in passages}
    ids: dict[str, list[str]] = {normalised(passages[id_].text): [] for id_ in gold}
    for id_, passage in passages.items():
        if (same := ids.get(normalised(passage.text))) is not None:
            same.append(id_)
    for row in asked:
        for text in _texts(row, passages):
            others = [i for i in ids[normalised(text)] if i not in row.example.gold_passage_ids]
            if others:
                remedy = "add it to gold_passage_ids, or build with --duplicates exact"
                yield Finding("gold text under another id", row.where, others[0], remedy)


def _repeats(asked: Sequence[Asked]) -> Iterator[Finding]:
    first: dict[tuple[str, str], Asked] = {}
    for row in asked:
        there = first.setdefault(row.question, row)
        if there is row:
            continue
        if set(there.example.gold_passage_ids).isdisjoint(row.example.gold_passage_ids):
            remedy = "they have other gold passages: write all of them in one line"
        else:
            remedy = "it counts twice: remove one"
        yield Finding("asked twice", row.where, f"as {there.where}", remedy)


def _shared(training: Sequence[Asked], validation: Sequence[Asked]) -> Iterator[Finding]:
    """Yield the lines of validation that training has seen."""
    asked = {row.question: row for row in training}
    shown = {row.picture: row for row in training if row.picture}
    for row in validation:
        if (there := asked.get(row.question)) is not None:
            remedy = "remove it from one of them: it would be measured on what was learnt"
            yield Finding("trained and measured on", row.where, there.where, remedy, stops=True)
        elif (there := shown.get(row.picture)) is not None:
            remedy = "figures will say little of new pictures: keep a picture on one side"
            yield Finding("its picture is trained on", row.where, there.where, remedy)


def _texts(row: Asked, passages: Mapping[str, Passage]) -> list[str]:
    """Return the texts of a line's gold passages that are in the corpus."""
    return [passages[id_].text for id_ in row.example.gold_passage_ids if id_ in passages]


def by_kind(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Return findings by kind, in the order in which kinds come first."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    return kinds
