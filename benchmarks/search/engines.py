"""This index and what is at hand in Python: what it costs to build and to search, what is found.

python -m benchmarks.search.engines ENGINE FOLDER SIZE WORK

prints a JSON object for one engine on one size. `benchmarks.search` runs these one after another.
"""

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.search.data import Rows, fit_queries, passages
from benchmarks.search.measured import LONGER, REAL_TOKENS, TOP_K, Measured, disk, few, measure
from corpus.types import Passage
from retriever.engines.record import DEFAULT_STORAGE
from retriever.index.passage_index import Fingerprint, Learning, PassageIndex, Storage
from retriever.index.writing import Batch, write_corpus

CANDIDATES = (10, 15, 20, 50, 100, 200, 400, 1_000)
DIM = 128
STORAGES = {
    "float32": Storage("float32"),
    "turbo4": Storage("turbo4"),
    "scalar": Storage("float16", "scalar"),
    "binary": Storage("float16", "binary"),
}


def built_index(measured: Measured, work: Path, storage: Storage) -> PassageIndex:
    """Return an index of the passages, built as `kbvqa index build` does but for the encoding."""
    location = index_at(work, measured.size, storage)
    shutil.rmtree(location, ignore_errors=True)  # of a run that was cut off
    made_from = Fingerprint("bench", "c", "bench", "d", passages=measured.size)
    vectors = passages(measured.folder, measured.size)

    def build() -> None:
        with PassageIndex.create(location, made_from, storage) as index:
            write_corpus(index, named(vectors), encode)
            index.finish(learning=Learning(fit_queries(measured.folder)) if index.learns else None)

    measured.build(build)
    whole = disk(location)
    measured.result["disk"] = disk(location, without="wal")
    measured.result["log"] = whole - measured.result["disk"]
    return PassageIndex.open(location)


def index_at(work: Path, size: int, storage: Storage = DEFAULT_STORAGE) -> Path:
    """Return where the index of so many passages is."""
    return work / f"index-{size}-{storage.tokens}-{storage.quantization}"


# The rows of the passages that are being read, in place of an encoder.
_ROWS: dict[str, Rows] = {}


def named(vectors: Iterator[tuple[str, Rows]]) -> Iterator[Passage]:
    """Yield passages whose rows `encode` finds."""
    for id_, rows in vectors:
        _ROWS[id_] = rows
        yield Passage(id_, id_, "A text of the usual length. " * 20)


def encode(wanted: Iterable[Passage]) -> Iterator[Batch]:
    """Yield passages in batches, with their rows."""
    batch: list[Passage] = []
    for passage in wanted:
        batch.append(passage)
        if len(batch) == 50:
            yield batch, [_ROWS.pop(p.id) for p in batch]
            batch = []
    yield batch, [_ROWS.pop(p.id) for p in batch]


def usual(size: int, tokens: int = REAL_TOKENS) -> int:
    """Return how many queries are asked where a search takes milliseconds, and a scan seconds."""
    if size < 50_000:
        return 100 if tokens == REAL_TOKENS else 50
    return 60 if tokens < LONGER[-1] else 30


def kbvqa(measured: Measured, work: Path) -> None:
    """This index: candidates and MaxSim, for several numbers of candidates; and exact."""
    size = measured.size
    with built_index(measured, work, DEFAULT_STORAGE) as index:
        for candidates in CANDIDATES:
            if candidates <= size:
                search = two_stage(index, candidates)
                measured.search("here", search, REAL_TOKENS, usual(size), candidates=candidates)
        for tokens, candidates in itertools.product(LONGER, (50, 100, 200, 400)):
            search, count = two_stage(index, candidates), usual(size, tokens)
            measured.search("here", search, tokens, count, candidates=candidates)
        for tokens in (REAL_TOKENS, *(LONGER if size < 50_000 else ())):
            measured.search("here, exact", exact(index), tokens, few(size))


def stored(measured: Measured, work: Path, storage: Storage) -> None:
    """This index with its vectors kept in another way."""
    with built_index(measured, work, storage) as index:
        measured.search("here", two_stage(index, 200), REAL_TOKENS, 100, candidates=200)
        measured.search("here, exact", exact(index), REAL_TOKENS, few(measured.size))


def two_stage(index: PassageIndex, candidates: int) -> Callable[[Rows], list[str]]:
    """Return what searches with so many candidates."""
    return lambda q: [hit.passage.id for hit in index.search(q, TOP_K, candidates=candidates)]


