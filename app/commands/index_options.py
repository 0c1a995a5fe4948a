"""Options of the commands that make an index: how it is stored, and laid out on a server."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retriever.engines.connection import (
    Cluster,
    QdrantConnection,
    VectorsMemory,
    is_url,
)
from retriever.engines.record import DEFAULT_STORAGE, Quantization, Storage, TokenNumbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from corpus.types import Query


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


def asked(
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Questions such as will be asked (.jsonl: id, question, perhaps image), which a "
            "large index learns from. Default: made of its own text, which is less good."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Their pictures. Default: the folder of --questions.")
    ] = None,
) -> "Iterator[Query] | None":
    """Return the questions of a file with their pictures, which are read when they are used.

    What is wrong is said now, as they are used when everything is encoded. None for no file.
    """
    if questions is None:
        return None
    from corpus.examples import read_examples
    from corpus.pictures.images import load_image
    from corpus.types import Query

    examples = read_examples(questions)
    folder = images or questions.parent
    pictures = [folder / example.image if example.image else None for example in examples]
    if missing := [picture for picture in pictures if picture and not picture.is_file()]:
        raise typer.BadParameter(
            f"{missing[0]} is missing, one of {len(missing)}: --images names the folder of the "
            f"pictures of {questions}"
        )
    return (
        Query(e.question, load_image(p) if p else None)
        for e, p in zip(examples, pictures, strict=True)
    )


def why_not_learned(count: int) -> str:
    """Return why an index of so many passages did not use the questions that were given."""
    from retriever.engines.candidates import LEARNED_FROM

    if count < LEARNED_FROM:
        return (
            f"--questions was not used: from {LEARNED_FROM:,} passages on an index learns from "
            f"them, and this one has {count:,}. It finds well enough without"
        )
    return (
        "--questions was not used: this index is as it was, or has not doubled since it learned. "
        "--swap builds it anew, and learns from them"
    )


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
        VectorsMemory | None,
        typer.Option(help="On a server: read token vectors when needed (cold), or at its start."),
    ] = None,
    means_memory: Annotated[
        VectorsMemory | None,
        typer.Option(help="On a server: likewise the means. Default: cached."),
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


def laid_out(
    connection: QdrantConnection, layout: Cluster | None, location: Path | str
) -> QdrantConnection:
    """Return a connection that makes collections with a layout."""
    if layout is None:
        return connection
    if not is_url(location):
        raise typer.BadParameter(
            f"{location} is a directory: shards, replicas and memory are a server's"
        )
    return replace(connection, cluster=layout)
