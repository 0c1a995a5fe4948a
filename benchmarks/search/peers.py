"""Late-interaction engines of others on the same vectors, in an environment of their own.

PEER_PYTHON -m benchmarks.search.peers ENGINE FOLDER SIZE WORK

fast_plaid   PLAID, rewritten by PyLate's authors (fast-plaid)
warp         WARP, as its package for PyLate has it (xtr-warp-rs)
tachiom      clusters for each word piece, a graph of them, product quantization
muvera       fastembed's fixed-dimensional encodings in an exact product, then MaxSim of the first
maxsim_cpu   a scan: exact
lancedb      LanceDB's multivector search, without an index and with IVF_PQ
voyager      HNSW over the tokens with PyLate's settings, then MaxSim of the passages they are of

Each with the settings that its authors document, and with cheaper and more thorough ones. Imports
nothing of this project but its neighbours that need numpy only.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.data import Rows, passages, word_pieces
from benchmarks.search.measured import REAL_TOKENS, TOP_K, Measured, disk, few, measure

if TYPE_CHECKING:
    from xtr_warp import XTRWarp

Search = Callable[[Rows], Sequence[str]]


def read(measured: Measured) -> tuple[list[str], list[Rows]]:
    """Return ids and rows of all passages."""
    ids, rows = zip(*passages(measured.folder, measured.size), strict=True)
    return list(ids), list(rows)


def fast_plaid(measured: Measured, work: Path) -> None:
    """PLAID: the inverted lists that are probed, and how many passages are scored in full."""
    import torch
    from fast_plaid.search import FastPlaid

    ids, rows = read(measured)
    folder = work / f"fast-plaid-{measured.size}"
    index = FastPlaid(index=str(folder), device="cpu")
    measured.build(
        lambda: index.create(documents_embeddings=[torch.from_numpy(r) for r in rows]), folder
    )
    for probes, scored in ((1, 256), (2, 1_024), (4, 1_024), (8, 4_096), (32, 16_384)):

        def search(q: Rows, probes: int = probes, scored: int = scored) -> list[str]:
            asked = torch.from_numpy(q)[None]
            [found] = index.search(
                asked, TOP_K, n_full_scores=scored, n_ivf_probe=probes, show_progress=False
            )
            return [ids[number] for number, _ in found]

        settings = f"{probes} probes, {scored:,} scored{_default(probes == 8)}"
        count = 50 if probes < 8 else 20
        measured.search("PLAID", search, REAL_TOKENS, count, settings=settings)


def warp(measured: Measured, work: Path) -> None:
    """WARP, built with its defaults."""
    import torch
    from xtr_warp import XTRWarp

    ids, rows = read(measured)
    folder = work / f"warp-{measured.size}"
    index = XTRWarp(str(folder), device="cpu")
    measured.build(lambda: index.create([torch.from_numpy(r) for r in rows], device="cpu"), folder)
    warp_searches(measured, index.load("cpu"), ids)


def warp_searches(measured: Measured, index: "XTRWarp", ids: list[str]) -> None:
    """Search with what it chooses itself, PyLate's settings, and all that it may look at."""
    import torch

    everything = {"bound": 16_384, "centroid_score_threshold": 0.0}
    own: dict[str, dict[str, float]] = {
        "its own choice (default)": {},
        "32 probes (PyLate's default)": {"nprobe": 32, "t_prime": 100_000},
        "128 probes": {"nprobe": 128, "t_prime": 100_000},
        "128 probes, no threshold": {"nprobe": 128, "t_prime": 100_000, **everything},
        "1,024 probes, no threshold": {"nprobe": 1_024, "t_prime": 5_000, **everything},
    }
    for settings, chosen in own.items():

        def search(q: Rows, chosen: dict[str, float] = chosen) -> list[str]:
            [found] = index.search(torch.from_numpy(q)[None], TOP_K, show_progress=False, **chosen)
            return [ids[number] for number, _ in found]

        count = 20 if "no threshold" in settings else 50
        measured.search("WARP", search, REAL_TOKENS, count, settings=settings)


def tachiom(measured: Measured, work: Path) -> None:
    """Tachiom: its defaults, and what its authors measured it with."""
    from tachiom import Tachiom

    ids, rows = read(measured)
    pieces = list(word_pieces(measured.folder, measured.size))
    lengths = np.array([len(r) for r in rows], np.int32)
    assert [len(p) for p in pieces] == lengths.tolist()
    halved = np.concatenate([r.astype(np.float16) for r in rows]).view(np.uint16)
    file = work / f"tachiom-{measured.size}" / "index.bin"
    file.parent.mkdir(exist_ok=True)
    built: list[Tachiom] = []

    def build() -> None:
        built.append(Tachiom.build_from_arrays(halved, np.concatenate(pieces), lengths))
        built[0].save(str(file))

    measured.build(build, file.parent)
    for centroids, scored, breadth, alpha in (
        (10, 100, 15, 0.4),
        (20, 200, 30, 0.4),
        (20, 500, 30, 0.45),
        (25, 500, 40, 0.4),
        (40, 1_000, 60, None),
        (160, 4_000, 240, None),
    ):

        def search(
            q: Rows,
            centroids: int = centroids,
            scored: int = scored,
            breadth: int = breadth,
            alpha: float | None = alpha,
        ) -> list[str]:
            _, found = built[0].search(
                np.ascontiguousarray(q),
                TOP_K,
                k_centroids=centroids,
                k_docs_to_score=scored,
                ef_search=breadth,
                alpha=alpha,
            )
            return [ids[number] for number in found if number < len(ids)]

        settings = f"{centroids} centroids, {scored:,} scored, alpha {alpha}"
        settings += _default((scored, alpha) == (500, 0.45))
        measured.search("Tachiom", search, REAL_TOKENS, 50, settings=settings)


