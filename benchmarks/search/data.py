"""Vectors for the benchmark of the index: real ones of kbvqa-mini, and more made from them.

A folder of vectors holds passages-000000.npz, ... (ids, rows [T, D] float16, lengths), tokens-
000000.npz, ... (each row's word piece) and queries.npz and fit.npz (rows, lengths);
`python -m benchmarks.search prepare` writes one.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

SHARD = 1_024


def real_count(folder: Path) -> int:
    """Return how many passages were encoded."""
    return sum(len(np.load(path)["lengths"]) for path in sorted(folder.glob("passages-*.npz")))


def passages(folder: Path, count: int) -> Iterator[tuple[str, Rows]]:
    """Yield ids and rows [P, D], a shard in memory at a time.

    Beyond the real ones come made ones: half the rows of a real passage and, in place of the
    others, rows of one that is near it in the corpus, all with a little noise (cosine 0.95). They
    answer almost what the real ones answer.
    """
    made = 0
    files = sorted(folder.glob("passages-*.npz"))
    for generation in itertools.count():
        for path in files:
            if made == count:
                return
            shard = np.load(path)
            rows, lengths, ids = shard["rows"].astype(np.float32), shard["lengths"], shard["ids"]
            if generation:
                seed = generation * 1_000_003 + made
                rows = noisy(rows[_taken(lengths, generation, seed)], seed, cosine=0.95)
            starts = np.concatenate([[0], np.cumsum(lengths)])
            for i, id_ in enumerate(ids[: count - made]):
                yield f"{id_}#{generation}", rows[starts[i] : starts[i + 1]]
                made += 1


def word_pieces(folder: Path, count: int) -> Iterator[NDArray[np.uint32]]:
    """Yield the word piece of each row, passage by passage, as `passages` yields their rows."""
    made = 0
    for generation in itertools.count():
        for path in sorted(folder.glob("tokens-*.npz")):
            if made == count:
                return
            shard = np.load(path)
            pieces, lengths = shard["rows"], shard["lengths"]
            if generation:
                pieces = pieces[_taken(lengths, generation, generation * 1_000_003 + made)]
            parts = np.split(pieces, np.cumsum(lengths)[:-1])[: count - made]
            made += len(parts)
            yield from parts


def _taken(lengths: NDArray[np.int64], step: int, seed: int) -> NDArray[np.int64]:
    """Return which rows made passages have: each mixed with the passage `step` further on."""
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    partner = (np.repeat(np.arange(len(lengths)), lengths) + step) % len(lengths)
    other = starts[partner] + rng.integers(0, lengths[partner])
    own = np.arange(starts[-1])
    return np.where(rng.random(len(own)) < 0.5, other, own)


def fit_queries(folder: Path) -> list[Rows]:
    """Return the rows of the queries that a stage is fitted on."""
    stored = np.load(folder / "fit.npz")
    return np.split(stored["rows"], np.cumsum(stored["lengths"])[:-1])


def queries(
    folder: Path, count: int, tokens: int, cosine: float = 0.8, skip: int = 0
) -> list[Rows]:
    """Return queries of so many rows: 56 are real, for others rows are repeated with noise."""
    stored = np.load(folder / "queries.npz")
    rows = stored["rows"].reshape(len(stored["lengths"]), -1, stored["rows"].shape[-1])
    chosen = rows[shuffled(len(rows))[skip : skip + count]]
    if tokens == chosen.shape[1]:
        return list(chosen)
    wanted = np.arange(tokens) % chosen.shape[1]
    return [noisy(query[wanted], seed=i, cosine=cosine) for i, query in enumerate(chosen)]


def shuffled(count: int) -> list[int]:
    """Return the order in which queries are asked: fewer are the first of more."""
    return [int(i) for i in np.random.default_rng(0).permutation(count)]


def noisy(rows: Rows, seed: int, cosine: float) -> Rows:
    """Return unit rows at about this cosine to the given ones."""
    noise = np.random.default_rng(seed).standard_normal(rows.shape, dtype=np.float32)
    size = np.float32(np.sqrt((1 / cosine**2 - 1) / rows.shape[-1]))
    moved = rows + size * noise
    result: Rows = moved / np.linalg.norm(moved, axis=-1, keepdims=True)
    return result
