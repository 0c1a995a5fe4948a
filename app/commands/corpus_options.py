"""Options of every command that reads a corpus, and the corpus they name."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from app.commands.console import counted, err
from app.errors import InvalidSettings
from corpus.passages.policy import By, Duplicates

_LISTED = 8
_LARGE_BYTES = 20_000_000  # smaller dumps are read before the processes have started

if TYPE_CHECKING:
    from corpus.passages.corpora import Corpus, PassageStream

SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Go on behind bad records, and list them at the end.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Stop after so many passages.")
]


def named_corpus(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CORPUS",
            help="A file or folder; its format is recognised. See docs/guide/corpora.md.",
        ),
    ],
    format_name: Annotated[
        str, typer.Option("--format", help="The format, if not to be guessed.")
    ] = "",
    split: Annotated[
        str, typer.Option("--split", help="Of a folder with several: train, valid or test.")
    ] = "",
    only_train: Annotated[
        bool, typer.Option("--gs112k", help="Of the full Google-search corpus, GS112K alone.")
    ] = False,
    by: Annotated[
        By | None,
        typer.Option(
            "--by",
            help="What passages are made by. Default: tokens, of pages; else record.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=1,
            help="Tokens or sentences in a passage. Default: 180, of pages; else 128.",
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            "--overlap",
            min=0,
            help="How many it shares with the one before. Default: 20, of few a ninth.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="A tokenizer.json that counts the tokens.")
    ] = None,
    title_prefix: Annotated[
        bool | None,
        typer.Option("--title/--no-title", help="Put 'title: T content: ' before each text."),
    ] = None,
    min_characters: Annotated[
        int | None,
        typer.Option(
            "--min-characters",
            min=1,
            help="Leave out shorter passages. Default: 40, of pages; else 1.",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", help="Leave out what is in another language: en."),
    ] = None,
    duplicates: Annotated[
        Duplicates | None, typer.Option("--duplicates", help="Keep them, or leave out which.")
    ] = None,
    base_url: Annotated[
        str,
        typer.Option(
            "--base-url",
            help="Where pages can be seen that have no address: https://host/docs/ goes before "
            "their ids, and {page} in it stands for one without .md.",
        ),
    ] = "",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=0, help="Processes that parse wikitext. Default: one a core."
        ),
    ] = None,
) -> "Corpus":
    """Return the corpus that these options of a command name.

    None leaves a field of PassagePolicy as it is for the format.

    Raises:
        InvalidSettings: an option has a value that it cannot have.
    """
    from dataclasses import replace

    from corpus.passages.corpora import open_corpus

    policy: dict[str, Any] = {
        "by": by,
        "size": size,
        "overlap": 0 if by in ("record", "section") and overlap is None else overlap,
        "tokenizer": tokenizer,
        "title_prefix": title_prefix,
        "min_characters": min_characters,
        "language": language,
        "duplicates": duplicates,
    }
    if language and not re.fullmatch(r"[a-z]{2,3}", language):
        raise InvalidSettings(f"--language {language!r} is no code of a language, such as en")
    if split and path.is_file():
        raise InvalidSettings(f"--split is of a folder with several, and {path} is a file")
    if base_url and not base_url.startswith(("http://", "https://")):
        raise InvalidSettings(f"--base-url {base_url!r} is no address: begin it with https://")
    corpus = open_corpus(
        path,
        format_name=format_name,
        split=split,
        only_train=only_train,
        workers=workers or 0,
        base_url=base_url,
    )
    if corpus.left_out:
        files = counted(len(corpus.files), "file")
        said = f"{path} is read as {corpus.format.name}: {files}. Left out"
        err.print(
            f"[yellow]{escape(said)}:[/] {escape(_listed(corpus.left_out, path))}",
            highlight=False,
            soft_wrap=True,
        )
    if workers is None and corpus.bytes_total > _LARGE_BYTES:
        corpus = replace(corpus, workers=os.cpu_count() or 1)
    changes = {name: value for name, value in policy.items() if value is not None}
    if size is not None:
        changes.setdefault("overlap", min(corpus.policy.overlap, size // 9))
    try:
        chosen = replace(corpus, policy=replace(corpus.policy, **changes))
    except ValueError as exc:
        raise InvalidSettings(f"--size, --overlap: {exc}") from exc
    given = {"--size": size, "--overlap": overlap, "--tokenizer": tokenizer}
    for option in (name for name, value in given.items() if value is not None):
        of = ["tokens"] if option == "--tokenizer" else ["tokens", "sentences"]
        if chosen.policy.by not in of:
            raise InvalidSettings(
                f"{option} is of --by {' and '.join(of)}, and {path} is made into passages by "
                f"{chosen.policy.by}: add --by, or leave {option} out"
            )
    return chosen


def _listed(files: "tuple[Path, ...]", folder: Path) -> str:
    """Return some files by name, or many by their endings, and links to other folders."""
    from corpus.files.folders import endings_text

    links = [f"{_name(file, folder)} (a link out of the folder)" for file in files if file.is_dir()]
    plain = [file for file in files if not file.is_dir()]
    if len(links) > _LISTED:
        links = [f"{len(links):,} links out of the folder"]
    if len(plain) > _LISTED:
        names = endings_text(plain)
    else:
        names = ", ".join(_name(file, folder) for file in plain)
    advice = ". --format says what is read" if plain else ""
    return ", ".join(filter(None, (*links, names))) + advice


def _name(file: Path, folder: Path) -> str:
    from corpus.files.sources import path_text

    return path_text(file.relative_to(folder))


def report_left_out(stream: "PassageStream", shown: int = 20) -> None:
    """Say on stderr what of a corpus was left out, and why."""
    for line in stream.left_out:
        err.print(escape(line), highlight=False, soft_wrap=True)
    if stream.bad:
        records = "record" if len(stream.bad) == 1 else "records"
        err.print(f"[bold yellow]{len(stream.bad):,} bad {records} skipped[/]", highlight=False)
        for error in stream.bad[:shown]:
            err.print(f"  {escape(str(error))}", highlight=False, soft_wrap=True)
        if len(stream.bad) > shown:
            err.print(f"  and {len(stream.bad) - shown:,} more", highlight=False)
