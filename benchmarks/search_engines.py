"""One engine on one size in one process: what it costs to build and to search, and what it finds.

python -m benchmarks.search_engines ENGINE FOLDER SIZE WORK

prints a JSON object. `benchmarks.search` runs these one after another.
"""

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_data import Rows, passages, queries, real_count
from corpus.types import Passage
from retriever.index import Fingerprint, PassageIndex, Storage
from retriever.index_record import DEFAULT_STORAGE
from retriever.indexing import Batch, write_corpus

TOP_K = 10
REAL_TOKENS = 56
TOKENS = (64, 113, 320)
CANDIDATES = (25, 50, 100, 200, 400, 1_000)
DIM = 128


class Measured:
    """Collects what is printed."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.result: dict[str, Any] = {"size": size, "searches": []}
        self._anonymous = peak_anonymous()

    def build(self, build: Callable[[], None]) -> None:
        """Time the building."""
        started, cpu = time.perf_counter(), time.process_time()
        build()
        self.result["build_seconds"] = time.perf_counter() - started
        self.result["build_cpu_seconds"] = time.process_time() - cpu
        self.result["build_memory"] = self._anonymous()

    def search(
        self,
        name: str,
        search: Callable[[Rows], Sequence[str]],
        tokens: int,
        count: int,
        **settings: object,
    ) -> None:
        """Time so many queries, after one that warms up."""
        asked = queries(self.folder, count, tokens)
        search(asked[0])
        cpu, wall, found = [], [], []
        for q_QD in asked:
            t, c = time.perf_counter(), time.process_time()
            found.append(list(search(q_QD)))
            wall.append(time.perf_counter() - t)
            cpu.append(time.process_time() - c)
        self.result["searches"].append(
            {
                "name": name,
                "tokens": tokens,
                "queries": len(asked),
                "cpu_ms": 1000 * float(np.mean(cpu)),
                "cpu_ms_stderr": 1000 * float(np.std(cpu) / np.sqrt(len(cpu))),
                "wall_ms": 1000 * float(np.median(wall)),
                "found": found,
                **settings,
            }
        )

    def print(self) -> None:
        """Print everything."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(self.result | {"peak_memory": peak}))


