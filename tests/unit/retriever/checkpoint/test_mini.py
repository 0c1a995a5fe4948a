from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retriever.checkpoint import mini
from retriever.checkpoint.files import resolve
from retriever.checkpoint.loading import load_checkpoint
from retriever.errors import InvalidCheckpoint


def test_the_trained_part_is_small_and_complete() -> None:
    path = mini.TRAINED_DIRECTORY / mini.TRAINED_NAME
    assert path.stat().st_size < 10_000_000
    tensors = load_file(path)
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert not tensors.keys() & mini.base_weights().keys()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.assemble(tmp_path_factory.mktemp("checkpoints"))


def test_it_assembles_into_an_ordinary_checkpoint(directory: Path) -> None:
    checkpoint = load_checkpoint(directory)
    assert checkpoint.name == "kbvqa-mini"
    assert checkpoint.text_vision is not None
    assert checkpoint.unsure_below is not None and checkpoint.picture_weight == 1.0
    assert checkpoint.image_processor == mini.IMAGE_PROCESSOR
    tokens = checkpoint.query_tokenizer(["What does this animal eat?"])
    rows = checkpoint.model.encode_query(**tokens, pixel_values=torch.zeros(1, 3, 224, 224))
    assert rows.shape == (1, 32 + 8 + 16, 128)


def test_it_is_assembled_once_also_by_its_name(directory: Path) -> None:
    before = (directory / "model.safetensors").stat().st_mtime_ns
    assert mini.assemble(directory.parent.parent) == directory
    assert resolve("kbvqa-mini", assembled=directory.parent.parent) == directory
    assert (directory / "model.safetensors").stat().st_mtime_ns == before


def test_a_missing_package_is_named(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mini, "TEXT_PACKAGE", "not_installed_anywhere")
    with pytest.raises(InvalidCheckpoint, match=r"not_installed_anywhere.*make install"):
        mini.assemble(tmp_path)


def test_another_version_of_a_tower_is_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mini, "VISION_SHA256", "0" * 64)
    with pytest.raises(InvalidCheckpoint, match=r"kbvqa-mini.*another version"):
        mini.assemble(tmp_path)
    assert not list(tmp_path.glob("*/kbvqa-mini"))
