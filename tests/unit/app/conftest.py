"""A tiny real retriever: the golden PreFLMR, an index it made, and a scripted generator."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.components import open_index
from app.pipeline import Pipeline
from corpus.files.passages import write_passages
from corpus.types import Passage
from generator.answers.answering import Answering
from generator.answers.confidence import Calibration
from generator.answers.plan import AnswerPlan
from retriever.building.build import build_index
from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.index.passage_index import PassageIndex
from tests.golden_cases import GOLDEN
from tests.scripted import ScriptedGenerator

_TEXTS = (
    Passage(
        "p:paris", "Paris", "Paris is the capital of France, a city on a river.", source="Atlas"
    ),
    Passage(
        "p:tower",
        "Tower",
        "The tower in Paris was designed by an architect. It is tall.",
        source="Atlas",
    ),
    Passage(
        "p:church",
        "Church",
        "The old church is in the city. It was built of stone.",
        source="Atlas",
    ),
    Passage("p:bird", "Bird", "This bird is a native species of Asia. It is yellow."),
)
PASSAGES = tuple(replace(p, source="Zoo" if p.id == "p:bird" else "Atlas") for p in _TEXTS)


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return load_checkpoint(GOLDEN / "B_preflmr")


@pytest.fixture(scope="session")
def passages_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "passages.jsonl"
    write_passages(path, PASSAGES)
    return path


@pytest.fixture(scope="session")
def index_location(
    checkpoint: Checkpoint, passages_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    location = tmp_path_factory.mktemp("index") / "tiny"
    build_index(passages_path, location, checkpoint, lambda done, total: None)
    return location


@pytest.fixture(scope="session")
def index(
    checkpoint: Checkpoint, index_location: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PassageIndex]:
    """The same, open: a copy, as one process at a time has a directory."""
    copy = shutil.copytree(index_location, tmp_path_factory.mktemp("opened") / "tiny")
    with open_index(copy, checkpoint) as index:
        yield index


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))


@pytest.fixture
def pipeline(checkpoint: Checkpoint, index: PassageIndex, generator: ScriptedGenerator) -> Pipeline:
    answering = Answering(generator, AnswerPlan("concat", passages=2), Calibration())
    return Pipeline(Encoder(checkpoint), index, answering)