def exact(index: PassageIndex) -> Callable[[Rows], list[str]]:
    """Return what searches by MaxSim of everything."""
    return lambda q: [hit.passage.id for hit in index.search(q, TOP_K, mode="exact")]


def memory(measured: Measured, work: Path) -> None:
    """The corpus in memory, from the index that `kbvqa` left: the truth; and torch without it."""
    import torch

    from retriever.index.exact import ExactSearcher
    from retriever.scoring import maxsim_ragged

    torch.set_num_threads(1)
    size = measured.size
    with PassageIndex.open(index_at(work, size)) as index:
        loaded: list[ExactSearcher] = []
        measured.build(lambda: loaded.append(ExactSearcher.load(index)))
    searcher = loaded.pop()

    def search(q: Rows) -> list[str]:
        return [hit.passage.id for hit in searcher.search(q, TOP_K)]

    # These are the truth that recall is measured against.
    measured.search("here, in memory, float32", search, REAL_TOKENS, usual(size))
    for tokens in LONGER:
        measured.search("here, in memory, float32", search, tokens, usual(size, tokens))
    rows, ids = searcher._rows_TD, [passage.id for passage in searcher.passages]
    lengths = torch.tensor([run.length for run in searcher._runs for _ in range(run.size)])

    def plain(q: Rows) -> list[str]:
        scores = maxsim_ragged(torch.from_numpy(q)[None], rows, lengths)[0]
        return [ids[i] for i in scores.topk(TOP_K).indices.tolist()]

    for tokens in (REAL_TOKENS, *(LONGER if size < 50_000 else ())):
        measured.search("plain torch", plain, tokens, few(size))


def memory_int8(measured: Measured, work: Path) -> None:
    """The corpus in memory at eight bits, from the index that `kbvqa` left."""
    import torch

    from retriever.index.exact import ExactSearcher

    torch.set_num_threads(1)
    loaded: list[ExactSearcher] = []
    with PassageIndex.open(index_at(work, measured.size)) as index:
        measured.build(lambda: loaded.append(ExactSearcher.load(index, precision="int8")))

    def search(q: Rows) -> list[str]:
        return [hit.passage.id for hit in loaded[0].search(q, TOP_K)]

    measured.search("here, in memory, int8", search, REAL_TOKENS, few(measured.size))


def local(measured: Measured, work: Path) -> None:
    """qdrant-client's local mode, in memory: a scan, and 200 passages by their means."""
    import warnings

    from qdrant_client import QdrantClient, models

    warnings.simplefilter("ignore")
    client = QdrantClient(":memory:")
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    dot, cosine = models.Distance.DOT, models.Distance.COSINE
    client.create_collection(
        "bench",
        {
            "tokens": models.VectorParams(size=DIM, distance=dot, multivector_config=multi),
            "mean": models.VectorParams(size=DIM, distance=cosine),
        },
    )

    def build() -> None:
        for i, (id_, rows) in enumerate(passages(measured.folder, measured.size)):
            vectors: Any = {"tokens": rows.tolist(), "mean": rows.mean(0).tolist()}
            point = models.PointStruct(id=i, vector=vectors, payload={"id": id_})
            client.upsert("bench", [point])

    measured.build(build)

    def ask(q: Rows, prefetch: models.Prefetch | None = None) -> list[str]:
        found = client.query_points(
            "bench", query=q.tolist(), using="tokens", limit=TOP_K, prefetch=prefetch
        )
        return [(point.payload or {})["id"] for point in found.points]

    def prefetched(q: Rows) -> list[str]:
        mean = q.mean(0).tolist()
        return ask(q, models.Prefetch(query=mean, using="mean", limit=200))

    measured.search("local mode, exact", ask, REAL_TOKENS, 5)
    measured.search("local mode, 200 by means", prefetched, REAL_TOKENS, 5)
    if measured.size <= 1_000:
        for tokens in LONGER:
            measured.search("local mode, exact", ask, tokens, 5)


ENGINES: dict[str, Callable[[Measured, Path], None]] = {
    "kbvqa": kbvqa,
    "memory": memory,
    "memory_int8": memory_int8,
    "local": local,
    **{
        name: lambda measured, work, storage=storage: stored(measured, work, storage)
        for name, storage in STORAGES.items()
    },
}


if __name__ == "__main__":
    measure(ENGINES)
