"""kbvqa index: build an index of passages, look after it, plan a large one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from app import corpus_options as options
from app.console import CheckpointOption, IndexOption, err, out, progress, settings_with

app = typer.Typer(help="Build an index of passages, and look after it.", no_args_is_help=True)

_SHOWN = 10

TokensOption = Annotated[
    str | None,
    typer.Option("--tokens", help="Numbers of the token vectors: float32, float16 or turbo4."),
]
QuantizationOption = Annotated[
    str | None,
    typer.Option("--quantization", help="A smaller copy to search first: scalar or binary."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("build")
def index_build(
    corpus: options.CorpusArgument,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
    format_name: options.FormatOption = "",
    split: options.SplitOption = "",
    gs112k: options.Gs112kOption = False,
    by: options.ByOption = None,
    size: options.SizeOption = None,
    overlap: options.OverlapOption = None,
    tokenizer: options.TokenizerOption = None,
    title: options.TitleOption = None,
    min_characters: options.MinCharactersOption = None,
    language: options.LanguageOption = None,
    duplicates: options.DuplicatesOption = None,
    workers: options.WorkersOption = None,
    swap: Annotated[
        bool, typer.Option("--swap", help="Build anew beside the index; replace it at the end.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete passages that the corpus has no longer.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on behind records that cannot be read.")
    ] = False,
    pool_factor: Annotated[
        int,
        typer.Option("--pool", min=1, help="Merge similar tokens of a passage, so many to one."),
    ] = 1,
    tokens: TokensOption = None,
    quantization: QuantizationOption = None,
    shards: Annotated[int | None, typer.Option(min=1, help="On a server: parts.")] = None,
    replicas: Annotated[int, typer.Option(min=1, help="On a server: copies of each.")] = 1,
    write_consistency: Annotated[
        int, typer.Option(min=1, help="On a server: copies that must have a write.")
    ] = 1,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write what was done and skipped, as JSON.")
    ] = None,
) -> None:
    """Index a corpus. Interrupted, the same command goes on where it stopped.

    Run again after the corpus has changed, it encodes only what is new or changed.

    \b
    kbvqa index build passages.jsonl --index my-index
    kbvqa index build m2kr/OKVQA_passages --split test --index okvqa
    kbvqa index build enwiki.xml.bz2 --by section --index wiki
    kbvqa index build passages.jsonl --index http://127.0.0.1:6333/passages --swap
    accelerate launch --cpu --num_processes 4 -m app.cli index build enwiki.xml.bz2 --index wiki
    """
    settings = settings_with(index, checkpoint)
    from dataclasses import replace

    from app.components import open_checkpoint
    from app.indexing import build_index
    from retriever.index_settings import Cluster

    if write_consistency > replicas:
        raise typer.BadParameter("--write-consistency is at most --replicas")
    cluster = Cluster(shards, replicas, write_consistency)
    connection = replace(settings.connection, cluster=cluster)
    source = options.named_corpus(
        corpus,
        format_name=format_name,
        split=split,
        only_train=gs112k,
        workers=workers,
        by=by,
        size=size,
        overlap=overlap,
        tokenizer=tokenizer,
        title_prefix=title,
        min_characters=min_characters,
        language=language,
        duplicates=duplicates,
    )
    with progress() as (say, advance):
        say("Loading the checkpoint")
        loaded = open_checkpoint(settings)
        say(f"Indexing {source.name}")
        built = build_index(
            source,
            settings.index_location,
            loaded,
            advance,
            storage=_storage(tokens, quantization),
            connection=connection,
            swap=swap,
            prune=prune,
            skip_bad=skip_bad,
            pool_factor=pool_factor,
        )
    if built is None:  # a helping process of accelerate launch
        return
    if report is not None:
        text = json.dumps(asdict(built), indent=2, ensure_ascii=False)
        report.write_text(text + "\n", encoding="utf-8")
    _say_what_was_done(built, settings.index_location, loaded.id)


@app.command("info")
def index_info(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Say what an index is made from and how it is kept.

    \b
    kbvqa index info --index my-index --json
    """
    with _opened(index) as opened:
        fingerprint, build = opened.fingerprint, opened.build
        facts: dict[str, Any] = {
            "location": opened.location,
            "count": opened.count,
            **asdict(fingerprint),
            "tokens": build.storage.tokens,
            "quantization": build.storage.quantization,
            "skipped": build.skipped,
            "kept": build.kept,
            "place": build.place,
        }
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        out.print(f"[bold]{name:<20}[/] {escape(str(value))}", soft_wrap=True, highlight=False)


