"""Does the digest hold where the rows of a query repeat themselves less? Recall for such queries.

python -m benchmarks.search.redundancy VECTORS WORK

prints a JSON object; `benchmarks.search run` calls it, after the engine `kbvqa` at full size.
There are no weights of PreFLMR at hand, whose queries have 320 rows: these are kbvqa-mini's 56
made longer in ways that repeat less and less.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.search.data import Rows, passages, queries, real_count
from benchmarks.search.engines import index_at
from benchmarks.search.measured import REAL_TOKENS, TOP_K
from corpus.types import Query
from retriever.encoding.encoder import Encoder
from retriever.engines.candidates import DIGEST_ROWS, WIDENING
from retriever.engines.pooling import cluster_sums
from retriever.index.exact import ExactSearcher
from retriever.index.passage_index import PassageIndex

QUERIES, TOKENS, PARTS = 50, 320, 11
TEXT_TOKENS = 32  # of kbvqa-mini's 56 query rows; the others come from the picture
COSINES = (0.8, 0.7, 0.6, 0.5)
CANDIDATES = (200, 400)


def rows_of_parts(encoder: Encoder, query: Query) -> Rows:
    """Return a query's rows [Q, D], and those of parts of its picture, `TOKENS` in all."""
    assert query.image is not None
    rng = np.random.default_rng(0)
    width, height = query.image.size
    parts: list[Query] = []
    while len(parts) < PARTS:
        side, left, upper = rng.uniform((0.3, 0, 0), (0.8, 1, 1))
        x, y = left * (1 - side) * width, upper * (1 - side) * height
        box = (int(x), int(y), int(x + side * width), int(y + side * height))
        parts.append(replace(query, image=query.image.crop(box)))
    whole, *seen = (encoded.rows_QD for encoded in encoder.encode_queries([query, *parts]))
    return np.concatenate([whole, *(rows[TEXT_TOKENS:] for rows in seen)])


def kinds(vectors: Path) -> dict[str, list[Rows]]:
    """Return queries of each kind, by its name."""
    real = queries(vectors, QUERIES, REAL_TOKENS)
    views = np.load(vectors / "views.npz")["rows"].reshape(QUERIES, -1, real[0].shape[1])
    pictures = [q[TEXT_TOKENS:] for q in real]
    others = [np.concatenate([*pictures[i:], *pictures[:i]]) for i in range(QUERIES)]
    beside = TOKENS - TEXT_TOKENS
    return {
        "56 rows, as they are": real,
        "the picture and 11 parts of it": list(views),
        **{
            f"rows repeated with noise, cosine {cosine}": queries(vectors, QUERIES, TOKENS, cosine)
            for cosine in COSINES
        },
        "the picture and 11 other pictures": [
            np.concatenate([q[:TEXT_TOKENS], rows[:beside]])
            for q, rows in zip(real, others, strict=True)
        ],
    }


def kept(q_QD: Rows) -> float:
    """Return the mean cosine of a query's rows to the nearest row of a digest of eight."""
    sums = cluster_sums(q_QD, DIGEST_ROWS)
    return float((q_QD @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T).max(1).mean())


def shares(truth: list[list[str]], search: Callable[[Rows], list[str]], asked: list[Rows]) -> Rows:
    """Return for each query the share of the exact top ten that is found."""
    pairs = zip(truth, map(search, asked), strict=True)
    return np.array([len({*t} & {*found}) / len(t) for t, found in pairs], np.float32)


def main() -> None:
    """Measure every kind."""
    vectors, work = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    size = real_count(vectors)
    ids, means = [], []
    for id_, rows in passages(vectors, size):
        mean = rows.mean(0)
        ids.append(id_)
        means.append(mean / np.linalg.norm(mean))
    means_DN = np.stack(means).T
    found = []
    with PassageIndex.open(index_at(work, size)) as index:
        exact = ExactSearcher.load(index)
        for name, asked in kinds(vectors).items():
            truth = [[h.passage.id for h in exact.search(q, TOP_K)] for q in asked]
            row: dict[str, object] = {"name": name, "kept": float(np.mean([*map(kept, asked)]))}
            for candidates in CANDIDATES:

                def by_means(q: Rows, count: int = candidates * WIDENING) -> list[str]:
                    return [ids[i] for i in np.argsort(-(q.mean(0) @ means_DN))[:count]]

                def search(q: Rows, candidates: int = candidates) -> list[str]:
                    hits = index.search(q, TOP_K, candidates=candidates)
                    return [hit.passage.id for hit in hits]

                for key, way in (("means", by_means), ("recall", search)):
                    each = shares(truth, way, asked)
                    row[f"{key} {candidates}"] = float(each.mean())
                    row[f"{key} {candidates} stderr"] = float(each.std() / np.sqrt(len(each)))
            found.append(row)
    print(json.dumps({"size": size, "queries": QUERIES, "kinds": found}))


if __name__ == "__main__":
    main()
