"""Indexes that learn, for tests: small ones of passages that their means blur."""

from pathlib import Path

import numpy as np

from retriever.index.passage_index import Learning, PassageIndex
from tests.index_cases import DIM, Rows, ids, make_fingerprint, make_passages, unit

COUNT, LEARNED_FROM = 320, 150


def rows_near(anchors: Rows, seed: int, count: int) -> Rows:
    """Return unit rows, each near one of some anchors."""
    rng = np.random.default_rng(seed)
    noise = 0.3 * rng.normal(size=(count, DIM)) / DIM**0.5
    return unit(anchors[rng.integers(0, len(anchors), count)] + noise)


def built(location: Path, embeddings: list[Rows], queries: list[Rows]) -> None:
    made_from = make_fingerprint(len(embeddings))
    with PassageIndex.create(location, made_from) as index:
        index.upsert(make_passages(len(embeddings)), embeddings)
        index.finish(learning=Learning(queries) if queries else None)


def recall(index: PassageIndex, queries: list[Rows], candidates: int) -> float:
    """Return the share of the exact ten best that a search with few candidates finds."""
    shares = []
    for q_QD in queries:
        exact = set(ids(index.search(q_QD, 10, mode="exact")))
        shares.append(len(exact & set(ids(index.search(q_QD, 10, candidates=candidates)))) / 10)
    return float(np.mean(shares))
