"""Memory of building an index directory, by the number of passages.

python -m benchmarks.search.index_memory 14500
python -m benchmarks.search.index_memory 1000000 --rows 20 30 --text 120 --location DIRECTORY

prints the most anonymous memory (what is not a mapped file), in bytes, while passages are written
and while the index is finished. Passages have 84 random rows on average, made when they are asked
for, titles of their own and a text of --text characters; torch is not loaded. What grows with the
corpus is then the index's, not the measurement's.

With --location the index is made there and kept, a build that was killed goes on, also to another
number of passages, and lines on the way tell memory, disk and CPU time so far.
"""

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.search.measured import disk, peak_anonymous
from corpus.types import Passage
from retriever.encoding.ahead import windows
from retriever.index.passage_index import Fingerprint, Learning, PassageIndex
from retriever.index.writing import Batch, write_corpus

DIM = 128
_BATCH = 50
_TOLD_EVERY = 50_000  # passages
_QUERIES, _QUERY_ROWS = 60, 56  # that an index learns from

app = typer.Typer(help=__doc__, rich_markup_mode=None)


class _Told:
    """Prints how far a build is, and what it takes."""

    def __init__(self, location: Path) -> None:
        self._location, self._last = location, -1

    def read(self, passages: int) -> None:
        """Tell of so many passages that are dealt with, every now and then."""
        if passages // _TOLD_EVERY != self._last:
            self._last = passages // _TOLD_EVERY
            self.say(f"{passages} passages")

    def say(self, what: str) -> None:
        """Tell what is being done."""
        memory = peak_anonymous()()
        seconds = round(time.process_time(), 1)
        told = {"what": what, "memory": memory, "disk": disk(self._location), "cpu": seconds}
        print(json.dumps(told), flush=True)


def measure(
    count: int, text: int, rows: tuple[int, int], location: Path, *, told: bool, learn: bool
) -> dict[str, Any]:
    """Return the anonymous bytes before, and at most while writing and while finishing."""
    before = peak_anonymous()
    result: dict[str, Any] = {"passages": count, "before": before()}
    made_from = Fingerprint("bench", "c", "bench", "d", passages=count)
    passages = (Passage(f"p{i}", f"A title of its own: {i}", "x" * text) for i in range(count))
    tell = _Told(location)

    def encode(wanted: Iterable[Passage]) -> Iterator[Batch]:
        return _encode(wanted, rows)

    with PassageIndex.update(location, made_from) as index:
        writing = peak_anonymous()
        report = write_corpus(index, passages, encode, tell.read if told else lambda read: None)
        result |= {"writing": writing(), "written": report.written, "held": index.count}
        finishing = peak_anonymous()
        learning = Learning([unit(n, _QUERY_ROWS) for n in range(_QUERIES)]) if learn else None
        index.finish(learning=learning, say=tell.say if told else lambda what: None)
        result["finishing"] = finishing()
    return result


def _encode(wanted: Iterable[Passage], rows: tuple[int, int]) -> Iterator[Batch]:
    for batch in windows(wanted, _BATCH):
        seed = int(batch[0].id[1:])
        lengths = np.random.default_rng(seed).integers(*rows, size=len(batch))
        ends = np.cumsum(lengths)[:-1]
        yield batch, np.split(unit(seed, int(lengths.sum())), ends)


def unit(seed: int, rows: int) -> Any:
    """Return random unit rows [rows, DIM]."""
    made = np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@app.command()
def main(
    passages: int,
    text: Annotated[int, typer.Option(help="Characters of a passage's text.")] = 560,
    rows: Annotated[
        tuple[int, int], typer.Option(help="Of a passage, from the first up to the second.")
    ] = (20, 150),
    location: Annotated[Path | None, typer.Option(help="Keep it there, and tell more.")] = None,
    learn: Annotated[bool, typer.Option(help="Learn the candidate stage, from 20,000 on.")] = False,
) -> None:
    """Measure one size, and print JSON."""
    with tempfile.TemporaryDirectory() as folder:
        where = location or Path(folder) / "index"
        told = location is not None
        print(json.dumps(measure(passages, text, rows, where, told=told, learn=learn)))


if __name__ == "__main__":
    app()
