"""Stage 1 of PreFLMR's training with and without what frozen towers said kept on disk.

python -m benchmarks.train run --out runs/train-speed         about five minutes on one core
python -m benchmarks.page runs/train-speed/table.md docs/measured/training.md --title Training \\
    --by "python -m benchmarks.train run"

A model with random weights of PreFLMR_ViT-B's sizes, pictures and passages of the demo, the whole
loop: towers, loss, gradients, optimizer. Times are CPU-seconds of the process on one thread; each
way has a process of its own, so that its memory is its own.
"""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.encode import vit_b
from corpus.demo.data import demo_dir, demo_images, demo_passages_path
from corpus.files.passages import read_passages
from retriever.checkpoint.loading import Checkpoint
from retriever.inputs.images import ImageProcessor
from retriever.metrics import mean_and_stderr
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.examples import TrainingExample
from retriever.training.recipes import mapping
from retriever.training.train import train

app = typer.Typer(help=__doc__, rich_markup_mode=None)

BATCH, STEPS_AN_EPOCH = 8, 4
EPOCHS = {"plain": 1, "kept": 3}
PASSAGES = 64  # so few that all have been seen after the first epochs, as in a long training
WAYS = {"plain": "every tower in every step", "first": "kept, first epoch", "kept": "kept, third"}


def demo_set() -> TrainingSet:
    """Return questions about pictures of the demo; whether they are answered does not matter."""
    passages = {p.id: p for p in islice(read_passages(demo_passages_path()), PASSAGES)}
    ids, images = list(passages), demo_images()[::64]
    examples = [
        TrainingExample(str(i), "What is this?", "", demo_dir() / image.image, (ids[i],))
        for i, image in enumerate(images[: BATCH * STEPS_AN_EPOCH])
    ]
    return TrainingSet("demo", examples, passages)


@app.command(hidden=True)
def one(way: str, out: Path) -> None:
    """Run one way in this process, and print its CPU-seconds by step and its memory as JSON."""
    torch.set_num_threads(1)
    recipe = replace(mapping(), batch=BATCH, steps=STEPS_AN_EPOCH * EPOCHS[way])
    checkpoint = Checkpoint("random", "random", vit_b(), ImageProcessor())
    times: list[float] = []
    memory: list[int] = []

    def advance(done: int, total: int) -> None:
        times.append(time.process_time())
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    train(checkpoint, [demo_set()], recipe, out, keep_features=way == "kept", advance=advance)
    seconds = [after - before for before, after in pairwise(times)]
    used = memory[recipe.steps] // 1024
    print(json.dumps({"seconds": seconds[: recipe.steps], "megabytes": used}))


@app.command()
def run(out: Annotated[Path, typer.Option("--out", help="Directory of the results.")]) -> None:
    """Measure both ways, and write table.md."""
    found = {}
    for way in EPOCHS:
        work = out / f"work-{way}"
        shutil.rmtree(work, ignore_errors=True)
        command = [sys.executable, "-m", "benchmarks.train", "one", way, str(work)]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        found[way] = json.loads(made.stdout.splitlines()[-1])
        shutil.rmtree(work)
    kept = found["kept"]
    rows = {
        "plain": (found["plain"]["seconds"], found["plain"]["megabytes"]),
        "first": (kept["seconds"][:STEPS_AN_EPOCH], kept["megabytes"]),
        "kept": (kept["seconds"][-STEPS_AN_EPOCH:], kept["megabytes"]),
    }
    (out / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


def table(rows: dict[str, tuple[list[float], int]]) -> str:
    """Return the figures as Markdown, of CPU-seconds by step and megabytes by way."""
    plain = statistics.mean(rows["plain"][0])
    lines = ["| towers | examples a CPU-second | times | peak memory |", "|---|---|---|---|"]
    for way, (seconds, megabytes) in rows.items():
        rate, error = mean_and_stderr([BATCH / second for second in seconds])
        lines.append(
            f"| {WAYS[way]} | {rate:.2f} ± {error:.2f} | {plain / statistics.mean(seconds):.1f} | "
            f"{megabytes / 1024:.1f} GB |"
        )
    return "\n".join(lines) + (
        f"\n\nMean and standard error over {STEPS_AN_EPOCH} steps of {BATCH} questions with a "
        f"picture and {2 * BATCH} passages, float32, one thread. Memory is that of the process, "
        "the model's 1.3 GB included.\n"
    )


if __name__ == "__main__":
    app()
