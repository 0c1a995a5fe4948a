"""The code blocks of Markdown pages: what they are, and commands as a shell takes them.

<!-- run -->            the next block is run, in order, in one folder for the page
<!-- served -->         it is run beside a page that is served
<!-- file: NAME -->     the next block is written there
<!-- needs: gpu, hub -->    it is not run here, but read: its commands, options and settings exist
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from app.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
        *ROOT.glob("docs/**/*.md"),
    ]
)
# What a block can need that no test of pages has.
NEEDS = {
    "gpu": "an accelerator, or several, and often a generator on it",
    "docker": "Docker's engine",
    "cluster": "a Kubernetes cluster",
    "hub": "checkpoints or data of the Hugging Face hub",
    "dataset": "a benchmark's or a corpus's files",
    "server": "a server that listens: Qdrant, vLLM, a collector",
    "network": "packages from an index, or the repository",
    "minutes": "longer than a test of pages may take",
    "files": "pictures, passages or results of the reader's own",
}
LANGUAGES = {"python", "sh", "ini", "json", "text"}
_FENCE = re.compile(r"^(?:<!-- ([^>]+) -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ASSIGNED = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its text, and what the comment before it says."""

    language: str
    text: str
    note: str


class Command(NamedTuple):
    """One command, with the variables that are set for it or, with `export`, from then on."""

    words: list[str]
    variables: dict[str, str]
    line: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(language, text, note) for note, language, text in found]


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a shell block; a pipe or "&&" ends one."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;"):
                words.append(word)
            elif words:
                yield _command(words, line)
                words = []


def _command(words: list[str], line: str) -> Command:
    if words[0] == "export":
        pairs = [_ASSIGNED.fullmatch(word) for word in words[1:]]
        assert all(pairs), line
        return Command(["export"], {str(p[1]): str(p[2]) for p in pairs if p}, line)
    variables: dict[str, str] = {}
    while words and (pair := _ASSIGNED.fullmatch(words[0])):
        variables[pair[1]] = pair[2]
        words = words[1:]
    return Command(words, variables, line)


def kbvqa_arguments(command: Command) -> list[str] | None:
    """Return the arguments of `kbvqa` in a command that runs it, however; None for another."""
    words = command.words
    if words[:1] == ["kbvqa"]:
        return words[1:]
    for place in range(len(words) - 1):
        if words[place : place + 2] == ["-m", "kbvqa"]:
            return words[place + 2 :]
        if words[0] == "docker" and "run" in words[:place] and "--entrypoint" not in words:
            if words[place] == "app":
                return words[place + 1 :]
            if words[place] == "index":
                return words[place:]
    return None


def parse(arguments: list[str]) -> None:
    """Let the command line read arguments, all options and values, and run nothing.

    Raises:
        click.UsageError: there is no such command or option, or a value is none.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("kbvqa", list(arguments))
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
