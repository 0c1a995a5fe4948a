"""Small passages and embeddings for the tests of the index."""

import copy
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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


class ThreadProcesses:
    """The calls of `retriever.index.writing.Processes`, between threads."""

    def __init__(
        self, number: int, size: int, shared: dict[str, list[Any]], barrier: threading.Barrier
    ) -> None:
        self.number, self.size, self._shared, self._barrier = number, size, shared, barrier

    @classmethod
    def make(cls, size: int) -> "list[ThreadProcesses]":
        shared: dict[str, list[Any]] = {"told": [None], "parts": [], "given": [None] * size}
        barrier = threading.Barrier(size)
        return [cls(number, size, shared, barrier) for number in range(size)]

    def told(self, value: Any) -> Any:
        if self.number == 0:
            self._shared["told"] = [value]
        return self._meet(lambda: self._shared["told"][0])

    def scatter(self, parts: Any) -> list[Passage] | None:
        if self.number == 0:
            self._shared["parts"] = list(parts)
        part: list[Passage] | None = self._meet(lambda: self._shared["parts"][self.number])
        return part

    def gather(self, given: Any) -> list[Any] | None:
        self._shared["given"][self.number] = copy.deepcopy(given)  # as between processes
        everything: list[Any] = self._meet(lambda: list(self._shared["given"]))
        return everything if self.number == 0 else None

    def _meet(self, read: Callable[[], Any]) -> Any:
        self._barrier.wait(20)
        found = read()
        self._barrier.wait(20)
        return found
