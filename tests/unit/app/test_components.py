"""How settings become components."""

import pytest

from app.components import open_answering
from app.settings import load_settings
from generator.answers.answering import Answering
from generator.answers.plan import Answerer
from generator.extractive.reader import ExtractiveReader
from retriever.checkpoint.loading import Checkpoint
from tests.scripted import ScriptedGenerator


@pytest.mark.parametrize(
    ("environment", "extractive", "strategy", "passages"),
    [
        ({}, True, "extract", 5),
        ({"READER": "runs/reader/reader.safetensors"}, True, "extract", 5),
        ({"READER": "runs/merged"}, False, "ra-vqa", 3),
        ({"READER": "runs/merged", "STRATEGY": "concat"}, False, "concat", 3),
        ({"GENERATOR_URL": "http://h/v1", "GENERATOR_MODEL": "m"}, False, "ra-vqa", 3),
        ({"PASSAGES_IN_PROMPT": "2"}, True, "extract", 2),
    ],
)
def test_what_answers_decides_the_defaults(
    environment: dict[str, str],
    extractive: bool,
    strategy: str,
    passages: int,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Checkpoint,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"KBVQA_{name}", value)
    settings = load_settings()
    assert settings.extractive == extractive
    generator: Answerer = ScriptedGenerator(str)
    if extractive:
        generator = ExtractiveReader.from_pretrained()
    answering = open_answering(settings, checkpoint, generator)
    assert (answering.plan.strategy, answering.plan.passages) == (strategy, passages)
    if not {"STRATEGY", "PASSAGES_IN_PROMPT"} & environment.keys():
        assert answering == Answering.usual(generator, checkpoint.revision)
