"""A tiny real retriever: the golden PreFLMR, an index it made, and a scripted generator."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.components import open_index
from app.indexing import build_index
from app.pipeline import Pipeline
from corpus.passages import write_passages
from corpus.types import Passage
from generator.prompts import Message
from retriever.checkpoint import Checkpoint, load_checkpoint
from retriever.encoder import Encoder
from tests.golden_cases import GOLDEN

PASSAGES = (
    Passage("p:paris", "Paris", "Paris is the capital of France, a city on a river."),
    Passage("p:tower", "Tower", "The tower in Paris was designed by an architect. It is tall."),
    Passage("p:church", "Church", "The old church is in the city. It was built of stone."),
    Passage("p:bird", "Bird", "This bird is a native species of Asia. It is yellow."),
)


class ScriptedGenerator:
    """Answers with the same text; remembers what it was asked."""

    name = "scripted"

    def __init__(self, completion: str) -> None:
        self.completion = completion
        self.asked: list[Sequence[Message]] = []

    def stream(self, messages: Sequence[Message], *, max_tokens: int = 48) -> Iterator[str]:
        self.asked.append(messages)
        for word in self.completion.split(" "):
            yield f" {word}"

    def health(self) -> str:
        return "scripted"


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
    return ScriptedGenerator("Paris [1]")


@pytest.fixture
def pipeline(
    checkpoint: Checkpoint, index_location: Path, generator: ScriptedGenerator
) -> Iterator[Pipeline]:
    with open_index(index_location, checkpoint) as index:
        yield Pipeline(Encoder(checkpoint), index, generator, passages_in_prompt=2)
