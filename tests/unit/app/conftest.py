"""A tiny real retriever: the golden PreFLMR, an index it made, and a scripted generator."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.answering import Answering
from app.components import open_index
from app.indexing import build_index
from app.pipeline import Pipeline
from corpus.passages import write_passages
from corpus.types import Passage
from generator.confidence import Calibration
from generator.strategies import Plan
from retriever.checkpoint import Checkpoint, load_checkpoint
from retriever.encoder import Encoder
from tests.golden_cases import GOLDEN
from tests.scripted import ScriptedGenerator

PASSAGES = (
    Passage("p:paris", "Paris", "Paris is the capital of France, a city on a river."),
    Passage("p:tower", "Tower", "The tower in Paris was designed by an architect. It is tall."),
    Passage("p:church", "Church", "The old church is in the city. It was built of stone."),
    Passage("p:bird", "Bird", "This bird is a native species of Asia. It is yellow."),
)


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


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))


@pytest.fixture
def pipeline(
    checkpoint: Checkpoint, index_location: Path, generator: ScriptedGenerator
) -> Iterator[Pipeline]:
    with open_index(index_location, checkpoint) as index:
        answering = Answering(generator, Plan("concat", passages=2), Calibration())
        yield Pipeline(Encoder(checkpoint), index, answering)
