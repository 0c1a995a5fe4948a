"""Queries that a large index learns from: those that are given, or, for want of them, made ones.

What is learned fits queries like these. Pictures make rows of another kind than words, so that
made queries have made pictures: better than none, and less good than real ones
(docs/measured/candidates.md).
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from corpus.types import Passage, Query
from retriever.engines.candidates import LEARNED_FROM
from retriever.errors import InvalidTrainingData
from retriever.index.learning import LEAST, Learning

if TYPE_CHECKING:
    from retriever.encoding.encoder import Encoder
    from retriever.index.passage_index import PassageIndex

ASKED = 640  # queries at most: with fewer an index finds less (docs/measured/candidates.md)
_BATCH = 16
_LEAST_WORDS, _MOST_WORDS = 4, 10
_SIDE, _CELLS = 224, (2, 8)  # of made pictures, in pixels and in coloured cells a side


def learning_for(
    index: "PassageIndex", encoder: "Encoder", questions: Iterable[Query], recall: float
) -> Learning | None:
    """Return what an index learns from; None where it does not learn.

    Args:
        index: open for writing, all passages written.
        encoder: of the checkpoint that made it.
        questions: such as will be asked; of more than `ASKED` the first ones. None: made ones.
        recall: the share of the ten best that a search is to find.

    Raises:
        InvalidTrainingData: there are too few questions.
        InvalidQuery: one cannot be encoded.
    """
    if not index.learns:
        return None
    given = list(islice(enough(questions), ASKED))
    asked = given or made_queries(index.sample(ASKED))
    rows = [
        encoded.rows_QD
        for start in range(0, len(asked), _BATCH)
        for encoded in encoder.encode_queries(asked[start : start + _BATCH])
    ]
    return Learning(rows, recall, made=not given)


def enough(questions: Iterable[Query]) -> Iterator[Query]:
    """Return the questions, of which the first few are read now.

    Raises:
        InvalidTrainingData: there are some, and too few to learn from.
    """
    rest = iter(questions)
    first = list(islice(rest, LEAST))
    if 0 < len(first) < LEAST:
        raise InvalidTrainingData(
            f"an index of {LEARNED_FROM:,} passages or more learns from {LEAST} questions or more, "
            f"and {len(first)} were given: give more, or none, and it learns from its own text"
        )
    return chain(first, rest)


def made_queries(passages: Sequence[Passage]) -> list[Query]:
    """Return a query for each passage: a few words of its text, every second with a picture."""
    draw = random.Random(0)
    pictures = _made_pictures()
    queries = []
    for number, passage in enumerate(passages):
        words = (passage.text or passage.title).split()
        count = draw.randint(_LEAST_WORDS, _MOST_WORDS)
        start = draw.randint(0, max(0, len(words) - count))
        text = " ".join(words[start : start + count])
        queries.append(Query(text, next(pictures) if number % 2 else None))
    return queries


def _made_pictures() -> Iterator[Image.Image]:
    """Yield pictures of a few random colours, with sharp and with soft edges in turn."""
    rng = np.random.default_rng(0)
    while True:
        for edges in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC):
            cells = int(rng.integers(*_CELLS, endpoint=True))
            colours = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            yield Image.fromarray(colours).resize((_SIDE, _SIDE), edges)
