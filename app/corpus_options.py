"""Options of every command that reads a corpus, and the corpus they name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from app.console import err
from app.errors import InvalidSettings

_LARGE_BYTES = 20_000_000  # smaller dumps are read before the processes have started

if TYPE_CHECKING:
    from corpus.corpora import Corpus, PassageStream

CorpusArgument = Annotated[
    Path, typer.Argument(help="A file or folder; its format is recognised. See docs/data.md.")
]
FormatOption = Annotated[str, typer.Option("--format", help="The format, if not to be guessed.")]
SplitOption = Annotated[
    str, typer.Option("--split", help="Of a folder with several: train, valid or test.")
]
Gs112kOption = Annotated[
    bool, typer.Option("--gs112k", help="Of the full Google-search corpus, GS112K alone.")
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Make passages by record, section, tokens or sentences."),
]
SizeOption = Annotated[
    int | None, typer.Option("--size", min=1, help="Tokens or sentences in a passage.")
]
OverlapOption = Annotated[
    int | None, typer.Option("--overlap", min=0, help="How many it shares with the one before.")
]
TokenizerOption = Annotated[
    str | None, typer.Option("--tokenizer", help="A tokenizer.json that counts the tokens.")
]
TitleOption = Annotated[
    bool | None,
    typer.Option("--title/--no-title", help="Put 'title: T content: ' before each text."),
]
MinCharactersOption = Annotated[
    int | None, typer.Option("--min-characters", min=1, help="Leave out shorter passages.")
]
LanguageOption = Annotated[
    str | None, typer.Option("--language", help="Leave out other languages than this: en.")
]
DuplicatesOption = Annotated[
    str | None, typer.Option("--duplicates", help="keep, or leave out exact or near ones.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Processes that parse wikitext. Default: one a core."),
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Go on behind bad records, and list them at the end.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Stop after so many passages.")
]


def named_corpus(
    path: Path,
    *,
    format_name: str = "",
    split: str = "",
    only_train: bool = False,
    workers: int | None = None,
    **policy: Any,
) -> "Corpus":
    """Return the corpus that a command's options name.

    Args:
        path: a file or folder.
        format_name: "" to recognise it.
        split: "" where there is only one.
        only_train: of the Google-search corpus, GS112K alone.
        workers: processes that parse wikitext; None for one a core where a dump is large.
        policy: fields of PassagePolicy; None leaves one as it is for the format.

    Raises:
        InvalidSettings: a field has a value that it cannot have.
    """
    from dataclasses import replace
    from typing import get_args

    from corpus.corpora import open_corpus
    from corpus.policy import By, Duplicates

    for name, known in (("by", get_args(By)), ("duplicates", get_args(Duplicates))):
        if policy.get(name) is not None and policy[name] not in known:
            raise InvalidSettings(f"--{name} must be {' or '.join(known)}, not {policy[name]!r}")
    corpus = open_corpus(
        path, format_name=format_name, split=split, only_train=only_train, workers=workers or 0
    )
    if workers is None and corpus.bytes_total > _LARGE_BYTES:
        corpus = replace(corpus, workers=os.cpu_count() or 1)
    changes = {name: value for name, value in policy.items() if value is not None}
    if changes.get("by") in ("record", "section") and "overlap" not in changes:
        changes["overlap"] = 0
    try:
        return replace(corpus, policy=replace(corpus.policy, **changes))
    except ValueError as exc:
        raise InvalidSettings(f"--size, --overlap: {exc}") from exc


def report_left_out(stream: "PassageStream", shown: int = 20) -> None:
    """Say on stderr what of a corpus was left out, and why."""
    for reason, count in sorted(stream.dropped.items()):
        err.print(f"{count:,} passages left out: {reason}", highlight=False)
    if stream.empty:
        err.print(f"{stream.empty:,} records without a page or text", highlight=False)
    if stream.bad:
        err.print(f"[bold yellow]{len(stream.bad):,} bad records skipped[/]", highlight=False)
        for error in stream.bad[:shown]:
            err.print(f"  {escape(str(error))}", highlight=False, soft_wrap=True)
        if len(stream.bad) > shown:
            err.print(f"  and {len(stream.bad) - shown:,} more", highlight=False)
