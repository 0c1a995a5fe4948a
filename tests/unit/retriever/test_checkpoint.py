import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from retriever.checkpoint import load_checkpoint, save_checkpoint
from retriever.errors import CheckpointMismatch, InvalidCheckpoint
from retriever.text_vision import TextVision
from tests.golden_cases import GOLDEN


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "B_preflmr", tmp_path / "B_preflmr"))


def test_a_saved_checkpoint_loads_again_with_the_same_numbers(
    directory: Path, tmp_path: Path
) -> None:
    loaded = replace(
        load_checkpoint(directory), text_vision=TextVision(0.3, 0.6), unsure_below=12.5
    )
    save_checkpoint(loaded, tmp_path / "again")
    again = load_checkpoint(tmp_path / "again")
    assert (again.text_vision, again.unsure_below) == (TextVision(0.3, 0.6), 12.5)
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    tokens = loaded.query_tokenizer("describe: what is this bird")
    assert torch.equal(loaded.model.encode_query(**tokens), again.model.encode_query(**tokens))


def test_shards_are_joined(directory: Path) -> None:
    whole = load_checkpoint(directory).model.state_dict()
    tensors = load_file(directory / "model.safetensors")
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in halves.items():
        save_file({key: tensors[key] for key in keys}, directory / file)
    index = {"weight_map": {key: file for file, keys in halves.items() for key in keys}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "model.safetensors").unlink()
    joined = load_checkpoint(directory).model.state_dict()
    assert all(torch.equal(tensor, joined[name]) for name, tensor in whole.items())


def test_the_revision_changes_with_the_weights(directory: Path) -> None:
    before = load_checkpoint(directory).revision
    tensors = load_file(directory / "model.safetensors")
    tensors["transformer_mapping_output_linear.bias"] += 1
    save_file(tensors, directory / "model.safetensors")
    assert load_checkpoint(directory).revision != before


def test_every_missing_and_unexpected_weight_is_listed(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["surplus"] = tensors.pop("transformer_mapping_output_linear.bias")
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(CheckpointMismatch) as caught:
        load_checkpoint(directory)
    assert caught.value.missing == ("transformer_mapping_output_linear.bias",)
    assert caught.value.unexpected == ("surplus",)


def test_nan_weights_are_named(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["transformer_mapping_output_linear.bias"][0] = float("nan")
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(InvalidCheckpoint, match=r"transformer_mapping_output_linear\.bias.*NaN"):
        load_checkpoint(directory)


def test_half_a_download_is_named(directory: Path) -> None:
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InvalidCheckpoint, match=r"model\.safetensors.*fetch the file again"):
        load_checkpoint(directory)


def test_pickled_weights_are_refused_with_the_reason(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InvalidCheckpoint, match="can run code"):
        load_checkpoint(directory)


def test_another_architecture_is_named(directory: Path) -> None:
    (directory / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InvalidCheckpoint, match="model_type is 'bert', not 'flmr'"):
        load_checkpoint(directory)


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="not a checkpoint directory"):
        load_checkpoint(tmp_path / "nothing")
