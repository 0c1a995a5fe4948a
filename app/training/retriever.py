"""`kbvqa train retriever`: examples, passages and a checkpoint in, a trained checkpoint out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import InvalidTrainingData
from app.evaluation.benchmarks.catalog import KNOWN
from app.training.examples import retriever_examples
from app.training.negatives import read_negatives
from corpus.benchmarks.datasets import ALL
from corpus.benchmarks.msmarco import read_triples
from corpus.passages.corpora import open_corpus
from corpus.types import Passage
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.examples import TrainingExample
from retriever.training.negatives import with_negatives
from retriever.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where questions and their passages are.

    Attributes:
        examples: an example file, the name of a benchmark, or MSMARCO's triples (.tsv).
        passages: a corpus on disk; triples hold their own.
        images: the directory of the pictures; None for the benchmark's or the file's.
    """

    examples: str
    passages: Path
    images: Path | None = None

    @property
    def name(self) -> str:
        """Return what a recipe calls it: the benchmark's name, or the file's."""
        return self.examples if self.examples in KNOWN else Path(self.examples).name.split(".")[0]

    @property
    def is_triples(self) -> bool:
        """Return whether it is a file of (question, positive, negative)."""
        return self.examples.removesuffix(".gz").endswith(".tsv")


def read_set(source: Source, root: Path, negatives: Path | None = None) -> TrainingSet:
    """Return what is trained on, with its passages in memory.

    Args:
        source: where it is; a benchmark's split is "train".
        root: the data directory.
        negatives: what `kbvqa train negatives` wrote.

    Raises:
        UnknownBenchmark: there is none of that name.
        CorpusError: a file is missing or cannot be used.
        InvalidTrainingData: no question has a gold passage, or the negatives are of others.
    """
    if source.is_triples:
        if negatives is not None:
            raise InvalidTrainingData(
                f"{source.examples} holds its own wrong passages: leave --negatives out"
            )
        return _triples(source)
    examples = retriever_examples(source.examples, root, images=source.images)
    if negatives is not None:
        examples = _with_negatives(source, examples, negatives)
    passages = _passages(source, "train")
    return TrainingSet(source.name, _with_passages(source, examples, passages), passages)


def read_validation(source: Source, root: Path) -> Validation:
    """Return what decides which checkpoint is kept; errors as of `read_set`.

    A benchmark's split is the one called "valid" or "val".
    """
    splits = KNOWN[source.examples].splits if source.examples in KNOWN else ("",)
    split = next((name for name in ("valid", "val", "") if name in splits), splits[0])
    examples = retriever_examples(source.examples, root, split=split, images=source.images)
    passages = _passages(source, split)
    return Validation(_with_passages(source, examples, passages), passages)


def _triples(source: Source) -> TrainingSet:
    """Return MSMARCO's triples; a question that stands in several lines is one example of each.

    What is right in one of its lines is right in all of them.
    """
    passages: dict[str, Passage] = {}
    right: dict[str, tuple[str, ...]] = {}
    lines = []
    for triple in read_triples(Path(source.examples)):
        passages |= {passage.id: passage for passage in (triple.positive, triple.negative)}
        known = right.get(triple.question, ())
        if triple.positive.id not in known:
            right[triple.question] = (*known, triple.positive.id)
        lines.append((triple.question, triple.negative.id))
    examples = [
        TrainingExample(str(number), question, "", None, right[question], (wrong,))
        for number, (question, wrong) in enumerate(lines, start=1)
    ]
    return TrainingSet(source.name, examples, passages)


def _with_negatives(
    source: Source, examples: Sequence[TrainingExample], path: Path
) -> list[TrainingExample]:
    """Return the examples with the negatives of a file, which must be those of some of them."""
    mined = read_negatives(path)
    others = mined.keys() - {example.id for example in examples}
    if len(others) == len(mined):
        has = f"ids such as {min(others)!r}" if others else "no line"
        raise InvalidTrainingData(
            f"{path} has {has}, and no negatives for a question of {source.name}, such as "
            f"{examples[0].id!r}: give what `kbvqa train negatives --examples {source.examples}` "
            "wrote"
        )
    if others:
        log.warning(
            "%d of %d questions of %s are none of %s's, such as %r: their negatives are left out",
            *(len(others), len(mined), path, source.name, min(others)),
        )
    return list(with_negatives(examples, mined))


def _with_passages(
    source: Source, examples: Sequence[TrainingExample], passages: Mapping[str, Passage]
) -> list[TrainingExample]:
    """Return a benchmark's questions that have a gold passage in the corpus, with those alone.

    Of the large ones some never have. In one's own file that is a slip, which the training names.
    """
    if source.examples not in KNOWN:
        return list(examples)
    there = [
        replace(
            example,
            positives=tuple(id_ for id_ in example.positives if id_ in passages),
            negatives=tuple(id_ for id_ in example.negatives if id_ in passages),
        )
        for example in examples
    ]
    kept = [example for example in there if example.positives]
    if len(kept) < len(there):
        log.warning(
            "%d of %d questions of %s are left out: their gold passages are not in %s",
            *(len(there) - len(kept), len(there), source.name, source.passages),
        )
    return kept


def apart(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    """Return sets whose examples have different ids: with the set's name before them."""
    if len(sets) < 2:
        return list(sets)
    return [
        replace(given, examples=[replace(e, id=f"{given.name}/{e.id}") for e in given.examples])
        for given in sets
    ]


def licences(sets: Sequence[TrainingSet]) -> dict[str, str]:
    """Return what the sources of sets state as their licence, by name, where it is known."""
    return {given.name: ALL[given.name].licence for given in sets if given.name in ALL}


def _passages(source: Source, split: str) -> Mapping[str, Passage]:
    # Only M2KR's folders hold passages of several splits.
    of_split = split if source.examples.startswith("m2kr-") else ""
    with open_corpus(source.passages, split=of_split).read() as stream:
        return {passage.id: passage for passage in stream}
