"""Memory of building an index directory, by the number of passages.

python -m benchmarks.index_memory 1000 5000 14500 30000

prints a table, each size in a process of its own: the most anonymous memory (what is not a mapped
file) while passages are written, and while the index is finished. Passages have 84 random rows on
average, made when they are asked for, titles of their own and a text of --text characters; torch
is not loaded. What grows with the corpus is then the index's, not the measurement's.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.search_measured import peak_anonymous
from corpus.types import Passage
from retriever.index import Fingerprint, PassageIndex
from retriever.indexing import Batch, windows, write_corpus

DIM = 128
_FEWEST, _MOST = 20, 150  # rows of a passage
_BATCH = 50

app = typer.Typer(help=__doc__, rich_markup_mode=None)


def measure(count: int, text: int, location: Path) -> dict[str, int]:
    """Return the anonymous bytes before, and at most while writing and while finishing."""
    before = peak_anonymous()
    result = {"passages": count, "before": before()}
    made_from = Fingerprint("bench", "c", "bench", "d", passages=count)
    passages = (Passage(f"p{i}", f"A title of its own: {i}", "x" * text) for i in range(count))
    with PassageIndex.create(location, made_from) as index:
        writing = peak_anonymous()
        write_corpus(index, passages, _encode)
        result["writing"] = writing()
        finishing = peak_anonymous()
        index.finish()
        result["finishing"] = finishing()
    return result


def _encode(wanted: Iterable[Passage]) -> Iterator[Batch]:
    for batch in windows(wanted, _BATCH):
        rng = np.random.default_rng(int(batch[0].id[1:]))
        rows = [
            rng.standard_normal((rng.integers(_FEWEST, _MOST), DIM), dtype=np.float32)
            for _ in batch
        ]
        yield batch, [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]


@app.command()
def main(
    sizes: list[int],
    text: Annotated[int, typer.Option(help="Characters of a passage's text.")] = 560,
    as_json: Annotated[bool, typer.Option("--json", help="Measure one size; print JSON.")] = False,
) -> None:
    """Measure each size, and print what a passage adds to the size before."""
    if as_json:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(sizes[0], text, Path(folder) / "index")))
        return
    print("| passages | before | writing | finishing | bytes a passage more |")
    print("|---:|---:|---:|---:|---:|")
    earlier: dict[str, int] | None = None
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.index_memory", str(size)]
        done = subprocess.run(
            [*command, "--text", str(text), "--json"], stdout=subprocess.PIPE, check=True
        )
        found: dict[str, int] = json.loads(done.stdout)
        cells = [f"{found[key] / 1e6:.0f} MB" for key in ("before", "writing", "finishing")]
        slope = ""
        if earlier is not None:
            peaks = [max(run["writing"], run["finishing"]) for run in (earlier, found)]
            slope = f"{(peaks[1] - peaks[0]) / (size - earlier['passages']):,.0f}"
        print(f"| {size:,} | {' | '.join(cells)} | {slope} |", flush=True)
        earlier = found


if __name__ == "__main__":
    app()
