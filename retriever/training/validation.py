"""How well a checkpoint finds the gold passages of validation questions, in a real index."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.pictures.images import load_image
from corpus.pictures.store import black_image
from corpus.types import Passage, Query
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.index.passage_index import PassageIndex
from retriever.metrics import mean_and_stderr, recall_at_k
from retriever.training.examples import TrainingExample

AT_ONCE = 64  # questions


@dataclass(frozen=True, slots=True)
class Validation:
    """Questions that nothing is trained on, and the passages that they are asked of."""

    examples: Sequence[TrainingExample]
    passages: Mapping[str, Passage]


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall at K: its mean, standard error, and of how many questions."""

    k: int
    value: float
    stderr: float
    n: int


def measure(
    checkpoint: Checkpoint, validation: Validation, ks: Iterable[int], index_at: Path
) -> list[Recall]:
    """Return recall at each K of a checkpoint; arguments as of `search_all`, errors too."""
    ks = list(ks)
    hits: dict[int, list[float]] = {k: [] for k in ks}
    for example, best in search_all(checkpoint, validation, max(ks), index_at):
        ids = [passage.id for passage in best]
        for k in ks:
            hits[k].append(recall_at_k(ids, example.positives, k))
    return [Recall(k, *mean_and_stderr(values), len(values)) for k, values in hits.items()]


def search_all(
    checkpoint: Checkpoint, validation: Validation, top_k: int, index_at: Path
) -> Iterator[tuple[TrainingExample, list[Passage]]]:
    """Yield the questions with what is found for them, best first, by an index made for it.

    Args:
        checkpoint: one that nothing else uses: its model moves to the device.
        validation: the questions and passages.
        top_k: passages to a question.
        index_at: where the index is made; removed afterwards.

    Raises:
        InvalidImage: a picture cannot be used.
    """
    encoder = Encoder(checkpoint)
    shutil.rmtree(index_at, ignore_errors=True)
    try:
        with PassageIndex.build(index_at, validation.passages.values(), encoder) as index:
            for start in range(0, len(validation.examples), AT_ONCE):
                asked = validation.examples[start : start + AT_ONCE]
                encoded = encoder.encode_queries([query_of(example) for example in asked])
                found = index.search_many(encoded, top_k)
                for example, best in zip(asked, found, strict=True):
                    yield example, [hit.passage for hit in best]
    finally:
        shutil.rmtree(index_at, ignore_errors=True)


def query_of(example: TrainingExample) -> Query:
    """Return what an example asks, with its picture loaded.

    Raises:
        InvalidImage: the picture cannot be used.
    """
    picture = black_image() if example.black_image else None
    if example.image is not None:
        picture = load_image(example.image)
    return Query(example.question, picture, example.instruction)
