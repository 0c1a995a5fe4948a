"""The composition root: settings in, components out. Nothing else builds a model."""

import shutil
from pathlib import Path

from app import network
from app.answering import Answering
from app.indexing import Advance, Say, build_index
from app.pipeline import Pipeline, require_checkpoint
from app.settings import MINI, Settings
from corpus.demo import demo_passages_path
from generator.client import OpenAIGenerator
from generator.confidence import PACKAGED, read_calibration
from generator.extractive.model import SHIPPED
from generator.extractive.reader import ExtractiveReader
from generator.reader import EmbeddedReader
from generator.strategies import Answerer, Plan, usual_plan
from generator.weights import prepare_reader
from retriever.checkpoint import Checkpoint, load_checkpoint
from retriever.encoder import Encoder, best_device
from retriever.errors import CorpusTooLarge, IndexNotReady
from retriever.exact import ExactSearcher
from retriever.index import PassageIndex
from retriever.index_settings import DEFAULT_CONNECTION, Connection
from retriever.mini import assemble
from retriever.onednn import use_onednn

SMOLLM2 = "smollm2"
# Passages up to which evaluation scores every one: 300,000 of 120 tokens take 9 GB as float16.
EXACT_UP_TO = 300_000


def open_checkpoint(settings: Settings) -> Checkpoint:
    """Return the checkpoint that the settings name, assembling kbvqa-mini where it is missing."""
    location: Path | str = settings.checkpoint
    if location == MINI:
        location = assemble(settings.home / "checkpoints")
    elif not Path(location).is_dir():
        network.prepare()
    return load_checkpoint(location, settings.revision)


def open_generator(settings: Settings, say: Say) -> Answerer:
    """Return the server's client where a URL is set, else what reads inside this process."""
    if settings.generator_url is None:
        device = best_device().type
        if settings.extractive:
            path = Path(settings.reader) if settings.reader is not None else SHIPPED
            return ExtractiveReader.from_pretrained(path, device, use_onednn)
        if settings.reader not in (None, SMOLLM2):
            name = str(settings.reader)
            return EmbeddedReader.load(Path(name), device=device, prepare=use_onednn, name=name)
        directory = prepare_reader(settings.home / "readers", progress=say)
        return EmbeddedReader.load(directory, device=device, prepare=use_onednn)
    key = settings.generator_api_key
    return OpenAIGenerator(
        settings.generator_url,
        settings.generator_model or "",
        api_key=key.get_secret_value() if key else None,
        api=settings.generator_api,
        timeout_s=settings.generator_timeout_seconds,
        retries=settings.generator_retries,
        concurrency=settings.generator_concurrency,
        image_pixels=settings.generator_image_pixels,
        max_tokens=settings.generator_max_tokens,
        extra_body=settings.generator_extra_body,
        proxy=network.proxy_for(settings.generator_url),
    )


def open_answering(settings: Settings, checkpoint: Checkpoint, generator: Answerer) -> Answering:
    """Return how questions are answered: the strategy, and what was calibrated for it.

    Raises:
        InvalidCalibration: the file that the settings name is not one.
    """
    calibration = read_calibration(settings.calibration or PACKAGED, checkpoint.revision)
    usual = usual_plan(generator)
    style = settings.prompt_style or usual.style
    plan = Plan(
        strategy=settings.strategy or usual.strategy,
        style=style,
        passages=settings.passages_in_prompt or usual.passages,
        passage_tokens=settings.passage_tokens,
        temperature=calibration.temperature,
        relevant_from=calibration.critic(generator.name, style),
    )
    return Answering(generator, plan, calibration, settings.unsure_below, settings.withhold_below)


def open_index(
    location: Path | str, checkpoint: Checkpoint, connection: Connection = DEFAULT_CONNECTION
) -> PassageIndex:
    """Return the finished index at a location.

    Raises:
        IndexNotReady: there is none, or another checkpoint made it.
    """
    index = PassageIndex.open(location, connection=connection)
    try:
        require_checkpoint(index, checkpoint)
    except IndexNotReady:
        index.close()
        raise
    return index


def open_exact(index: PassageIndex, say: Say) -> ExactSearcher | None:
    """Return the corpus in memory, where it is small enough to fit; else None.

    Evaluation searches it: no gold passage is lost to the choice of candidates.
    """
    if index.count > EXACT_UP_TO:
        return None
    say("Reading the embeddings into memory")
    try:
        return ExactSearcher.load(index, best_device())
    except CorpusTooLarge as exc:
        say(f"Searching the index: {exc}")
        return None


def open_pipeline(
    settings: Settings,
    say: Say,
    *,
    retrieval: bool = True,
    answer: bool = True,
    exact: bool = False,
) -> Pipeline:
    """Return the pipeline with the components that are asked for.

    Args:
        settings: say which.
        say: told what is being loaded.
        retrieval: whether passages are found.
        answer: whether answers are written.
        exact: search every passage in memory where the corpus fits, as evaluation does.
    """
    checkpoint = open_checkpoint(settings)
    index = None
    if retrieval:
        index = open_index(settings.searched_index, checkpoint, settings.connection)
    answering = None
    if answer:
        answering = open_answering(settings, checkpoint, open_generator(settings, say))
    return Pipeline(
        Encoder(checkpoint),
        index,
        answering,
        max_question_characters=settings.max_question_characters,
        exact=open_exact(index, say) if exact and index is not None else None,
        candidates=settings.candidates,
    )


def set_up(settings: Settings, say: Say, advance: Advance) -> None:
    """Build what the demo needs and does not have: checkpoint, reader, index.

    The demo's own index is brought up to date where its corpus is older, and made again where
    its checkpoint is; an index that the user named is never touched.
    """
    say("Checkpoint")
    checkpoint = open_checkpoint(settings)
    if settings.generator_url is None and settings.reader == SMOLLM2:
        say("Reader")
        prepare_reader(settings.home / "readers", progress=say)
    location = settings.index_location
    if settings.index is not None:
        open_index(location, checkpoint, settings.connection).close()
        return
    say("Index of the demo corpus")
    try:
        build_index(demo_passages_path(), location, checkpoint, advance, say=say, prune=True)
    except IndexNotReady:
        say("The index is of another checkpoint or version: making it again")
        shutil.rmtree(location)
        build_index(demo_passages_path(), location, checkpoint, advance, say=say)
