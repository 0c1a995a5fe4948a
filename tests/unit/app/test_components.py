"""How settings become components."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from app import components
from app.components import open_answering, open_pictures
from app.settings import MINI, Settings, load_settings
from corpus.demo.data import demo_passages_path
from corpus.files.passages import passages_sha256
from generator.answers.answering import Answering
from generator.answers.plan import Answerer
from generator.errors import StrategyUnavailable
from generator.extractive.reader import ExtractiveReader
from retriever.checkpoint.loading import Checkpoint
from retriever.errors import IndexNotReady
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.parts import compact
from tests.scripted import ScriptedGenerator

MINI_REVISION = "48176b5330b3"


@pytest.fixture(scope="module")
def reader() -> ExtractiveReader:
    return ExtractiveReader.from_pretrained()


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
    reader: ExtractiveReader,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"KBVQA_{name}", value)
    settings = load_settings()
    assert settings.extractive == extractive
    generator: Answerer = reader if extractive else ScriptedGenerator(str)
    answering = open_answering(settings, checkpoint, generator)
    assert (answering.plan.strategy, answering.plan.passages) == (strategy, passages)
    if not {"STRATEGY", "PASSAGES_IN_PROMPT"} & environment.keys():
        assert answering == Answering.usual(generator, checkpoint.revision)


def test_a_strategy_that_the_reader_lacks_is_told_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint, reader: ExtractiveReader
) -> None:
    monkeypatch.setenv("KBVQA_STRATEGY", "concat")
    with pytest.raises(StrategyUnavailable, match="does not answer by 'concat'"):
        open_answering(load_settings(), checkpoint, reader)


def opened(
    settings: Settings, revision: str = MINI_REVISION, corpus: str | None = None
) -> PictureCollection | None:
    """Return the pictures beside an index, the demo's unless another corpus is named."""
    searched = passages_sha256(demo_passages_path()) if corpus is None else corpus
    checkpoint = SimpleNamespace(
        revision=revision, name="x", id=f"x@{revision}", picture_width=4888
    )
    index = SimpleNamespace(fingerprint=SimpleNamespace(corpus_sha256=searched))
    return open_pictures(settings, checkpoint, index)  # type: ignore[arg-type]


def test_the_demo_has_its_drawings_beside_it_unless_that_is_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = opened(Settings())
    assert found is not None and len(found.names) == 2391
    monkeypatch.setenv("KBVQA_PICTURES", "none")
    assert opened(load_settings()) is None


def test_another_corpus_or_checkpoint_has_no_drawings_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(Settings(), corpus="0" * 64) is None
    # It does not even need the file.
    monkeypatch.setattr(components, "PICTURES", tmp_path / "gone.safetensors")
    assert opened(Settings(checkpoint="LinWeizheDragon/PreFLMR_ViT-L"), "f" * 12) is None


def test_a_collection_that_is_named_counts(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    PictureCollection("r", [("a.png", "a")], compact([[1.0, 0.0]]), Fusion()).save(path)
    found = opened(Settings(pictures=path), corpus="0" * 64)
    assert found is not None and found.names == (("a.png", "a"),)
    with pytest.raises(IndexNotReady, match="kbvqa index pictures"):
        opened(Settings(pictures=tmp_path / "gone.safetensors"))


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_drawings_that_did_not_come_along_are_said(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pictures.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(components, "PICTURES", path)
    with pytest.raises(IndexNotReady, match="KBVQA_PICTURES=none, which searches passages alone"):
        opened(Settings())


def test_drawings_of_other_weights_are_refused() -> None:
    with pytest.raises(IndexNotReady, match=f"made with the checkpoint {MINI_REVISION}, not"):
        opened(Settings(checkpoint=MINI), revision="f" * 12)