@app.command("verify")
def index_verify(index: IndexOption = None) -> None:
    """Read every passage of an index and say what is wrong; exit code 1 if anything is.

    \b
    kbvqa index verify --index my-index
    """
    from retriever.index_tools import verify_index

    with _opened(index) as opened, progress() as (say, advance):
        say(f"Verifying {opened.location}")
        problems = verify_index(opened, advance)
        count = opened.count
    for problem in problems:
        err.print(f"[bold red]wrong:[/] {escape(problem)}", soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    out.print(f"{count:,} passages, nothing wrong")


@app.command("copy")
def index_copy(
    source: Annotated[str, typer.Argument(help="A directory, or http://host:6333/NAME.")],
    target: Annotated[str, typer.Argument(help="Likewise; must be free, or a stopped copy.")],
    tokens: TokensOption = None,
    quantization: QuantizationOption = None,
) -> None:
    """Copy an index with its vectors, from a directory to a server or back, and compare.

    \b
    kbvqa index copy my-index http://127.0.0.1:6333/passages
    """
    from retriever.index_tools import copy_index

    connection = settings_with(target, None).connection
    storage = _storage(tokens, quantization)
    with _opened(source) as opened, progress() as (say, advance):
        say("Copying")
        where = settings_with(target, None).index_location
        copy_index(opened, where, connection, storage, advance)
        count = opened.count
    out.print(f"{count:,} passages copied to {target} and compared", soft_wrap=True)


@app.command("snapshot")
def index_snapshot(index: IndexOption = None) -> None:
    """Make a snapshot of a collection on its server, and print its name.

    \b
    kbvqa index snapshot --index http://127.0.0.1:6333/passages
    """
    from retriever.index_settings import is_url

    settings = settings_with(index, None)
    if not is_url(settings.index_location):
        raise typer.BadParameter("a directory has no snapshots: copy it, or `kbvqa index copy` it")
    from retriever.engines.server import ServerStore

    store = ServerStore(str(settings.index_location), settings.connection)
    try:
        out.print(store.snapshot(), soft_wrap=True, highlight=False)
    finally:
        store.close()


@app.command("plan")
def index_plan(
    passages: Annotated[int, typer.Option("--passages", min=1, help="How many.")],
    tokens_per_passage: Annotated[
        float, typer.Option("--tokens-per-passage", min=1, help="On average.")
    ],
    tokens: TokensOption = None,
    quantization: QuantizationOption = None,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each passage.")] = 1,
    node_memory: Annotated[float, typer.Option(help="Of a node, in GiB.")] = 64,
    node_disk: Annotated[float, typer.Option(help="Of a node, in GiB.")] = 2048,
    as_json: JsonOption = False,
) -> None:
    """Compute what an index of a size takes, on disk, in memory, and in nodes.

    \b
    kbvqa index plan --passages 10000000 --tokens-per-passage 120 --replicas 2
    """
    from retriever.index_plan import plan_index
    from retriever.index_record import DEFAULT_STORAGE

    plan = asdict(
        plan_index(
            passages,
            tokens_per_passage,
            storage=_storage(tokens, quantization) or DEFAULT_STORAGE,
            replicas=replicas,
            node_memory=int(node_memory * 2**30),
            node_disk=int(node_disk * 2**30),
        )
    )
    if as_json:
        print(json.dumps(plan))
        return
    table = Table(show_header=False, box=None)
    for name, value in plan.items():
        counted = name in ("nodes", "shards", "candidates")
        table.add_row(name.replace("_", " "), f"{value:,}" if counted else _bytes(value))
    out.print(table)
    out.print("Sizes beyond 100 thousand passages are extrapolated: docs/index.md.", style="dim")


def _opened(index: str | None) -> Any:
    from retriever.index import PassageIndex

    settings = settings_with(index, None)
    return PassageIndex.open(settings.index_location, connection=settings.connection)


def _storage(tokens: str | None, quantization: str | None) -> Any:
    """Return the storage that the options ask for; None where they ask for nothing."""
    from retriever.index_record import DEFAULT_STORAGE, Storage

    if tokens is None and quantization is None:
        return None
    if tokens not in (None, "float32", "float16", "turbo4"):
        raise typer.BadParameter(f"--tokens is float32, float16 or turbo4, not {tokens!r}")
    if quantization not in (None, "scalar", "binary"):
        raise typer.BadParameter(f"--quantization is scalar or binary, not {quantization!r}")
    return Storage(tokens or DEFAULT_STORAGE.tokens, quantization)  # type: ignore[arg-type]


def _say_what_was_done(built: Any, location: Path | str, checkpoint: str) -> None:
    report = built.report
    out.print(f"{built.count:,} passages in {location}, made with {checkpoint}", soft_wrap=True)
    out.print(
        f"{report.written:,} encoded and written, {report.unchanged:,} there already, "
        f"{report.deleted:,} deleted",
        soft_wrap=True,
    )
    if report.kept:
        out.print(f"{report.kept:,} are not in the corpus (any more): --prune deletes them")
    if built.cut:
        out.print(f"{len(built.cut):,} are longer than the checkpoint reads, and were cut there")
    left_out = [f"{id}: {reason}" for id, reason in report.skipped] + list(built.bad)
    if left_out:
        out.print(f"[yellow]{len(left_out):,} left out:[/]")
    for line in left_out[:_SHOWN]:
        out.print(f"    {escape(line)}", soft_wrap=True, highlight=False)
    if len(left_out) > _SHOWN:
        out.print(f"    and {len(left_out) - _SHOWN:,} more: --report FILE has them all")


def _bytes(size: float) -> str:
    """Return a number of bytes for people.

    >>> _bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError
