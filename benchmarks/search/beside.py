"""This index as `kbvqa index build` makes it today, and the truth: what peers are held against.

python -m benchmarks.search.beside beside FOLDER SIZE WORK

prints a JSON object. An index of `benchmarks.search.learned` that lies in WORK is taken as it is.
"""

from pathlib import Path

from benchmarks.search.data import queries
from benchmarks.search.engines import CANDIDATES, DIM, built_index, exact, two_stage, usual
from benchmarks.search.learned import best_passages
from benchmarks.search.measured import REAL_TOKENS, SKIPPED, Measured, disk, few, measure
from retriever.engines.record import DEFAULT_STORAGE
from retriever.index.passage_index import Fingerprint, PassageIndex


def beside(measured: Measured, work: Path) -> None:
    """Search with what is the default and with other numbers of candidates; scan everything."""
    size, folder = measured.size, measured.folder
    with _index(measured, work) as index:
        for candidates in sorted({*CANDIDATES, index.candidates}, reverse=True):
            measured.search(
                "here",
                two_stage(index, candidates),
                REAL_TOKENS,
                usual(size),
                candidates=candidates,
                default=candidates == index.candidates,
            )
        measured.search("here, exact", exact(index), REAL_TOKENS, few(size))
    asked = queries(folder, usual(size), REAL_TOKENS, skip=SKIPPED)
    measured.result["truth"] = best_passages(folder, size, asked)


def _index(measured: Measured, work: Path) -> PassageIndex:
    location = work / f"learned-{measured.size}"
    made_from = Fingerprint("bench", "c", "bench", "d", passages=measured.size, dim=DIM)
    if location.exists() and PassageIndex.finished(location, made_from):
        measured.result["disk"] = disk(location, without="wal")
        return PassageIndex.open(location)
    return built_index(measured, work, DEFAULT_STORAGE)


if __name__ == "__main__":
    measure({"beside": beside})
