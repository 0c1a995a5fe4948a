"""kbvqa feedback: what users of the page said of its answers."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.commands.console import directory, err, out, print_json
from app.feedback.export import examples, write_examples
from app.feedback.opinion import Opinion
from app.feedback.store import FeedbackStore
from app.settings import load_settings

app = typer.Typer(
    help="See, export, copy and delete what users said of answers.", no_args_is_help=True
)


@app.command("list")
def list_feedback(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List what users said of answers, the latest last.

    \b
    kbvqa feedback list
    """
    store = _store()
    opinions = store.read()
    if as_json:
        print_json([_as_json(opinion) for opinion in opinions], indent=2)
        return
    for opinion in opinions:
        mark = "[green]up[/]  " if opinion.verdict == "up" else "[red]down[/]"
        head = f"{opinion.time}  {opinion.id}{'  with its picture' if opinion.picture else ''}"
        out.print(f"{mark} [dim]{head}[/]", highlight=False, soft_wrap=True)
        said = {"asked": opinion.question, "answer": opinion.answer, "reason": opinion.reason}
        for name, text in (said | {"right answer": opinion.right_answer}).items():
            if text:
                out.print(f"     {name}: {escape(text)}", highlight=False, soft_wrap=True)
    out.print(f"{len(opinions):,} in {store.path}", highlight=False, soft_wrap=True)


@app.command("export")
def export_feedback(
    path: Annotated[Path, typer.Option("--out", help="Example file to write: my.jsonl.")],
    images: Annotated[
        Path | None,
        typer.Option(
            help="Directory for the pictures. Default: beside the file, my-pictures.",
            callback=directory,
        ),
    ] = None,
) -> None:
    """Write what users said as examples that `kbvqa evaluate run` reads.

    \b
    kbvqa feedback export --out my.jsonl
    kbvqa evaluate run my.jsonl --images my-pictures --out runs/mine

    An example needs a picture, which users allow to be kept one by one, and a right answer: one
    that they wrote, or that they said is right.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"--out: {path} is no place for a file")
    images = images or path.parent / f"{path.stem}-pictures"
    usable, left_out = examples(_store().read())
    if usable:
        write_examples(usable, path, images)
        said = f"{len(usable):,} examples in {path}, their pictures in {images}"
        out.print(said, highlight=False, soft_wrap=True)
    else:
        err.print(f"There is nothing to export, and {path} is not written.", soft_wrap=True)
    for reason, count in left_out.items():
        err.print(f"{count:,} left out: {reason}.", highlight=False, soft_wrap=True)


@app.command("copy")
def copy_feedback(
    path: Annotated[Path, typer.Argument(help="File to write; there must be none yet.")],
) -> None:
    """Write all that users said into a file of its own, also while the page is served: a backup.

    \b
    kbvqa feedback copy kept.sqlite3

    To restore it, stop the page, delete feedback.sqlite3 under KBVQA_HOME with the files beside it
    (-wal, -shm), and put the copy there by that name.
    """
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path} is no place for a file")
    store = _store()
    store.copy(path)
    out.print(f"{len(store.read()):,} opinions are in {path}", highlight=False, soft_wrap=True)


@app.command("delete")
def delete_feedback(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids that `feedback list` shows.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Delete everything.")] = False,
) -> None:
    """Delete what users said, with the pictures.

    \b
    kbvqa feedback delete 0123456789abcdef0123456789abcdef
    kbvqa feedback delete --all
    """
    if bool(ids) == every:
        raise typer.BadParameter("name ids, or --all")
    count = _store().delete(None if every else ids)
    out.print(f"{count:,} deleted", highlight=False)


def _store() -> FeedbackStore:
    return FeedbackStore(load_settings().feedback_path)


def _as_json(opinion: Opinion) -> dict[str, Any]:
    names = ("id", "time", "verdict", "question", "answer", "reason", "right_answer")
    plain = {name: getattr(opinion, name) for name in (*names, "checkpoint", "generator")}
    return plain | {"cited": list(opinion.cited), "picture": opinion.picture is not None}
