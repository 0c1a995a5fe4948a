"""Pictures of entities, at size: what a search of so many costs, and what the graph misses.

python -m benchmarks.similar --out runs/similar            half an hour, 8 GB of memory and of disk

Made vectors: mixtures of three of the demo's drawings each with some noise, two pictures an entity;
queries are made likewise. Of those with a graph, the same queries with all pictures compared stand
beside it. CPU time a query of one at a time and of 64 at once; of the 60 entities that are asked
for, as the application does, the share of the ten most similar that is found; the time that the
graph takes; disk, how long it opens, and memory of a process that does nothing else: similar.md.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from app.commands.console import progress
from app.components import PICTURES
from app.evaluation.tables import table
from benchmarks.growth import look
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import DEPTH, Fusion
from retriever.pictures.neighbours import Neighbours, SimilarPicture
from retriever.pictures.parts import compact

TOGETHER, TOP_K = 64, 10
ROUNDS = 8
_MADE_AT_ONCE = 50_000
_NOISE = 0.3


def directions(n: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield made vectors, some at a time."""
    drawings_IV = PictureCollection.open(PICTURES).vectors_IV.astype(np.float32)
    drawings_IV /= np.linalg.norm(drawings_IV, axis=1, keepdims=True)
    width = drawings_IV.shape[1]
    rng = np.random.default_rng(seed)
    for start in range(0, n, _MADE_AT_ONCE):
        some = min(_MADE_AT_ONCE, n - start)
        chosen = rng.integers(len(drawings_IV), size=(some, 3))
        shares = rng.dirichlet(np.ones(3), some).astype(np.float32)
        rows = np.zeros((some, width), np.float32)
        for place in range(3):
            rows += shares[:, place, None] * drawings_IV[chosen[:, place]]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows += _NOISE / width**0.5 * rng.standard_normal(rows.shape, np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make(n: int, path: Path) -> float:
    """Write the collection of n made pictures of n / 2 entities; return the CPU seconds of it."""
    vectors = np.concatenate([compact(rows) for rows in directions(n, 0)])
    names = [(f"pictures/{i:08d}.jpg", f"entity:{i // 2:08d}") for i in range(n)]
    began = time.process_time()
    PictureCollection("made", names, vectors, Fusion()).save(path)
    return time.process_time() - began


def cost(search: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32]) -> float:
    """Return the CPU milliseconds of a query, asked by itself."""
    spent = []
    for query in queries:
        cpu = time.process_time()
        search(query[None])
        spent.append(time.process_time() - cpu)
    return 1e3 * float(np.median(spent))


def measure(n: int, folder: Path) -> tuple[str, ...]:
    """Return a row of the table: of a collection of n pictures, saved and opened again."""
    path = folder / f"pictures-{n}.safetensors"
    if not path.exists():
        with ProcessPoolExecutor(1) as other:  # what it takes is not of the memory that is measured
            written = other.submit(make, n, path).result()
        (folder / f"pictures-{n}.seconds").write_text(str(written))
    written = float((folder / f"pictures-{n}.seconds").read_text())
    [queries] = directions(TOGETHER, 1)
    before = look(os.getpid()).resident
    began = time.perf_counter()
    collection = PictureCollection.open(path)
    opened = time.perf_counter() - began
    rng = np.random.default_rng(1)
    among = [{f"entity:{i:08d}" for i in rng.integers(n // 2, size=60)} for _ in queries]

    def search(some: NDArray[np.float32]) -> list[list[SimilarPicture]]:
        return collection.search(some, DEPTH, among[: len(some)])

    alone = cost(search, queries[:ROUNDS])
    cpu = time.process_time()
    found = search(queries)
    together = 1e3 * (time.process_time() - cpu) / TOGETHER
    held = look(os.getpid()).resident - before
    every, recall = alone, 1.0
    if collection.graph is not None:
        whole = Neighbours(collection.names, collection.vectors_IV, {}, None)
        best = whole.search(queries, DEPTH, among)
        every = cost(lambda some: whole.search(some, DEPTH, among[:1]), queries[:ROUNDS])
        shares = [
            len(_first(found_) & _first(best_)) / TOP_K
            for found_, best_ in zip(found, best, strict=True)
        ]
        recall = float(np.mean(shares))
    disk = sum(f.stat().st_blocks * 512 for f in folder.rglob("*") if f"-{n}." in str(f))
    return (
        *(f"{n:,}", "-" if collection.graph is None else f"{written:,.0f}", f"{disk / 1e6:,.0f}"),
        *(f"{alone:,.1f}", f"{together:,.1f}", f"{every:,.0f}", f"{recall:.3f}"),
        *(f"{opened:.1f}", f"{held / 1e6:,.0f}"),
    )


def _first(similar: Sequence[SimilarPicture]) -> set[str]:
    return {picture.entity for picture in similar[:TOP_K]}


def main(
    out: Annotated[Path, typer.Option(help="Directory of the result.")],
    pictures: Annotated[
        list[int], typer.Option(min=2, help="How many pictures; may be given several times.")
    ] = [2_400, 100_000, 1_000_000],  # noqa: B006 - typer copies it
) -> None:
    """Measure collections of made pictures, and write the table."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with progress() as (say, advance):
        for done, n in enumerate(pictures):
            say(f"{n:,} pictures")
            advance(done, len(pictures))
            rows.append(measure(n, out))
    titles = (
        *("pictures", "graph, CPU s", "disk, MB"),
        *("CPU ms, one at a time", f"CPU ms, {TOGETHER} at once", "CPU ms, all compared"),
        *(f"recall@{TOP_K}", "opened in, s", "memory, MB"),
    )
    text = "\n".join(table(titles, rows)) + "\n"
    (out / "similar.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    typer.run(main)
