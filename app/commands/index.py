"""kbvqa index: build an index of passages, look after it, plan a large one."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from app.commands import corpus_options
from app.commands import index_options as options
from app.commands.console import (
    CheckpointOption,
    IndexOption,
    counted,
    err,
    out,
    print_json,
    progress,
    settings_with,
    takes,
)
from app.commands.index_pictures import index_pictures
from app.commands.index_plan import index_plan, learned_facts
from app.settings import load_settings
from retriever.numbers import PassagePrecision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from corpus.passages.corpora import Corpus
    from corpus.types import Query
    from retriever.engines.connection import Cluster
    from retriever.engines.record import Storage

app = typer.Typer(help="Build an index of passages, and look after it.", no_args_is_help=True)
app.command("pictures")(index_pictures)
app.command("plan")(index_plan)

_SHOWN = 10

BuiltOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        help="Where it is built: a directory, or http://host:6333/NAME. Default: KBVQA_INDEX.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _named_by_option(named: str | None) -> None:
    if named is not None:
        raise typer.BadParameter(f"an index is named by --index: --index {named}")


_NoArgument = Annotated[
    str | None, typer.Argument(hidden=True, metavar="--index NAME", callback=_named_by_option)
]


@app.command("build")
@takes(
    corpus=corpus_options.named_corpus,
    storage=options.storage,
    layout=options.cluster,
    asked=options.asked,
)
def index_build(
    storage: "Storage | None",
    layout: "Cluster | None",
    corpus: "Corpus",
    asked: "Iterator[Query] | None",
    index: BuiltOption = None,
    checkpoint: CheckpointOption = None,
    swap: Annotated[
        bool, typer.Option("--swap", help="Build anew beside the index; replace it at the end.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Delete passages that the corpus has no longer; not where others were added.",
        ),
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Keep corpora of other names that are in the index.")
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="What the corpus is called in the index, each time. Default: as its file or "
            "folder. Of another name it is another corpus.",
        ),
    ] = "",
    skip_bad: corpus_options.SkipBadOption = False,
    pool_factor: Annotated[
        int,
        typer.Option("--pool", min=1, help="Merge similar tokens of a passage, so many to one."),
    ] = 1,
    precision: Annotated[
        PassagePrecision,
        typer.Option(help="Numbers in which a CPU encodes passages; fastest measures which."),
    ] = "fastest",
    recall: Annotated[
        float,
        typer.Option(min=0.5, max=1, help="Share of the ten best that a search is to find."),
    ] = 0.99,
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
    kbvqa index build enwiki.xml.bz2 --index wiki --questions asked.jsonl --images pictures
    kbvqa index build passages.jsonl --index http://127.0.0.1:6333/passages --swap
    accelerate launch --num_processes 4 -m kbvqa index build enwiki.xml.bz2 --index wiki
    """
    settings = settings_with(index, checkpoint)
    corpus = replace(corpus, name=name.strip() or corpus.name)
    if settings.index is None:
        raise typer.BadParameter(
            "where to build it? Give --index DIRECTORY or --index http://host:6333/NAME, or set "
            f"KBVQA_INDEX. {settings.index_location} is the demo's, which `kbvqa setup` builds"
        )
    if add and prune:
        raise typer.BadParameter(
            "--add keeps the other corpus, and --prune deletes it: leave one out"
        )
    if add and swap:
        raise typer.BadParameter(
            "--add keeps the other corpus, and --swap builds an index without it: leave one out"
        )
    location = settings.index_location
    connection = options.laid_out(settings.connection, layout, location)
    from app.components import open_checkpoint
    from retriever.building.build import build_index

    with progress() as (say, advance):
        say("Loading the checkpoint")
        loaded = open_checkpoint(settings)
        built = build_index(
            corpus,
            location,
            loaded,
            advance,
            say=say,
            storage=storage,
            connection=connection,
            swap=swap,
            prune=prune,
            add=add,
            skip_bad=skip_bad,
            pool_factor=pool_factor,
            precision=precision,
            questions=asked or (),
            recall=recall,
        )
    if built is None:  # a helping process of accelerate launch
        return
    if report is not None:
        text = json.dumps(asdict(built), indent=2, ensure_ascii=False)
        report.write_text(text + "\n", encoding="utf-8")
    _say_what_was_done(built, location, loaded.id, corpus.name)
    if asked is not None and not built.learned:
        err.print(options.why_not_learned(built.count), soft_wrap=True, highlight=False)


