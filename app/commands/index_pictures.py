"""kbvqa index pictures: a collection of entities' pictures, searched beside an index."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from app.commands.console import CheckpointOption, directory, out, progress, settings_with


def _writable(path: Path) -> Path:
    """Check --out before minutes of encoding, not after."""
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a directory: name a file, {path / 'my.safetensors'}")
    directory(path.parent)
    return path


def index_pictures(
    output: Annotated[
        Path, typer.Option("--out", help="The file that is written.", callback=_writable)
    ],
    table: Annotated[
        Path | None,
        typer.Argument(
            help="Pictures with their entities (.jsonl: image, entity). Default: the demo's "
            "drawings."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="What picture names are relative to. Default: the folder of the table."),
    ] = None,
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="Leave out pictures whose files are not there."),
    ] = False,
    weight: Annotated[
        float | None,
        typer.Option(min=0, help="How much they count. Default: as fitted for kbvqa-mini."),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="The similarity from which they count. Default: as fitted for kbvqa-mini.",
        ),
    ] = None,
    colours: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What it costs to have one's colours elsewhere: 0.015 for a thousand flags or "
            "icons. Default: 0, but for the demo's drawings.",
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Make a collection of pictures, which find what a picture shows beside the passages.

    \b
    kbvqa index pictures --out drawings.safetensors
    kbvqa index pictures flags.jsonl --images pictures --out flags.safetensors
    export KBVQA_PICTURES=flags.safetensors

    An entity is what passages have in their field "entity". ask, web and evaluate take the
    collection that KBVQA_PICTURES names: passages of entities whose pictures resemble the asked
    one come up, and a result shows the pictures. It belongs to the checkpoint that made it. The
    demo's drawings come along with kbvqa-mini; KBVQA_PICTURES=none turns them off. A picture that
    cannot be read is left out and named, with its line. Stopped or killed, the same command goes on
    where it was, less half a minute. From 50,000 pictures on the file has a graph beside it,
    OUT.graph, without which searches take long. docs/guide/pictures.md says when it helps.
    """
    settings = settings_with(None, checkpoint)
    from app.components import open_checkpoint
    from corpus.demo.data import demo_entity_pictures, demo_passages_path
    from corpus.errors import InvalidImage, InvalidRecord
    from corpus.files.passages import passages_sha256
    from corpus.pictures.entities import EntityPicture, read_entity_pictures
    from retriever.encoding.encoder import Encoder
    from retriever.engines.directory import DirectoryLock
    from retriever.errors import IndexUnavailable
    from retriever.pictures.collection import PictureCollection
    from retriever.pictures.fusing import DRAWINGS, Fusion

    if table is None:
        pictures, corpus = demo_entity_pictures(), passages_sha256(demo_passages_path())
    else:
        folder, corpus = images or table.parent, ""
        pictures = read_entity_pictures(table, folder, skip_missing=skip_missing)
    given = {"weight": weight, "floor": floor, "colours": colours}
    for name, value in given.items():
        if value is not None and math.isinf(value):
            raise typer.BadParameter(f"--{name}: a number is needed that is not infinite")
    chosen = {name: value for name, value in given.items() if value is not None}
    fusion = replace(DRAWINGS if table is None else Fusion(), **chosen)
    broken: list[str] = []
    parts = output.with_name(f"{output.name}.parts")

    def left_out(picture: EntityPicture, exc: InvalidImage) -> None:
        named = InvalidRecord(table, picture.line, "image", str(exc)) if table else exc
        broken.append(str(named))

    parts.mkdir(parents=True, exist_ok=True)
    begun = any(parts.glob("*.safetensors"))
    if (lock := DirectoryLock.acquire(parts)) is None:
        raise IndexUnavailable(
            f"another process is making {output}: wait until it has ended, or name another --out"
        )
    with lock, progress() as (say, advance):
        say("Loading the checkpoint")
        encoder = Encoder(open_checkpoint(settings))
        say("Going on where it stopped: encoding pictures" if begun else "Encoding pictures")
        try:
            collection = PictureCollection.build(
                pictures, encoder, fusion, advance, corpus, left_out, parts
            )
        except ValueError as exc:
            if not broken:
                raise
            raise InvalidImage(f"{broken[0]}. None of the pictures can be read") from exc
        say("Writing the collection")
        collection.save(output, advance)
    shutil.rmtree(parts, ignore_errors=True)
    for said in broken:
        out.print(f"[yellow]Left out:[/] {escape(said)}", soft_wrap=True, highlight=False)
    entities = len({entity for _, entity in collection.names})
    out.print(
        f"Pictures: {len(collection.names):,}, of {entities:,} different entities, in {output}. "
        f"Search with them: export KBVQA_PICTURES={output}",
        soft_wrap=True,
        highlight=False,
    )
