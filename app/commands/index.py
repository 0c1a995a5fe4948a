"""kbvqa index: build an index of passages."""

from pathlib import Path
from typing import Annotated

import typer

from app.console import CheckpointOption, IndexOption, out, progress, settings_with

app = typer.Typer(help="Build an index of passages.", no_args_is_help=True)


@app.command("build")
def index_build(
    passages: Annotated[
        Path, typer.Argument(help="A .jsonl or .jsonl.gz file: one {id, title, text} a line.")
    ],
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Index a passages file. Interrupted, the same command goes on where it stopped.

    \b
    kbvqa index build passages.jsonl --index my-index
    """
    settings = settings_with(index, checkpoint)
    from app.components import build_index, open_checkpoint

    with progress() as (say, advance):
        say("Loading the checkpoint")
        loaded = open_checkpoint(settings)
        say(f"Indexing {passages.name}")
        made = build_index(passages, settings.index_location, loaded, advance)
    out.print(
        f"{made.passages:,} passages in {settings.index_location}, made with {loaded.id}",
        soft_wrap=True,
    )