@app.command("info")
def index_info(
    index: IndexOption = None, as_json: JsonOption = False, _named: _NoArgument = None
) -> None:
    """Say what an index is made from and how it is kept.

    \b
    kbvqa index info --index my-index --json

    \b
    count            passages that can be found: those of the corpus, less `skipped`, and `kept`
    checkpoint       what embedded them; _sha256 is of what decides an embedding
    corpus           its name; _sha256 is of its passages, which `passages` counts
    pool_factor      similar tokens merged to one, so many; 1 is none
    tokens           the numbers that rows are kept in
    quantization     a smaller copy that a search looks at first
    precisions       the numbers in which passages were encoded
    skipped, kept    left out as they cannot be indexed; not, or no longer, in the corpus
    added            the corpora that --add put beside it, with passages and what was skipped
    candidates       passages among which a search that does not say looks for those that it ranks
    learned          how candidates are chosen in a large index: passages when it was fitted,
                     queries held out, share of the ten best by number of passages looked at
    seen             by `kbvqa web` or `kbvqa mcp` of the questions that were asked, compared with
                     the exact search: how many, and the share of their ten best that was found
    place, namespace where the finished build lies; what ids of points hang on
    """
    from app.asking.recall import last_seen

    with _opened(index) as opened:
        build = opened.built
        added = {
            one.corpus: {
                "passages": one.passages,
                "skipped": one.skipped,
                "corpus_sha256": one.corpus_sha256,
            }
            for one in build.others
        }
        seen = last_seen(opened, load_settings())
        facts: dict[str, Any] = {
            "location": opened.location,
            "count": opened.count,
            **asdict(build.fingerprint),
            "tokens": build.storage.tokens,
            "quantization": build.storage.quantization,
            "precisions": ", ".join(build.precisions),
            "skipped": build.skipped,
            "kept": build.kept,
            "added": added or None,
            "candidates": opened.candidates,
            "learned": learned_facts(build.learned),
            "seen": None if seen is None else asdict(seen),
            "place": build.place,
            "namespace": build.ids_of,
            **opened.facts,
        }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        out.print(f"[bold]{name:<20}[/] {escape(_text(value))}", soft_wrap=True, highlight=False)


