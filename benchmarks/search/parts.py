"""The exact scan from disk beside the scan in memory, and in parts as several devices have them.

python -m benchmarks.search.parts FOLDER SIZE WORK --share 0.1 --queries 32

FOLDER is one that `benchmarks.search prepare` wrote, WORK holds the index of that size that
`benchmarks.search.users` or `.learned` built. All queries are asked at once. Prints for each way
the time and the CPU time of a query, the median of some turns, the most that a process of its own
had in memory, files that it maps included, and a hash of what was found.
"""

import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.search.data import queries
from benchmarks.search.measured import REAL_TOKENS, TOP_K
from retriever.index.exact import ExactSearcher
from retriever.index.ordered import Precision, row_bytes
from retriever.index.parts import ExactParts
from retriever.index.passage_index import PassageIndex

_TURNS = 3
WAYS = ("in memory", "from disk", "two parts")

app = typer.Typer(help=__doc__, rich_markup_mode=None)


def loaded(
    way: str, index: PassageIndex, precision: Precision, share: float
) -> ExactSearcher | ExactParts:
    """Return a searcher, for which a share of the rows may be in memory where they are on disk."""
    if way == "in memory":
        return ExactSearcher.load(index, precision=precision)
    if way == "two parts":
        return ExactParts.load(index, ["cpu", "cpu"], precision)
    rows = sum(count for _, count in index.row_counts())
    resident = int(share * rows * row_bytes(index.fingerprint.dim, precision))
    return ExactParts.load(index, precision=precision, resident_bytes=resident)


def most_memory_mb() -> float:
    """Return the most that this process had in memory, files that it maps included."""
    [most] = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(most.split()[1]) / 1024


@app.command()
def main(
    folder: Path,
    size: int,
    work: Path,
    share: Annotated[float, typer.Option(help="Of the rows, in memory at a time.")] = 0.1,
    asked: Annotated[int, typer.Option("--queries")] = 32,
    precision: list[str] = ["float32", "int8"],  # noqa: B006
    way: Annotated[str | None, typer.Option(help="Only this, in this process.")] = None,
) -> None:
    """Measure, and print JSON for each way."""
    if way is None:
        for each in precision:
            for name in WAYS:
                arguments = [*sys.argv[1:4], f"--share={share}", f"--queries={asked}"]
                arguments += [f"--precision={each}", f"--way={name}"]
                subprocess.run([sys.executable, "-m", "benchmarks.search.parts", *arguments])
        return
    torch.set_num_threads(1)
    [numbers] = precision
    given = queries(folder, asked, REAL_TOKENS)
    location = next(at for at in (work / f"users-{size}", work / f"learned-{size}") if at.exists())
    with PassageIndex.open(location) as index:
        searcher = loaded(way, index, numbers, share)  # type: ignore[arg-type]
    loading_mb = most_memory_mb()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most
    turns = []
    for _ in range(_TURNS):
        began, cpu = time.monotonic(), time.process_time()
        found = searcher.search_many(given, TOP_K)
        turns.append((time.process_time() - cpu, time.monotonic() - began))
    cpu_s, seconds = (statistics.median(column) for column in zip(*turns, strict=True))
    told = {
        "way": way,
        "precision": numbers,
        "cpu_ms_a_query": 1000 * cpu_s / asked,
        "ms_a_query": 1000 * seconds / asked,
        "most_mb_loading": loading_mb,
        "most_mb_searching": most_memory_mb(),
    }
    names = ",".join(hit.passage.id for hits in found for hit in hits)
    hits = hashlib.sha256(names.encode()).hexdigest()[:8]
    print(
        json.dumps(
            {k: round(v, 1) if isinstance(v, float) else v for k, v in told.items()}
            | {"hits": hits}
        )
    )


if __name__ == "__main__":
    app()
