"""kbvqa data: what of the paper's datasets is on disk, and getting the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from app.commands.console import out, print_json, progress
from app.settings import load_settings

if TYPE_CHECKING:
    from corpus.benchmarks.datasets import Dataset

app = typer.Typer(help="See and get the paper's datasets.", no_args_is_help=True)


@app.command("status")
def data_status(
    names: Annotated[
        list[str] | None, typer.Argument(help="Datasets to tell all about. Default: all, briefly.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show which datasets are there, what is missing, and where to get it.

    Of a benchmark that is named, the pictures that it asks for are counted, and the next command
    is said.

    \b
    kbvqa data status
    kbvqa data status evqa evqa-kb

    Datasets lie in KBVQA_DATA, a folder each.
    """
    from corpus.benchmarks.datasets import (
        ALL,
        dataset,
        instructions,
        missing_files,
        size_text,
        whole,
    )

    root = load_settings().data_directory
    chosen = [dataset(name) for name in names] if names else list(ALL.values())
    missing = {wanted.name: missing_files(wanted, root) for wanted in chosen}
    if as_json:
        rows = {
            wanted.name: {
                "present": not missing[wanted.name],
                "whole": whole(wanted, root),
                "missing": missing[wanted.name],
                "folder": str(root / wanted.folder),
                "source": wanted.source,
                "licence": wanted.licence,
                "gigabytes": wanted.gigabytes,
                "on_hub": wanted.hub is not None,
            }
            for wanted in chosen
        }
        print_json(rows, indent=2)
        return
    if names:
        for wanted in chosen:
            out.print(f"[bold]{wanted.name}[/]  {escape(wanted.what)}", highlight=False)
            if missing[wanted.name]:
                text = instructions(wanted, root)
                out.print(escape(text), highlight=False, soft_wrap=True)
            else:
                out.print(f"  is in {root / wanted.folder}", highlight=False, soft_wrap=True)
            for line in _next_steps(wanted, root):
                out.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        return
    for wanted in chosen:
        gone = missing[wanted.name]
        state = "[green]present[/]" if not gone else "[red]missing[/]"
        there = sum(need not in gone for need in wanted.needs)
        if wanted.pictures and not gone and not wanted.counts:
            state = "[yellow]pictures[/]"
        if gone and there:
            state = f"[yellow]{there} of {len(wanted.needs)} files[/]"
            if there == len(wanted.needs):
                state = "[yellow]in part[/]"
        where = f"`kbvqa data get {wanted.name}`, or " if wanted.hub else ""
        out.print(f"{state}  [bold]{wanted.name}[/]  {escape(wanted.what)}", highlight=False)
        out.print(
            f"         [dim]size {size_text(wanted)}; licence {escape(wanted.licence)}[/]\n"
            f"         [dim]{escape(where + wanted.source)}[/]",
            highlight=False,
            soft_wrap=True,
        )
    out.print(
        f"They belong in {root}; `kbvqa data status NAME` says which files, and of a benchmark how "
        "many of its pictures are there.",
        soft_wrap=True,
    )


def _next_steps(wanted: "Dataset", root: Path) -> Iterator[str]:
    """Yield which pictures a benchmark asks for, and what to run next; nothing for other data."""
    from app.evaluation.benchmarks.catalog import KNOWN, open_benchmark
    from corpus.benchmarks.datasets import missing_files, pictures_in
    from corpus.pictures.store import ImageFolder

    if (known := KNOWN.get(wanted.name)) is None:
        return
    pictures = pictures_in(known.images)
    named = "not of a dataset that is listed"
    if pictures is not None:
        get = "get" if pictures.hub else "status"
        named = f"{pictures.name} (`kbvqa data {get} {pictures.name}`)"
    if missing_files(wanted, root):
        yield f"its pictures: {named}"
        if wanted.hub:
            yield f"next: `kbvqa data get {wanted.name}`"
        return
    benchmark, folder = open_benchmark(wanted.name, "", root)
    names = {example.image for example in benchmark.examples if example.image}
    there = sum(path is not None for path in ImageFolder(folder).find_all(names).values())
    yield f"{benchmark.name}: {there:,} of its {len(names):,} pictures are in {folder}"
    if there < len(names):
        yield f"next: its pictures: {named}"
        return
    index = f"kbvqa index build CORPUS --index {wanted.name}"
    if known.folder == "m2kr":
        passages = next(need for need in wanted.needs if "_passages" in need).partition("/")[0]
        split = benchmark.name.rpartition("/")[2]
        index = (
            f"kbvqa index build {root / 'm2kr' / passages} --split {split} --index {wanted.name}"
        )
    yield f"next: `{index}`"
    yield f"then: `kbvqa evaluate run {wanted.name} --index {wanted.name} --out runs/{wanted.name}`"


@app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A dataset that `kbvqa data status` lists.")],
) -> None:
    """Fetch a dataset from the Hugging Face hub, or say exactly what to put where.

    \b
    kbvqa data get m2kr-okvqa

    An interrupted download goes on where it stopped. Free disk space is checked first, the
    files' hashes afterwards.
    """
    from app.machine.download import check_stated_hashes, fetch
    from corpus.benchmarks.datasets import dataset, missing_files

    wanted = dataset(name)
    root = load_settings().data_directory
    with progress() as (say, advance):
        if wanted.hub is None and not missing_files(wanted, root):
            say("Checking hashes")
            checked = check_stated_hashes(wanted, root, advance)
            said = f"; {len(checked)} with the stated SHA-256" if checked else ""
        else:
            fetch(wanted, root, say, advance)
            said = ""
    out.print(f"{name} is in {root / wanted.folder}{said}", soft_wrap=True)
