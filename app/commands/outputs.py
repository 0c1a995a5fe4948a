"""Files that a command writes: never one that it reads, and one that is there is named."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer
from rich.markup import escape

from app.commands.console import err

_PICTURES = "png|jpe?g|webp|gif|bmp|tiff?|avif"
# The options of all commands that name a file to write. A directory after --out has rules of its
# own: see `app.evaluation.files.resumable` and the training loop.
_WRITTEN = ("--out", "--why", "--save", "--report", "--picture")


def check_outputs(arguments: Sequence[str]) -> None:
    """Check what a command line writes, before anything is read.

    An existing file is replaced, as elsewhere in the product, and this says so in advance.

    Args:
        arguments: of the whole command line, without the program's name.

    Raises:
        typer.BadParameter: a file to write is one that another argument names, be it by a link or
            another spelling.
    """
    if "--help" in arguments:
        return
    values = list(_values(arguments))
    for at, (option, value) in enumerate(values):
        if option in _WRITTEN and _is_file(value):
            others = (other for number, (_, other) in enumerate(values) if number != at)
            refuse_input(option, Path(value), others)
            said = f"{value} is there already and will be replaced."
            err.print(f"[yellow]{escape(said)}[/]", highlight=False, soft_wrap=True)


def written(arguments: Sequence[str]) -> list[str]:
    """Return the files and directories to write that a command line names."""
    return [value for option, value in _values(arguments) if option in _WRITTEN]


def require_folder(option: str, written: Path) -> None:
    """Raise BadParameter if the folder of a file to write is not there."""
    if not written.absolute().parent.is_dir():
        raise typer.BadParameter(f"{option}: there is no folder {written.parent}: make it first")


def refuse_input(option: str, written: Path, read: Iterable[str | Path]) -> None:
    """Raise BadParameter if a file to write is one of those that are read."""
    for path in read:
        if _is_file(path) and _is_file(written) and written.samefile(path):
            raise typer.BadParameter(
                f"{option}: {written} is read by this command too, and would be lost: name "
                "another file"
            )


def is_picture_name(text: str) -> bool:
    """Return whether an argument is a file that is there, or has the name of a picture.

    >>> [is_picture_name(text) for text in ("cat.JPG", "What is in cat.jpg", "Kenya?")]
    [True, False, False]
    """
    return _is_file(text) or re.fullmatch(rf"\S+\.({_PICTURES})", text, re.IGNORECASE) is not None


def _values(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each value, with the option before it; "" where there is none."""
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("--"):
            option = "" if equals else name
            if equals:
                yield name, value
        else:
            yield option, argument
            option = ""


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a question, or a path that is none
        return False
