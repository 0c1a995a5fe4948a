"""Late-interaction engines of others on the same vectors, in an environment of their own.

PEER_PYTHON -m benchmarks.search.peers ENGINE FOLDER SIZE WORK

plaid, plaid8     PLAID as PyLate has it from ColBERT's authors, 4 and 8 bits
lancedb           LanceDB's multivector search, without an index and with IVF_PQ
voyager           PyLate's other index: HNSW over the tokens, and MaxSim of the passages they are of

Imports nothing of this project but its neighbours that need numpy only.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.search.data import Rows, passages
from benchmarks.search.measured import LONGER, REAL_TOKENS, TOP_K, Measured, measure

Search = Callable[[Rows], Sequence[str]]


def _at_lengths(measured: Measured, name: str, search: Search, **settings: object) -> None:
    measured.search(name, search, REAL_TOKENS, 50, **settings)
    for tokens in LONGER:
        measured.search(name, search, tokens, 20, **settings)


def plaid(measured: Measured, work: Path, bits: int = 4) -> None:
    """PLAID, with what PyLate lets one choose."""
    from pylate import indexes

    name = f"plaid-{measured.size}-{bits}"
    ids, rows = zip(*passages(measured.folder, measured.size), strict=True)
    index = indexes.PLAID(str(work), name, override=True, nbits=bits)
    measured.build(
        lambda: index.add_documents(documents_ids=list(ids), documents_embeddings=list(rows)),
        work / name,
    )
    for cells, docs in ((1, 128), (2, 256), (4, 1_024), (8, 8_192), (32, 8_192)):
        index = indexes.PLAID(str(work), name, ncells=cells, ndocs=docs, nbits=bits)

        def search(q: Rows, index: indexes.PLAID = index) -> list[str]:
            return [hit["id"] for hit in index([q], k=TOP_K)[0]]

        settings = f"cells {cells}, documents {docs:,}"
        if cells == 8:
            _at_lengths(measured, f"PLAID, {bits} bits", search, settings=settings)
        else:
            measured.search(f"PLAID, {bits} bits", search, REAL_TOKENS, 50, settings=settings)


def lancedb(measured: Measured, work: Path) -> None:
    """LanceDB: a scan, and an IVF_PQ index of 32 sub-vectors, refined on the vectors themselves."""
    import lancedb as lance
    import pyarrow as pa

    ids, rows = zip(*passages(measured.folder, measured.size), strict=True)
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

    measured.search("LanceDB, scan", searching(), REAL_TOKENS, 5)
    partitions = max(64, int(2 ** np.floor(np.log2(np.sqrt(starts[-1])))))
    measured.build(
        lambda: table.create_index(
            "cosine", num_partitions=partitions, num_sub_vectors=32, vector_column_name="vector"
        ),
        folder,
    )
    for probes, refine in ((2, 5), (8, 5), (8, 20), (32, 20)):
        search = searching(probes, refine)
        settings = f"{probes} of {partitions} parts, refined {refine}-fold"
        if (probes, refine) == (8, 20):
            _at_lengths(measured, "LanceDB, IVF_PQ", search, settings=settings)
        else:
            measured.search("LanceDB, IVF_PQ", search, REAL_TOKENS, 20, settings=settings)


def voyager(measured: Measured, work: Path) -> None:
    """PyLate's Voyager index, for several numbers of tokens found for each query token."""
    from pylate import indexes, retrieve

    name = f"voyager-{measured.size}"
    ids, rows = zip(*passages(measured.folder, measured.size), strict=True)
    index = indexes.Voyager(str(work), name, override=True)
    measured.build(
        lambda: index.add_documents(documents_ids=list(ids), documents_embeddings=list(rows)),
        work / name,
    )
    retriever = retrieve.ColBERT(index=index)
    for neighbours in (10, 30, 100):

        def search(q: Rows, neighbours: int = neighbours) -> list[str]:
            found = retriever.retrieve([q], k=TOP_K, k_token=neighbours, device="cpu")
            return [hit["id"] for hit in found[0]]

        settings = f"{neighbours} neighbours a token"
        measured.search("Voyager", search, REAL_TOKENS, 10, settings=settings)


ENGINES: dict[str, Callable[[Measured, Path], None]] = {
    "plaid": plaid,
    "plaid8": lambda measured, work: plaid(measured, work, bits=8),
    "lancedb": lancedb,
    "voyager": voyager,
}


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    measure(ENGINES)
