"""The composition root: settings in, components out. Nothing else builds a model."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from app.pipeline import Pipeline
from app.settings import MINI, Settings
from corpus.demo import demo_passages_path
from corpus.passages import passages_sha256, read_passages
from corpus.types import Passage
from generator.client import OpenAIGenerator
from generator.interface import Generator
from generator.reader import EmbeddedReader, prepare_reader
from retriever.checkpoint import Checkpoint, load_checkpoint
from retriever.encoder import Encoder, best_device
from retriever.errors import IndexNotReady
from retriever.index import Fingerprint, PassageIndex
from retriever.mini import assemble

Say = Callable[[str], None]
Advance = Callable[[int, int], None]


def open_checkpoint(settings: Settings) -> Checkpoint:
    """Return the checkpoint that the settings name, assembling kbvqa-mini where it is missing."""
    location: Path | str = settings.checkpoint
    if location == MINI:
        location = assemble(settings.home / "checkpoints")
    return load_checkpoint(location, settings.revision)


def open_generator(settings: Settings, say: Say) -> Generator:
    """Return the server's client where a URL is set, else the embedded reader."""
    if settings.generator_url is None:
        directory = prepare_reader(settings.home / "readers", progress=say)
        return EmbeddedReader.load(directory, device=best_device().type)
    key = settings.generator_api_key
    return OpenAIGenerator(
        settings.generator_url,
        settings.generator_model or "",
        api_key=key.get_secret_value() if key else None,
        api=settings.generator_api,
        timeout_s=settings.generator_timeout_seconds,
    )


def open_index(location: Path, checkpoint: Checkpoint) -> PassageIndex:
    """Return the finished index at a location.

    Raises:
        IndexNotReady: there is none, or another checkpoint made it.
    """
    index = PassageIndex.open(location)
    made_with = index.fingerprint
    if made_with.checkpoint_sha256 != checkpoint.revision:
        index.close()
        raise IndexNotReady(
            f"the index at {location} was made with the checkpoint "
            f"{made_with.checkpoint}@{made_with.checkpoint_sha256}, not {checkpoint.id}. Give the "
            "first with --checkpoint, or build another index: "
            "`kbvqa index build PASSAGES.jsonl --index ANOTHER_DIRECTORY`"
        )
    return index


def open_pipeline(
    settings: Settings, say: Say, *, retrieval: bool = True, answer: bool = True
) -> Pipeline:
    """Return the pipeline with the components that are asked for."""
    checkpoint = open_checkpoint(settings)
    index = open_index(settings.index_location, checkpoint) if retrieval else None
    return Pipeline(
        Encoder(checkpoint),
        index,
        open_generator(settings, say) if answer else None,
        passages_in_prompt=settings.passages_in_prompt,
        max_question_characters=settings.max_question_characters,
    )


def fingerprint(checkpoint: Checkpoint, passages: Path) -> Fingerprint:
    """Return what an index of a passages file made with a checkpoint is made from.

    Reads the whole file once, so a broken line is found before anything is encoded.
    """
    count = sum(1 for _ in read_passages(passages))
    return Fingerprint(
        checkpoint=checkpoint.name,
        checkpoint_sha256=checkpoint.revision,
        corpus=passages.name.removesuffix(".gz").removesuffix(".jsonl"),
        corpus_sha256=passages_sha256(passages),
        passages=count,
        dim=checkpoint.model.config.dim,
        max_passage_tokens=checkpoint.passage_tokenizer.max_length,
    )


def build_index(
    passages: Path, location: Path, checkpoint: Checkpoint, advance: Advance
) -> Fingerprint:
    """Index a passages file, going on where an earlier run stopped.

    Args:
        passages: a .jsonl or .jsonl.gz file.
        location: the index directory; made if missing.
        checkpoint: what embeds the passages.
        advance: told how many passages are in the index, and of how many.
    """
    made_from = fingerprint(checkpoint, passages)
    encoder = Encoder(checkpoint)
    with PassageIndex.create_or_resume(location, made_from) as index:
        if not index.complete:
            present = index.passage_ids()
            done = len(present)
            advance(done, made_from.passages)
            missing: Iterator[Passage] = (p for p in read_passages(passages) if p.id not in present)
            for batch, embeddings in encoder.encode_passages(missing):
                index.upsert(batch, embeddings)
                done += len(batch)
                advance(done, made_from.passages)
            index.finish()
    return made_from


def set_up(settings: Settings, say: Say, advance: Advance) -> None:
    """Build what the demo needs and does not have: checkpoint, reader, index.

    The demo's own index is replaced where it was made with an older checkpoint or
    corpus; an index that the user named is never touched.
    """
    say("Checkpoint")
    checkpoint = open_checkpoint(settings)
    if settings.generator_url is None:
        say("Reader")
        prepare_reader(settings.home / "readers", progress=say)
    location = settings.index_location
    if settings.index is not None:
        open_index(location, checkpoint).close()
        return
    say("Index of the demo corpus")
    try:
        build_index(demo_passages_path(), location, checkpoint, advance)
    except IndexNotReady:
        say("The index is of another checkpoint or corpus: making it again")
        shutil.rmtree(location)
        build_index(demo_passages_path(), location, checkpoint, advance)
