"""The index beside its peers, on the same vectors: recall, time, size, memory.

python -m benchmarks.search prepare PASSAGES.jsonl.gz --vectors VECTORS   encode once (minutes)
python -m benchmarks.search run --vectors VECTORS --out OUT [--peer-python PATH]
python -m benchmarks.search run ... --size SIZE --engine beside --engine PEER ...   only these
python -m benchmarks.search report --out OUT

`run` takes one engine and size after another, each in a process of its own, and goes on where it
stopped; `report` writes tables.md, recall.png and cost.png. The peers need an environment of their
own, which `make measure-index` makes. Plots need `pip install -e '.[bench]'`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.search.data import SHARD, real_count, shuffled

if TYPE_CHECKING:
    from retriever.checkpoint.loading import Checkpoint

app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

SIZES = (1_000, 5_000)
SYNTHETIC = 100_000
PEERS = ("fast_plaid", "warp", "tachiom", "muvera", "maxsim_cpu", "lancedb", "voyager")
BUILDING = (1_000, 5_000, 14_500, 30_000)  # passages of random rows
STORAGES = ("float32", "turbo4", "scalar", "binary")
_ROOT = Path(__file__).parents[2]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")

Run = dict[str, Any]


@app.command()
def prepare(
    passages: Path, vectors: Annotated[Path, typer.Option()], checkpoint: str = "kbvqa-mini"
) -> None:
    """Encode passages, and the demo benchmark's queries about things, going on where it stopped."""
    from app.components import open_checkpoint
    from app.settings import load_settings
    from benchmarks.search.learned import FITTED
    from benchmarks.search.redundancy import QUERIES, rows_of_parts
    from corpus.benchmarks.demo import demo_examples
    from corpus.demo.data import demo_dir
    from corpus.files.passages import read_passages
    from corpus.pictures.images import load_image
    from corpus.types import Query
    from retriever.encoding.ahead import windows
    from retriever.encoding.encoder import Encoder

    vectors.mkdir(parents=True, exist_ok=True)
    loaded = open_checkpoint(load_settings().model_copy(update={"checkpoint": checkpoint}))
    encoder = Encoder(loaded)
    for number, window in enumerate(windows(read_passages(passages), SHARD)):
        path = vectors / f"passages-{number * SHARD:06d}.npz"
        if path.exists():
            continue
        ids, rows = [], []
        for batch, embeddings in encoder.encode_corpus(window):
            ids += [passage.id for passage in batch]
            rows += [np.asarray(e, np.float16) for e in embeddings]
        _save(path, rows, ids=np.array(ids))
        typer.echo(f"{path.name}: {len(ids)} passages", err=True)

    def about_things(split: str) -> list[Query]:
        kinds = [demo_examples(kind, per_picture=1, split=split) for kind in ("flag", "emoji")]
        return [Query(e.question, load_image(demo_dir() / e.image)) for kind in kinds for e in kind]

    def rows_of(queries: list[Query]) -> list[Any]:
        return [encoder.encode_queries([query])[0].rows_QD for query in queries]

    asked = about_things("val")
    if not (vectors / "queries.npz").exists():
        _save(vectors / "queries.npz", rows_of(asked))
    if not (vectors / "fit.npz").exists():  # pictures by other vendors
        given = about_things("train")
        _save(vectors / "fit.npz", rows_of([given[i] for i in shuffled(len(given))[:FITTED]]))
    chosen = [asked[i] for i in shuffled(len(asked))[:QUERIES]]
    _save(vectors / "views.npz", [rows_of_parts(encoder, query) for query in chosen])
    word_pieces(passages, vectors, loaded)


def word_pieces(passages: Path, vectors: Path, checkpoint: "Checkpoint") -> None:
    """Write which word piece each row of the passages is of."""
    from corpus.files.passages import read_passages
    from retriever.encoding.ahead import windows

    tokenizer = checkpoint.passage_tokenizer
    left_out = {tokenizer.pad_id, *checkpoint.model.punctuation_ids}
    for number, window in enumerate(windows(read_passages(passages), SHARD)):
        pieces = tokenizer.encode([passage.text for passage in window])
        kept = {
            passage.id: np.array([id_ for id_ in ids if id_ not in left_out], np.uint32)
            for passage, ids in zip(window, pieces, strict=True)
        }
        ids = np.load(vectors / f"passages-{number * SHARD:06d}.npz")["ids"]
        _save(vectors / f"tokens-{number * SHARD:06d}.npz", [kept[id_] for id_ in ids])


