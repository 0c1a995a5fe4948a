"""kbvqa index plan: what an index of a size takes, also by what an index that is there measured."""

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from app.commands import index_options as options
from app.commands.console import out, print_json, settings_with, takes

if TYPE_CHECKING:
    from retriever.engines.record import Learned, Storage
    from retriever.index.passage_index import PassageIndex

_COUNTED = 1_000  # passages whose rows are counted: the first by id, and ids are hashes


@takes(storage=options.storage)
def index_plan(
    storage: "Storage | None",
    passages: Annotated[
        int | None, typer.Option("--passages", min=1, help="How many. Default: as --index has.")
    ] = None,
    tokens_per_passage: Annotated[
        float | None,
        typer.Option("--tokens-per-passage", min=1, help="On average. Default: as --index has."),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index", help="An index of such passages: what is not given, and candidates, are its."
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each passage.")] = 1,
    node_memory: Annotated[float, typer.Option(min=1, help="Of a node, in GiB.")] = 64,
    node_disk: Annotated[float, typer.Option(min=1, help="Of a node, in GiB.")] = 2048,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compute what an index of a size takes, on disk, in memory, and in nodes.

    With --index, how many candidates a search takes is what that index measured of itself.

    \b
    kbvqa index plan --passages 10000000 --tokens-per-passage 120 --replicas 2
    kbvqa index plan --index my-index --passages 10000000
    """
    from retriever.building.sizing import plan_index
    from retriever.engines.record import DEFAULT_STORAGE

    learned, dim = None, 128
    if index is not None:
        from app.components import open_set_index

        with open_set_index(settings_with(index, None)) as opened:
            learned, dim = opened.built.learned, opened.fingerprint.dim
            passages = passages or opened.count
            tokens_per_passage = tokens_per_passage or _mean_rows(opened)
            storage = storage or opened.storage
    if passages is None or tokens_per_passage is None:
        raise typer.BadParameter(
            "give --passages and --tokens-per-passage, or --index for those of an index"
        )
    storage = storage or DEFAULT_STORAGE
    plan = plan_index(
        passages,
        tokens_per_passage,
        dim=dim,
        storage=storage,
        replicas=replicas,
        node_memory=int(node_memory * 2**30),
        node_disk=int(node_disk * 2**30),
        measured=learned,
    )
    if as_json:
        print_json(asdict(plan) | {"measured": learned_facts(learned)})
        return
    table = Table(show_header=False, box=None)
    for name, value in asdict(plan).items():
        counted = name in ("nodes", "shards", "candidates") or isinstance(value, str)
        table.add_row(name.replace("_", " "), f"{value}" if counted else _bytes(value))
    out.print(table)
    if index is not None:
        out.print(_whose_candidates(index, learned, passages), soft_wrap=True, highlight=False)
    chosen = f"--tokens {storage.tokens} --shards {plan.shards} --replicas {replicas} "
    if storage.quantization is not None:
        chosen += f"--quantization {storage.quantization} "
    chosen += f"--tokens-memory {plan.tokens_memory}"
    command = f"kbvqa index build CORPUS --index http://HOST:6333/NAME {chosen}"
    out.print(f"On a server: {command}", soft_wrap=True, highlight=False)
    out.print(
        "Sizes beyond 300 thousand passages are extrapolated: docs/guide/index.md.", style="dim"
    )


def learned_facts(learned: "Learned | None") -> dict[str, Any] | None:
    """Return what an index has learned, without the numbers that say how; None if nothing."""
    if learned is None:
        return None
    facts = asdict(learned)
    del facts["numbers"]
    return facts | {"recall": {str(c): round(share, 4) for c, share in learned.recall}}


def _whose_candidates(index: str, learned: "Learned | None", passages: int) -> str:
    """Return where the number of candidates comes from."""
    from retriever.engines.candidates import LEARNED_FROM, is_large

    general = "candidates are the general number"
    if not is_large(passages):
        return f"{general}: below {LEARNED_FROM:,} passages nothing is learned"
    if learned is None:
        return f"{general}: {index} has measured nothing, as one of {LEARNED_FROM:,} passages does"
    curve = ", ".join(f"{share:.3f} among {c:,}" for c, share in learned.recall)
    asked = "made queries" if learned.made else "real queries"
    said = (
        f"candidates are those that {index} measured on {learned.queries} {asked}, at "
        f"{learned.passages:,} passages; of the ten best it found {curve}"
    )
    if passages > learned.passages:
        said += f". {passages:,} passages may need more: a build measures them anew"
    return said


def _mean_rows(opened: "PassageIndex") -> float:
    """Return how many rows a passage has, on average of some."""
    counts = [rows for _, rows in islice(opened.row_counts(), _COUNTED)]
    return sum(counts) / len(counts)


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
