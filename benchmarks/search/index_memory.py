"""Memory of building an index directory, by the number of passages.

python -m benchmarks.search.index_memory 14500

prints the most anonymous memory (what is not a mapped file), in bytes, while passages are written
and while the index is finished. Passages have 84 random rows on average, made when they are asked
for, titles of their own and a text of --text characters; torch is not loaded. What grows with the
corpus is then the index's, not the measurement's.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.search.measured import peak_anonymous
from corpus.types import Passage
from retriever.encoding.ahead import windows
from retriever.index.passage_index import Fingerprint, PassageIndex
from retriever.index.writing import Batch, write_corpus

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
    passages: int,
    text: Annotated[int, typer.Option(help="Characters of a passage's text.")] = 560,
) -> None:
    """Measure one size, and print JSON."""
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(passages, text, Path(folder) / "index")))


if __name__ == "__main__":
    app()