@app.command()
def run(
    vectors: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    peer_python: Annotated[
        Path | None, typer.Option(help="Of `make measure-index`'s peers.")
    ] = None,
    minutes: Annotated[int, typer.Option(help="How long one engine may take at one size.")] = 60,
    engine: Annotated[list[str], typer.Option(help="Only these, at each --size.")] = [],  # noqa: B006
    size: Annotated[list[int], typer.Option(help="Of an --engine.")] = [],  # noqa: B006
) -> None:
    """Measure what has not been measured yet, each on one core."""
    results, work = out / "results", out / "work"
    results.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    planned = [(name, count) for count in size for name in engine] or _plan(real_count(vectors))
    for name, count in planned:
        path = results / f"{name}-{count}.json"
        if path.exists() or (name in PEERS and peer_python is None):
            continue
        typer.echo(f"{name}, {count:,} passages", err=True)
        python = str(peer_python) if name in PEERS else sys.executable
        where = [str(vectors.resolve()), str(work.resolve())]
        try:
            done = subprocess.run(
                [python, "-m", *_module(name, count, *where)],
                cwd=_ROOT,
                env=os.environ | dict.fromkeys(_THREADS, "1"),
                stdout=subprocess.PIPE,
                text=True,
                timeout=60 * minutes,
            )
        except subprocess.TimeoutExpired:
            failed = {"size": count, "searches": [], "failed": f"not done in {minutes} minutes"}
            path.write_text(json.dumps(failed) + "\n")
            continue
        if done.returncode:
            typer.echo(f"{name} failed; the same command tries again", err=True)
            continue
        path.write_text(done.stdout.strip().splitlines()[-1] + "\n")


def _plan(real: int) -> Iterator[tuple[str, int]]:
    """Yield what is measured, what matters most first."""
    for size in (*SIZES, real):
        yield from (("kbvqa", size), ("memory", size))
    yield from ((engine, real) for engine in (*STORAGES, "memory_int8", "redundancy"))
    yield from ((engine, SYNTHETIC) for engine in ("kbvqa", "memory"))
    yield from (("building", size) for size in BUILDING)
    yield from ((engine, real) for engine in ("local", *PEERS))
    yield from (("memory_int8", SYNTHETIC), ("muvera", SYNTHETIC), ("tachiom", SYNTHETIC))


def _module(engine: str, size: int, vectors: str, work: str) -> list[str]:
    """Return the module that measures an engine, and its arguments."""
    if engine == "building":
        return ["benchmarks.search.index_memory", str(size)]
    if engine == "redundancy":
        return ["benchmarks.search.redundancy", vectors, work]
    module = "peers" if engine in PEERS else "beside" if engine == "beside" else "engines"
    return [f"benchmarks.search.{module}", engine, vectors, str(size), work]


@app.command()
def report(out: Annotated[Path, typer.Option()]) -> None:
    """Write the tables and the plots of what has been measured."""
    from benchmarks.search.plots import plot_cost, plot_recall
    from benchmarks.search.report import plotted, tables

    runs = {path.stem: json.loads(path.read_text()) for path in (out / "results").glob("*.json")}
    (out / "tables.md").write_text(tables(runs))
    rows = list(plotted(runs))
    plot_recall(rows, out / "recall.png")
    plot_cost(rows, out / "cost.png")
    typer.echo(tables(runs))


def _save(path: Path, rows: list[Any], **more: Any) -> None:
    """Write rows and lengths; the file gets its name when it is complete."""
    temporary = path.with_suffix(".tmp.npz")
    lengths = np.array([len(r) for r in rows])
    np.savez(temporary, rows=np.concatenate(rows), lengths=lengths, **more)
    temporary.replace(path)


if __name__ == "__main__":
    app()
