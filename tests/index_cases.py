"""Small passages and embeddings for the tests of the index."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from corpus.types import Hit, Passage
from retriever.index.passage_index import Fingerprint, PassageIndex
from retriever.scoring import maxsim_ragged

DIM = 16
Rows = NDArray[np.float32]


def unit(rows: Sequence[Sequence[float]] | NDArray[np.float64]) -> Rows:
    """Return the rows scaled to norm 1, and filled with zeros to the embedding dim."""
    matrix = np.zeros((len(rows), DIM), dtype=np.float32)
    matrix[:, : len(rows[0])] = rows
    norms: Rows = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / norms


def random_embeddings(count: int, seed: int = 0) -> list[Rows]:
    rng = np.random.default_rng(seed)
    return [unit(rng.normal(size=(rng.integers(1, 9), DIM))) for _ in range(count)]


def make_passages(count: int) -> list[Passage]:
    return [
        Passage(
            f"p{i:03}", f"Title {i}", f"Text {i} — é 猫",
            source=f"source{i % 3}", language=("en", "de")[i % 2],
        )
        for i in range(count)
    ]  # fmt: skip


def make_fingerprint(count: int) -> Fingerprint:
    return Fingerprint(
        checkpoint="tiny", checkpoint_sha256="c0", corpus="zoo", corpus_sha256="d0",
        passages=count, dim=DIM,
    )  # fmt: skip


def build(location: Path, embeddings: list[Rows]) -> Fingerprint:
    """Make a finished index of the first passages and return its fingerprint."""
    fingerprint = make_fingerprint(len(embeddings))
    with PassageIndex.create(location, fingerprint) as index:
        index.upsert(make_passages(len(embeddings)), embeddings)
        index.finish()
    return fingerprint


def exact_scores(q_QD: Rows, embeddings: list[Rows]) -> NDArray[np.float32]:
    lengths = torch.tensor([len(rows) for rows in embeddings])
    rows = torch.from_numpy(np.concatenate(embeddings))
    queries = torch.from_numpy(q_QD)[None]
    scores: NDArray[np.float32] = maxsim_ragged(queries, rows, lengths)[0].numpy()
    return scores


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]
