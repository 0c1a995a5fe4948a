"""Options of the commands that make an index: how it is stored, and laid out on a server."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from retriever.index_record import DEFAULT_STORAGE, Quantization, Storage, TokenNumbers
from retriever.index_settings import Cluster, Connection, MeansMemory, TokensMemory, is_url

# As in retriever.encoder, which is not imported: --help is instant.
PassagePrecision = Literal["float32", "bfloat16", "fastest"]


def storage(
    tokens: Annotated[
        TokenNumbers | None, typer.Option("--tokens", help="Numbers of the token vectors.")
    ] = None,
    quantization: Annotated[
        Quantization | None,
        typer.Option("--quantization", help="A smaller copy of the tokens to search first."),
    ] = None,
) -> Storage | None:
    """Return how these options say that embeddings are kept; None where they say nothing."""
    if tokens is None and quantization is None:
        return None
    return Storage(tokens or DEFAULT_STORAGE.tokens, quantization)


def cluster(
    shards: Annotated[
        int | None, typer.Option(min=1, help="On a server: parts of a new collection.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="On a server: copies of each part. Default: 1.")
    ] = None,
    write_consistency: Annotated[
        int | None,
        typer.Option(min=1, help="On a server: copies that must have a write. Default: 1."),
    ] = None,
    tokens_memory: Annotated[
        TokensMemory | None,
        typer.Option(help="On a server: read token vectors when needed (cold), or at its start."),
    ] = None,
    means_memory: Annotated[
        MeansMemory | None,
        typer.Option(
            help="On a server: likewise the means and their graph, or pin the graph in memory. "
            "Default: cached."
        ),
    ] = None,
) -> Cluster | None:
    """Return how these options lay out a collection; None where they say nothing."""
    chosen = {
        "shards": shards,
        "replicas": replicas,
        "write_consistency": write_consistency,
        "tokens_memory": tokens_memory,
        "means_memory": means_memory,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    if not given:
        return None
    try:
        return Cluster(**given)  # type: ignore[arg-type]
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


def laid_out(connection: Connection, layout: Cluster | None, location: Path | str) -> Connection:
    """Return a connection that makes collections with a layout."""
    if layout is None:
        return connection
    if not is_url(location):
        raise typer.BadParameter(
            f"{location} is a directory: shards, replicas and memory are a server's"
        )
    return replace(connection, cluster=layout)