def muvera(measured: Measured, work: Path) -> None:
    """MUVERA with fastembed's settings; the first are scored in full."""
    from fastembed.postprocess import Muvera

    ids, rows = read(measured)
    encoder = Muvera(dim=rows[0].shape[1])
    encodings = np.empty((len(rows), encoder.embedding_size), np.float32)
    file = work / f"muvera-{measured.size}" / "encodings.npy"
    file.parent.mkdir(exist_ok=True)

    def build() -> None:
        for encoding, passage in zip(encodings, rows, strict=True):
            encoding[:] = encoder.process_document(passage)
        np.save(file, encodings)

    measured.build(build, file.parent)
    for first in (50, 200, 1_000, 4_000):

        def search(q: Rows, first: int = first) -> list[str]:
            scores = encodings @ encoder.process_query(q).astype(np.float32)
            return best(q, np.argpartition(-scores, first)[:first], ids, rows)

        settings = f"MaxSim of the first {first:,}"
        measured.search("MUVERA", search, REAL_TOKENS, 50, settings=settings)


def maxsim_cpu(measured: Measured, work: Path) -> None:
    """MaxSim of all passages, in memory."""
    from maxsim_cpu import maxsim_scores_variable

    ids, rows = read(measured)

    def search(q: Rows) -> list[str]:
        scores = np.asarray(maxsim_scores_variable(q, rows))
        return [ids[number] for number in np.argsort(-scores)[:TOP_K]]

    measured.search("maxsim-cpu, scan", search, REAL_TOKENS, few(measured.size))


def lancedb(measured: Measured, work: Path) -> None:
    """LanceDB: a scan, and an IVF_PQ index of 32 sub-vectors, refined on the vectors themselves."""
    import lancedb as lance
    import pyarrow as pa

    ids, rows = read(measured)
    tokens = pa.array(np.concatenate(rows).astype(np.float16).reshape(-1))
    starts = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int32)
    nested = pa.ListArray.from_arrays(
        pa.array(starts), pa.FixedSizeListArray.from_arrays(tokens, rows[0].shape[1])
    )
    folder = work / f"lancedb-{measured.size}"
    table = lance.connect(folder).create_table(
        "bench", pa.table({"id": pa.array(ids), "vector": nested}), mode="overwrite"
    )

    def searching(probes: int = 0, refine: int = 0) -> Search:
        def search(q: Rows) -> list[str]:
            query = table.search(q).distance_type("cosine").limit(TOP_K)
            if probes:
                query = query.nprobes(probes)
            if refine:
                query = query.refine_factor(refine)
            return [hit["id"] for hit in query.select(["id", "_distance"]).to_list()]

        return search

    partitions = max(64, int(2 ** np.floor(np.log2(np.sqrt(starts[-1])))))
    measured.build(
        lambda: table.create_index(
            "cosine", num_partitions=partitions, num_sub_vectors=32, vector_column_name="vector"
        ),
        folder,
    )
    for probes, refine in ((2, 5), (8, 5), (8, 20), (32, 20)):
        settings = f"{probes} of {partitions} parts, refined {refine}-fold"
        search = searching(probes, refine)
        measured.search("LanceDB, IVF_PQ", search, REAL_TOKENS, 10, settings=settings)


def voyager(measured: Measured, work: Path) -> None:
    """Voyager, for several numbers of tokens found for each query token."""
    from voyager import Index, Space

    ids, rows = read(measured)
    passage_of = np.repeat(np.arange(len(ids)), [len(r) for r in rows])
    index = Index(Space.Cosine, num_dimensions=rows[0].shape[1], M=64, ef_construction=200)
    file = work / f"voyager-{measured.size}" / "tokens.voyager"
    file.parent.mkdir(exist_ok=True)

    def build() -> None:
        for passage in rows:
            index.add_items(passage, num_threads=1)
        index.save(str(file))

    measured.build(build)
    # What is found is scored on the vectors themselves, as float16 on the disk.
    measured.result["disk"] = disk(file.parent) + 2 * sum(r.size for r in rows)
    for neighbours in (10, 30, 100):

        def search(q: Rows, neighbours: int = neighbours) -> list[str]:
            found, _ = index.query(q, neighbours, num_threads=1, query_ef=200)
            return best(q, np.unique(passage_of[found]), ids, rows)

        settings = f"{neighbours} neighbours a token"
        measured.search("Voyager", search, REAL_TOKENS, 20, settings=settings)


def best(q: Rows, numbers: NDArray[np.int64], ids: list[str], rows: list[Rows]) -> list[str]:
    """Return the passages with the highest MaxSim, of those of these numbers."""
    found = [rows[number] for number in numbers]
    starts = np.cumsum([0, *map(len, found[:-1])])
    scores = np.maximum.reduceat(np.concatenate(found) @ q.T, starts).sum(axis=1)
    return [ids[number] for number in numbers[np.argsort(-scores)[:TOP_K]]]


def _default(it_is: bool) -> str:
    return " (default)" * it_is


ENGINES: dict[str, Callable[[Measured, Path], None]] = {
    engine.__name__: engine
    for engine in (fast_plaid, warp, tachiom, muvera, maxsim_cpu, lancedb, voyager)
}


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    measure(ENGINES)