def few(size: int, tokens: int, budget: int = 1_500_000) -> int:
    """Return how many queries a full scan is timed on: fewer where one takes seconds."""
    return int(np.clip(budget // (size * tokens), 3, 50))


def built_index(measured: Measured, work: Path, storage: Storage) -> PassageIndex:
    """Return an index of the passages, built as `kbvqa index build` does but for the encoding."""
    location = work / f"index-{measured.size}-{storage.tokens}-{storage.quantization}"
    made_from = Fingerprint("bench", "c", "bench", "d", passages=measured.size)
    vectors = passages(measured.folder, measured.size)

    def build() -> None:
        with PassageIndex.create(location, made_from, storage) as index:
            write_corpus(index, _named(vectors), _encode)
            index.finish()

    measured.build(build)
    shard = location / "shard"
    sizes = {True: 0, False: 0}
    for path in shard.rglob("*"):
        if path.is_file():
            sizes["wal" in path.parts] += path.stat().st_blocks * 512
    measured.result["disk"], measured.result["log"] = sizes[False], sizes[True]
    return PassageIndex.open(location)


# The rows of the passages that are being read, in place of an encoder.
_ROWS: dict[str, Rows] = {}


def _named(vectors: Iterator[tuple[str, Rows]]) -> Iterator[Passage]:
    for id_, rows in vectors:
        _ROWS[id_] = rows
        yield Passage(id_, id_, "A text of the usual length. " * 20)


def _encode(wanted: Iterable[Passage]) -> Iterator[Batch]:
    batch: list[Passage] = []
    for passage in wanted:
        batch.append(passage)
        if len(batch) == 50:
            yield batch, [_ROWS.pop(p.id) for p in batch]
            batch = []
    yield batch, [_ROWS.pop(p.id) for p in batch]


def kbvqa(measured: Measured, work: Path, storage: Storage = DEFAULT_STORAGE) -> None:
    """This index: candidates and MaxSim, for several numbers of candidates; and exact."""
    size = measured.size
    with built_index(measured, work, storage) as index:

        def two_stage(candidates: int) -> Callable[[Rows], list[str]]:
            return lambda q: [h.passage.id for h in index.search(q, TOP_K, candidates=candidates)]

        def exact(q: Rows) -> list[str]:
            return [h.passage.id for h in index.search(q, TOP_K, mode="exact")]

        for candidates in CANDIDATES:
            if candidates <= size:
                search = two_stage(candidates)
                measured.search("two-stage", search, REAL_TOKENS, 100, candidates=candidates)
        measured.search("exact", exact, REAL_TOKENS, few(size, REAL_TOKENS))
        if size == real_count(measured.folder):
            for tokens in TOKENS:
                measured.search("two-stage", two_stage(200), tokens, 20, candidates=200)
                measured.search("exact", exact, tokens, few(size, tokens))


def mirror(measured: Measured, work: Path) -> None:
    """The corpus in memory, from the index that `kbvqa` left, and torch without it."""
    import torch

    from retriever.exact import ExactSearcher
    from retriever.scoring import maxsim_ragged

    torch.set_num_threads(1)
    size, real = measured.size, measured.size == real_count(measured.folder)
    with PassageIndex.open(work / f"index-{size}-float16-None") as index:
        loaded: list[ExactSearcher] = []
        measured.build(lambda: loaded.append(ExactSearcher.load(index)))
    searcher = loaded.pop()

    def search(q: Rows) -> list[str]:
        return [hit.passage.id for hit in searcher.search(q, TOP_K)]

    for tokens in (REAL_TOKENS, *(TOKENS if real else ())):
        # These are the truth that recall is measured against.
        measured.search("mirror float32", search, tokens, 100 if tokens == REAL_TOKENS else 20)
    rows, ids = searcher._rows_TD, [passage.id for passage in searcher.passages]
    lengths = torch.tensor([run.length for run in searcher._runs for _ in range(run.size)])

    def plain(q: Rows) -> list[str]:
        scores = maxsim_ragged(torch.from_numpy(q)[None], rows, lengths)[0]
        return [ids[i] for i in scores.topk(TOP_K).indices.tolist()]

    for tokens in (REAL_TOKENS, *(TOKENS if real else ())):
        measured.search("torch", plain, tokens, few(size, tokens, 10_000_000))
    if real:
        with PassageIndex.open(work / f"index-{size}-float16-None") as index:
            searcher = ExactSearcher.load(index, precision="int8")
        measured.search("mirror int8", search, REAL_TOKENS, 20)


def local(measured: Measured, work: Path) -> None:
    """qdrant-client's local mode, in memory, asked the same way."""
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

    measured.search("local mode exact", ask, REAL_TOKENS, few(measured.size, REAL_TOKENS, 500_000))
    measured.search("local mode means", prefetched, REAL_TOKENS, 20, candidates=200)


ENGINES: dict[str, Callable[[Measured, Path], None]] = {
    "kbvqa": kbvqa,
    "mirror": mirror,
    "local": local,
    **{
        f"kbvqa-{name}": lambda measured, work, storage=storage: kbvqa(measured, work, storage)
        for name, storage in {
            "float32": Storage("float32"),
            "turbo4": Storage("turbo4"),
            "scalar": Storage("float16", "scalar"),
            "binary": Storage("float16", "binary"),
        }.items()
    },
}


def peak_anonymous() -> Callable[[], int]:
    """Return a function that gives the most memory, but for mapped files, since now."""
    peak = [_anonymous()]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            peak[0] = max(peak[0], _anonymous())

    threading.Thread(target=watch, daemon=True).start()

    def result() -> int:
        stop.set()
        return max(peak[0], _anonymous())

    return result


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def main() -> None:
    """Run one engine."""
    engine, folder, size, work = sys.argv[1:]
    measured = Measured(Path(folder), int(size))
    ENGINES[engine](measured, Path(work))
    measured.print()


if __name__ == "__main__":
    main()
