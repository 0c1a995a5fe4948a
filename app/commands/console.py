"""What commands share: two consoles, progress, and options that mean the same everywhere.

Titles, answers, names of files and replies of servers come from outside. What they hold reaches a
terminal as text alone: no escape sequence, and whatever its encoding is.
"""

import inspect
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Protocol, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from app.asking.questions import CITED_TOO
from app.machine.directories import file_in_the_way
from app.machine.logs import open_log, printable, use_logs
from app.settings import Settings, Strategy, load_settings
from corpus.progress import Say


class _Console(Console):
    """A console that shows text from outside as text: neither escapes nor names of emoji act."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


out = _Console()
err = _Console(stderr=True)


def open_streams() -> None:
    """Let stdout, stderr and the log show any text, in whatever encoding the terminal has.

    What the encoding lacks is replaced by its escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    open_log()


def print_json(value: object, *, indent: int | None = None) -> None:
    """Print a value as JSON that every encoding and terminal leaves as it is."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=not unicode)
    print(re.sub(r"[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text))


IndexOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        help="Index: a directory, or http://host:6333/NAME. Default: KBVQA_INDEX, else the demo's.",
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        help="kbvqa-mini, a checkpoint directory, or a hub id. Default: KBVQA_CHECKPOINT.",
    ),
]
TopKOption = Annotated[
    int | None,
    typer.Option("--top-k", min=1, max=100, help=f"Passages to show; {CITED_TOO}."),
]
CandidatesOption = Annotated[
    int | None,
    typer.Option(
        "--candidates",
        min=1,
        help="Passages ranked by all their rows; more find more of the best in a large corpus. "
        "Default: KBVQA_CANDIDATES, or what the index takes by itself.",
    ),
]


def directory(path: Path | None) -> Path | None:
    """Check an option that names a directory to write to, which need not exist."""
    if path is not None and (file := file_in_the_way(path)) is not None:
        raise typer.BadParameter(f"{file} is a file, and a directory is needed: name another place")
    return path


def takes(**makers: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator of commands: each of these parameters is made by a function, and the
    command has that function's options in its place.

        @app.command("show")
        @takes(corpus=named_corpus)
        def corpus_show(corpus: "Corpus", count: ...) -> None: ...
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = {name: inspect.signature(maker).parameters for name, maker in makers.items()}

        def run(**given: Any) -> None:
            for name, maker in makers.items():
                given[name] = maker(**{option: given.pop(option) for option in options[name]})
            command(**given)

        own = inspect.signature(command).parameters
        chosen = [p for name, p in own.items() if name not in makers]
        chosen += [p for name in own if name in makers for p in options[name].values()]
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in chosen]
        # This is what typer looks at.
        run.__doc__, run.__annotations__ = command.__doc__, {}
        run.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
        return run

    return decorate


def settings_with(
    index: str | None,
    checkpoint: str | None,
    strategy: str | None = None,
    candidates: int | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Settings:
    """Return the settings with the command's options on top; the log is as they say."""
    if strategy is not None and strategy not in (known := get_args(Strategy)):
        raise typer.BadParameter(f"{strategy!r} is no strategy; choose from {', '.join(known)}")
    given = {
        "index": index,
        "checkpoint": checkpoint,
        "strategy": strategy,
        "candidates": candidates,
        "host": host,
        "port": port,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    settings = load_settings().model_copy(update=changes)
    use_logs(settings.log_format, settings.log_level)
    return settings


@contextmanager
def status() -> Iterator[Say]:
    """Show what is going on, on stderr, while it goes on."""
    with err.status("Loading") as shown:
        yield lambda message: shown.update(escape(printable(message)))


class _RateColumn(ProgressColumn):
    """So many a second."""

    def render(self, task: Task) -> Text:
        """Return the rate; nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")


class Advance(Protocol):
    """Told how far a task is, and how much of it failed."""

    def __call__(self, done: int, total: int, failed: int = 0) -> None:
        """Show it."""


@contextmanager
def progress() -> Iterator[tuple[Say, Advance]]:
    """Yield `say`, which names the current task, and `advance(done, total, failed)` for its bar.

    Where stderr is no terminal, a line for each tenth stands in for the bar.
    """
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )
    with bars:
        number = bars.add_task("Starting", total=None)
        shown: list[int] = []
        named = ["Starting"]

        def say(message: str) -> None:
            if not err.is_terminal:
                err.print(escape(message), soft_wrap=True)
            shown.clear()
            named[0] = escape(printable(message))
            bars.reset(number, description=named[0], total=None)

        def advance(done: int, total: int, failed: int = 0) -> None:
            also = f", {failed:,} failed" if failed else ""
            if not shown:  # what was done before is no part of the rate
                bars.reset(number, total=total, completed=done, description=named[0])
            bars.update(number, completed=done, total=total, description=f"{named[0]}{also}")
            last = shown[0] if shown else 0
            if not err.is_terminal and 10 * done // max(total, 1) > 10 * last // max(total, 1):
                err.print(f"  {done:,} of {total:,}{_pace(bars.tasks[0])}{also}", highlight=False)
            shown[:] = [done]

        yield say, advance


def counted(count: int, what: str) -> str:
    """Return how many things of a kind there are.

    >>> counted(1, "passage"), counted(1200, "file")
    ('1 passage', '1,200 files')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters on one line; where it is cut, at a word and said.

    >>> shortened("It flows north to the sea.", 20)
    'It flows north to …'
    """
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    words, _, _ = cut.rpartition(" ")
    return (words if 2 * len(words) > most else cut[:-1]) + " …"  # scripts without spaces


def _pace(task: Task) -> str:
    """Return ", 12.3/s, 0:01:40 left"; nothing before there is a rate, or at the end."""
    left = task.time_remaining
    if task.speed is None or not left:
        return ""
    return f", {task.speed:,.1f}/s, {timedelta(seconds=int(left))} left"