@app.command("verify")
def index_verify(
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
    encode: Annotated[
        int, typer.Option(min=0, help="Encode so many passages again, and compare those too.")
    ] = 0,
    _named: _NoArgument = None,
) -> None:
    """Read every passage of an index and say what is wrong; exit code 1 if anything is.

    \b
    kbvqa index verify --index my-index --encode 32
    """
    from retriever.building.tools import verify_index

    with _opened(index) as opened, progress() as (say, advance):
        say(f"Verifying {opened.location}")
        problems = verify_index(opened, advance)
        if encode:
            from app.components import open_checkpoint
            from retriever.building.build import verify_encoding

            say("Encoding passages again")
            loaded = open_checkpoint(settings_with(index, checkpoint))
            problems += verify_encoding(opened, loaded, encode)
        count = opened.count
    for problem in problems:
        err.print(f"[bold red]wrong:[/] {escape(problem)}", soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    out.print(f"{counted(count, 'passage')}, nothing wrong")


@app.command("copy")
@takes(storage=options.storage, layout=options.cluster)
def index_copy(
    storage: "Storage | None",
    layout: "Cluster | None",
    source: Annotated[str, typer.Argument(help="A directory, or http://host:6333/NAME.")],
    target: Annotated[str, typer.Argument(help="Likewise; must be free, or a stopped copy.")],
) -> None:
    """Copy an index with its vectors, from a directory to a server or back, and compare.

    \b
    kbvqa index copy my-index http://127.0.0.1:6333/passages
    """
    settings = settings_with(target, None)
    location = settings.index_location
    connection = options.laid_out(settings.connection, layout, location)
    from retriever.building.tools import copy_index

    with _opened(source) as opened, progress() as (say, advance):
        say("Copying")
        try:
            copy_index(opened, location, connection, storage, advance)
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
        count = opened.count
    out.print(f"{counted(count, 'passage')} copied to {target} and compared", soft_wrap=True)


@app.command("optimise")
def index_optimise(index: IndexOption = None, _named: _NoArgument = None) -> None:
    """Wake a server that has not optimised a collection, and wait until it has.

    \b
    kbvqa index optimise --index http://127.0.0.1:6333/passages
    """
    with _opened(index) as opened, progress() as (say, _):
        say("Optimising")
        opened.optimise(say)
    out.print(f"{opened.location} is optimised", soft_wrap=True)


@app.command("snapshot")
def index_snapshot(index: IndexOption = None, _named: _NoArgument = None) -> None:
    """Make a snapshot of a collection on its server, and print its name.

    \b
    kbvqa index snapshot --index http://127.0.0.1:6333/passages
    """
    from retriever.engines.connection import is_url

    settings = settings_with(index, None)
    if not is_url(settings.index_location):
        raise typer.BadParameter("a directory has no snapshots: copy it, or `kbvqa index copy` it")
    from retriever.engines.server.engine import ServerStore

    store = ServerStore(str(settings.index_location), settings.connection)
    try:
        out.print(store.snapshot(), soft_wrap=True, highlight=False)
    finally:
        store.close()


def _text(value: object) -> str:
    """Return a fact for people.

    >>> _text({"passages": 9, "recall": {"50": 0.9}})
    'passages 9, recall (50 0.9)'
    """
    if not isinstance(value, dict):
        return str(value)
    parts = ((k, f"({_text(v)})" if isinstance(v, dict) else v) for k, v in value.items())
    return ", ".join(f"{name} {part}" for name, part in parts)


def _opened(index: str | None) -> Any:
    from app.components import open_set_index

    return open_set_index(settings_with(index, None))


def _said_of(count: int) -> tuple[str, str, str]:
    return ("is", "was", "it") if count == 1 else ("are", "were", "them")


def _say_what_was_done(built: Any, location: Path | str, checkpoint: str, corpus: str) -> None:
    report = built.report
    held = counted(built.count, "passage")
    out.print(f"{held} in {location}, made with {checkpoint}", soft_wrap=True)
    out.print(
        f"{report.written:,} encoded and written, {report.unchanged:,} there already, "
        f"{report.deleted:,} deleted",
        soft_wrap=True,
    )
    others = [name for name in built.corpora if name != corpus]
    if never := report.kept - report.gone:
        are, _, them = _said_of(never)
        told = (
            f"not of {corpus}: the index has {' and '.join(others)} as well"
            if others
            else f"not in the corpus (any more): --prune deletes {them}"
        )
        out.print(f"{never:,} {are} {escape(told)}", soft_wrap=True, highlight=False)
    if report.gone:
        are, were, them = _said_of(report.gone)
        told = (
            f"{report.gone:,} {were} of {corpus}, which has {them} no longer, and {are} still "
            "found: to drop that build the first corpus anew with --swap, then add the others again"
        )
        out.print(escape(told), soft_wrap=True, highlight=False)
    if cut := len(built.cut):
        are, were, _ = _said_of(cut)
        out.print(f"{cut:,} {are} longer than the checkpoint reads, and {were} cut there")
    for line in built.left_out:
        err.print(escape(line), soft_wrap=True, highlight=False)
    left_out = [f"{id}: {reason}" for id, reason in report.skipped] + list(built.bad)
    if left_out:
        out.print(f"[yellow]{len(left_out):,} left out:[/]")
    for line in left_out[:_SHOWN]:
        out.print(f"    {escape(line)}", soft_wrap=True, highlight=False)
    if len(left_out) > _SHOWN:
        out.print(f"    and {len(left_out) - _SHOWN:,} more: --report FILE has them all")
