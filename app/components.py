"""The composition root: settings in, components out. Nothing else builds a model."""

import logging
import shutil
from pathlib import Path

from app.flow.fits import require_checkpoint, require_pictures, strangers
from app.machine import network, threads
from app.pipeline import Pipeline
from app.reader import Reader
from app.settings import MINI, NO_PICTURES, PREFIX, Settings
from corpus.demo.data import demo_passages_path
from generator.answers.answering import Answering
from generator.answers.confidence import PACKAGED, read_calibration
from generator.answers.plan import Answerer, AnswerPlan, require_strategy, usual_plan
from generator.embedded import EmbeddedReader
from generator.extractive.model import SHIPPED
from generator.server.client import OpenAIGenerator
from retriever.building.build import Advance, Say, build_index
from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.checkpoint.mini import PICTURES
from retriever.encoding.device import best_device
from retriever.encoding.encoder import Encoder
from retriever.encoding.onednn import use_onednn
from retriever.engines.connection import DEFAULT_CONNECTION, QdrantConnection
from retriever.errors import CorpusTooLarge, IndexNotReady, IndexUnavailable
from retriever.index.exact import ExactSearch
from retriever.index.parts import ExactParts
from retriever.index.passage_index import PassageIndex, SearchMode
from retriever.pictures.collection import PictureCollection

# Passages up to which evaluation scores every one without being told to: a question to 300,000 of
# 120 tokens takes seconds on a CPU. Told to it does up to so many that their texts take 4 GB.
EXACT_UP_TO, INSISTED_UP_TO = 300_000, 4_000_000

log = logging.getLogger(__name__)


def open_checkpoint(settings: Settings) -> Checkpoint:
    """Return the checkpoint that the settings name, assembling kbvqa-mini where it is missing."""
    threads.use(threads.choose(settings.threads))
    location = settings.checkpoint
    if location != MINI and not Path(location).is_dir():
        network.prepare()
    return load_checkpoint(location, settings.revision, settings.home / "checkpoints")


def open_generator(settings: Settings) -> Answerer:
    """Return the server's client where a URL is set, else what reads inside this process."""
    if settings.generator_url is None:
        device = best_device().type
        path = Path(settings.reader) if settings.reader is not None else SHIPPED
        if settings.extractive:
            return Reader.from_pretrained(path, device)
        return EmbeddedReader.load(path, device=device, prepare=use_onednn)
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
        StrategyUnavailable: what answers does not have the strategy.
    """
    calibration = read_calibration(settings.calibration or PACKAGED, checkpoint.revision)
    usual = usual_plan(generator)
    style = settings.prompt_style or usual.style
    strategy = settings.strategy or usual.strategy
    require_strategy(generator, strategy)
    plan = AnswerPlan(
        strategy=strategy,
        style=style,
        passages=settings.passages_in_prompt or usual.passages,
        passage_tokens=settings.passage_tokens,
        temperature=calibration.temperature,
        relevant_from=calibration.critic(generator.name, style),
    )
    return Answering(generator, plan, calibration, settings.unsure_below, settings.withhold_below)


def open_index(
    location: Path | str, checkpoint: Checkpoint, connection: QdrantConnection = DEFAULT_CONNECTION
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


def open_set_index(settings: Settings, checkpoint: Checkpoint | None = None) -> PassageIndex:
    """Return the index that the settings name, else the demo's.

    Args:
        settings: say which.
        checkpoint: what is going to search it; None for whatever made it.

    Raises:
        IndexNotReady: it is not finished, or another checkpoint made it. Of the demo's the message
            names `kbvqa setup`: nobody has its passages at hand.
        InvalidSettings: none is named, and the demo's is not there.
    """
    location = settings.searched_index
    try:
        if checkpoint is None:
            return PassageIndex.open(location, connection=settings.connection)
        return open_index(location, checkpoint, settings.connection)
    except IndexNotReady as exc:
        if settings.index is not None:
            raise
        raise IndexNotReady(
            f"the demo's index at {location} is not finished, or of another checkpoint or version: "
            "run `kbvqa setup`, which goes on with it or makes it anew"
        ) from exc


def open_pictures(
    settings: Settings, checkpoint: Checkpoint, index: PassageIndex
) -> PictureCollection | None:
    """Return the pictures of entities that are searched beside an index; None for none.

    Where none are named, the demo's passages have its drawings beside them, which come along with
    kbvqa-mini.

    Raises:
        IndexNotReady: there are none where they should be, or another checkpoint made them.
        IndexUnavailable: what is there is no collection.
    """
    if settings.pictures == NO_PICTURES:
        return None
    if settings.pictures is not None:
        return PictureCollection.open(settings.pictures)
    if settings.checkpoint != MINI:
        return None
    try:
        drawings = PictureCollection.open(PICTURES)
    except (IndexNotReady, IndexUnavailable) as exc:
        raise IndexNotReady(
            f"the drawings that come with {MINI} are not to be had: {exc}. Install kbvqa again, or "
            f"set {PREFIX}PICTURES={NO_PICTURES}, which searches passages alone"
        ) from exc
    require_pictures(drawings, checkpoint)
    return drawings if drawings.corpus == index.fingerprint.corpus_sha256 else None


def open_exact(
    index: PassageIndex, folder: Path, say: Say, *, up_to: int = EXACT_UP_TO
) -> ExactSearch | None:
    """Return the exact search of a corpus that is not too large for it; else None.

    Evaluation takes it: no gold passage is lost to the choice of candidates. The rows are in memory
    where they fit, else in a file.

    Args:
        index: open for searching.
        folder: for that file, which has no name there; made if missing.
        say: told what is being done, and what there is no room for.
        up_to: passages that a corpus may have.
    """
    if index.count > up_to:
        return None
    say("Reading the embeddings")
    try:
        return ExactParts.load(index, [best_device()], folder=folder)
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
    mode: SearchMode = "two-stage",
) -> Pipeline:
    """Return the pipeline with the components that are asked for.

    Args:
        settings: say which.
        say: told what is being loaded.
        retrieval: whether passages are found.
        answer: whether answers are written.
        exact: search every passage of a corpus that is not too large, as evaluation does.
        mode: of searches of many queries at once of one that is; "exact" takes larger ones, too.
    """
    began = threads.read()
    checkpoint = open_checkpoint(settings)
    index = None
    if retrieval:
        index = open_set_index(settings, checkpoint)
    answering = None
    if answer:
        answering = open_answering(settings, checkpoint, open_generator(settings))
    searcher = None
    if exact and index is not None:
        up_to = INSISTED_UP_TO if mode == "exact" else EXACT_UP_TO
        searcher = open_exact(index, settings.home, say, up_to=up_to)
    chosen = threads.choose(settings.threads, began)
    log.info("computing with %s", chosen)
    threads.use(chosen)
    pictures = None if index is None else open_pictures(settings, checkpoint, index)
    if index is not None and pictures is not None and (why := strangers(pictures, index)):
        log.warning("%s", why)
    return Pipeline(
        Encoder(checkpoint),
        index,
        answering,
        max_question_characters=settings.max_question_characters,
        exact=searcher,
        mode=mode,
        candidates=settings.candidates,
        pictures=pictures,
    )


def set_up(settings: Settings, say: Say, advance: Advance) -> None:
    """Build what the demo needs and does not have: checkpoint, index.

    The demo's own index is brought up to date where its corpus is older, and made again where
    its checkpoint is; an index that the user named is never touched.
    """
    say("Checkpoint")
    checkpoint = open_checkpoint(settings)
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
