"""Pictures of entities, at size: what a search of so many costs, by itself and with others.

python -m benchmarks.similar --out runs/similar            ten minutes, 6 GB of memory

Made vectors as wide as kbvqa-mini's, two pictures an entity; queries are pictures of the
collection with noise. CPU time a query of one at a time and of 64 at once, memory, the file, and
how long it opens, into similar.md. Nothing is approximated: the first is always the most similar.
"""

import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.commands.console import progress
from app.evaluation.tables import table
from benchmarks.growth import look
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.parts import compact

WIDTH = 1_024
TOGETHER = 64
ROUNDS = 5
_MADE_AT_ONCE = 50_000


def made(n: int) -> PictureCollection:
    """Return a collection of n made pictures of n / 2 entities."""
    rng = np.random.default_rng(0)
    rows = np.empty((n, WIDTH), dtype=np.int8)
    for start in range(0, n, _MADE_AT_ONCE):
        some = min(_MADE_AT_ONCE, n - start)
        rows[start : start + some] = compact(rng.standard_normal((some, WIDTH), dtype=np.float32))
    names = [(f"pictures/{i:08d}.jpg", f"entity:{i // 2:08d}") for i in range(n)]
    return PictureCollection("made", names, rows, Fusion())


def measure(n: int, folder: Path) -> tuple[str, ...]:
    """Return a row of the table: of a collection of n pictures, saved and opened again."""
    path = folder / "pictures.safetensors"
    made(n).save(path)
    before = look(os.getpid()).resident
    began = time.perf_counter()
    collection = PictureCollection.open(path)
    opened = time.perf_counter() - began
    rng = np.random.default_rng(1)
    asked = rng.integers(n, size=TOGETHER)
    queries = collection.vectors_IV[asked] + 30 * rng.standard_normal((TOGETHER, WIDTH))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    among = [{f"entity:{i:08d}" for i in rng.integers(n // 2, size=60)} for _ in asked]
    found = collection.search(queries, 3, among)
    first = [similar[0].entity for similar in found]
    assert first == [collection.names[i][1] for i in asked], "the most similar is not first"
    alone, together = [], []
    for turn in range(ROUNDS):
        cpu = time.process_time()
        collection.search(queries[turn : turn + 1], 3, among[turn : turn + 1])
        alone.append(time.process_time() - cpu)
        cpu = time.process_time()
        collection.search(queries, 3, among)
        together.append((time.process_time() - cpu) / TOGETHER)
    held = look(os.getpid()).resident - before
    row = (n, 1e3 * np.median(alone), 1e3 * np.median(together), path.stat().st_size / 1e6)
    path.unlink()
    return (*(f"{value:,.0f}" for value in row), f"{opened:.1f}", f"{held / 1e6:,.0f}")


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
        *("pictures", "CPU ms, one at a time", f"CPU ms, {TOGETHER} at once"),
        *("file, MB", "opened in, s", "memory, MB"),
    )
    text = "\n".join(table(titles, rows)) + "\n"
    (out / "similar.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    typer.run(main)
