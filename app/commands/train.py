"""kbvqa train: train the small model."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from app.console import out, progress

app = typer.Typer(help="Train the small model.", no_args_is_help=True)


@app.command("mini")
def train_mini(
    output: Annotated[
        Path, typer.Option("--out", help="Where the trained files are written.")
    ] = Path("runs/kbvqa-mini"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train kbvqa-mini on the demo data, on a CPU.

    \b
    kbvqa train mini --out runs/kbvqa-mini

    Views and passages are encoded once and kept in the output directory. The result
    replaces the model in the repository by copying it to retriever/kbvqa_mini.
    """
    from retriever.training.mini import Recipe, train

    recipe = Recipe(seed=seed, threads=threads)
    logging.getLogger("retriever.training").setLevel(logging.INFO)
    with progress() as (say, advance):
        train(recipe, output, say, advance)
    out.print(f"Trained weights and log in {output}", soft_wrap=True)
