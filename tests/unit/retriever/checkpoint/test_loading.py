import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from retriever.checkpoint.loading import load_checkpoint, save_checkpoint
from retriever.checkpoint.pretrained import FLMRModel
from retriever.checkpoint.weights import save_weights, weight_files
from retriever.errors import CheckpointMismatch, InvalidCheckpoint
from retriever.inputs.text_vision import TextVision
from tests.golden_cases import GOLDEN


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "B_preflmr", tmp_path / "B_preflmr"))


def test_a_saved_checkpoint_loads_again_with_the_same_numbers(
    directory: Path, tmp_path: Path
) -> None:
    settings = {"text_vision": TextVision(0.3, 0.6), "unsure_below": 12.5, "picture_weight": 1.5}
    loaded = replace(load_checkpoint(directory), **settings)
    save_checkpoint(loaded, tmp_path / "again")
    again = load_checkpoint(tmp_path / "again")
    assert {name: getattr(again, name) for name in settings} == settings
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    tokens = loaded.query_tokenizer("describe: what is this bird")
    assert torch.equal(loaded.model.encode_query(**tokens), again.model.encode_query(**tokens))


def test_a_picture_weight_is_saved_without_a_threshold_too(directory: Path, tmp_path: Path) -> None:
    loaded = replace(load_checkpoint(directory), unsure_below=None, picture_weight=1.5)
    save_checkpoint(loaded, tmp_path / "again")
    again = load_checkpoint(tmp_path / "again")
    assert (again.unsure_below, again.picture_weight) == (None, 1.5)


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


# --- names that files have carried, and what is on record for a file ---


def rewrite(directory: Path, rename: Callable[[str], str]) -> None:
    tensors = load_file(directory / "model.safetensors")
    save_file({rename(name): t for name, t in tensors.items()}, directory / "model.safetensors")


def released(name: str, directory: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / name, directory / name))


LIGHTNING = {
    "context_text_encoder.bert_model.": "model.model.bert.",
    "context_text_encoder_linear.": "model.model.linear.",
    "query_text_encoder.bert_model.": "model.query_encoder.",
    "query_text_encoder_linear.": "model.query_linear.",
    "query_vision_encoder.vision_model.": "model.vision_model.",
    "query_vision_projection.": "model.vision_projection_input_linear.",
    "transformer_mapping_input_linear.": "model.vision_projection_input_linear2.",
    "transformer_mapping_output_linear.": "model.vision_projection_linear.",
    "transformer_mapping_network.": "model.vision_projection.",
}


def lightning(name: str) -> str:
    new = next(
        new + name.removeprefix(old) for old, new in LIGHTNING.items() if name.startswith(old)
    )
    return new.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


RENAMES = {
    "lightning": ("B_preflmr", lightning),
    "alias of the text tower": ("B_preflmr", lambda n: n.replace(".bert_model.", ".text_model.")),
    "flat vision tower": (
        "B_preflmr",
        lambda n: n.replace("vision_model.vision_model.", "vision_model."),
    ),
    "shared towers as context_*": ("A_flmr", lambda n: n.replace("query_", "context_", 1)),
}


@pytest.mark.parametrize("case", RENAMES)
def test_older_names_are_understood(case: str, tmp_path: Path) -> None:
    name, rename = RENAMES[case]
    directory = released(name, tmp_path)
    expected = FLMRModel.from_pretrained(directory).state_dict()
    rewrite(directory, rename)
    loaded = FLMRModel.from_pretrained(directory).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in expected.items())


def test_a_colbert_is_a_model_without_pictures(tmp_path: Path) -> None:
    directory = released("A_flmr", tmp_path)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"use_vision_encoder": False}))
    tensors = load_file(directory / "model.safetensors")
    renamed = {
        n.replace("query_text_encoder.bert_model.", "bert.").replace(
            "query_text_encoder_linear.", "linear."
        ): t
        for n, t in tensors.items()
        if "vision" not in n
    }
    # Older files hold a buffer that is no weight.
    renamed["bert.embeddings.position_ids"] = torch.arange(64)[None]
    save_file(renamed, directory / "model.safetensors")
    model = FLMRModel.from_pretrained(directory)
    whole = FLMRModel.from_pretrained(GOLDEN / "A_flmr")
    tokens = model.query_tokenizer("what is this bird")
    text_rows = whole.encode_query(**tokens, concat_vision=False)
    assert torch.equal(model.encode_query(**tokens), text_rows)
    with pytest.raises(ValueError, match="no vision encoder"):
        model.encode_query(**tokens, pixel_values=torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="no vision encoder"):
        model.encode_passage(**tokens, pixel_values=torch.zeros(1, 3, 16, 16))


def test_two_names_of_one_tower_must_agree(tmp_path: Path) -> None:
    directory = released("A_flmr", tmp_path)
    tensors = load_file(directory / "model.safetensors")
    linear = "text_encoder_linear.weight"
    tensors[f"context_{linear}"] = tensors[f"query_{linear}"].clone()
    save_file(tensors, directory / "model.safetensors")
    FLMRModel.from_pretrained(directory)
    tensors[f"context_{linear}"] += 1
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(InvalidCheckpoint, match=r"another name of.*separate"):
        FLMRModel.from_pretrained(directory)


@pytest.mark.parametrize("name", ["A_flmr", "B_preflmr"])
def test_what_is_saved_is_laid_out_as_released(name: str, tmp_path: Path) -> None:
    FLMRModel.from_pretrained(GOLDEN / name).save_pretrained(tmp_path)
    ours = json.loads((tmp_path / "config.json").read_text())
    theirs = json.loads((GOLDEN / name / "config.json").read_text())
    ignored = {"_attn_implementation_autoset", "load_cpu_extension", "transformers_version"}
    for field in theirs.keys() - ignored:
        assert ours.get(field) == theirs[field], field
    shapes = {k: list(t.shape) for k, t in load_file(tmp_path / "model.safetensors").items()}
    assert shapes == {
        key: list(t.shape) for key, t in load_file(GOLDEN / name / "model.safetensors").items()
    }
    for part in ("query_tokenizer", "context_tokenizer"):
        for file in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
            assert (tmp_path / part / file).exists()


def test_large_models_are_saved_in_shards(directory: Path, tmp_path: Path) -> None:
    model = FLMRModel.from_pretrained(directory)
    model.save_pretrained(tmp_path / "again")
    (tmp_path / "again" / "model.safetensors").unlink()
    save_weights(model, tmp_path / "again", shard_bytes=100_000)
    assert len(weight_files(tmp_path / "again")) > 3
    again = FLMRModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())
    weight_files(tmp_path / "again")[1].unlink()
    with pytest.raises(InvalidCheckpoint, match=r"model-00002-of-.*missing"):
        FLMRModel.from_pretrained(tmp_path / "again")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_with_another_hash_than_on_record_is_refused(directory: Path) -> None:
    weights = directory / "model.safetensors"
    (directory / "SHA256SUMS").write_text(f"{sha256(weights)}  model.safetensors\n")
    FLMRModel.from_pretrained(directory)
    tensors = load_file(weights)
    tensors["transformer_mapping_output_linear.bias"] += 1
    save_file(tensors, weights)
    with pytest.raises(
        InvalidCheckpoint, match=r"model\.safetensors: its sha256 .* fetch it again"
    ):
        FLMRModel.from_pretrained(directory)


def test_the_hubs_own_records_are_checked(directory: Path) -> None:
    weights = directory / "model.safetensors"
    record = directory / ".cache/huggingface/download/model.safetensors.metadata"
    record.parent.mkdir(parents=True)
    record.write_text(f"{'c' * 40}\n{'0' * 64}\n1.0\n")
    with pytest.raises(InvalidCheckpoint, match="sha256"):
        FLMRModel.from_pretrained(directory)
    record.unlink()
    blob = weights.rename(directory / ("0" * 64))
    weights.symlink_to(blob)
    with pytest.raises(InvalidCheckpoint, match="sha256"):
        FLMRModel.from_pretrained(directory)
    weights.unlink()
    weights.symlink_to(blob.rename(directory / sha256(blob)))
    FLMRModel.from_pretrained(directory)


@pytest.mark.parametrize(
    ("text_config", "message"),
    [
        ({"text_encoder_base_model": "BAAI/bge-m3"}, "not supported: only .* BERT"),
        ({"model_type": "xlm-roberta"}, "not supported"),
        ({"projection_dim": 64}, "projection_dim is 64"),
    ],
)
def test_text_towers_that_are_not_bert_are_refused(
    text_config: dict, message: str, directory: Path
) -> None:
    config = json.loads((directory / "config.json").read_text())
    config["text_config"] |= text_config
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidCheckpoint, match=message):
        FLMRModel.from_pretrained(directory)


def test_a_mapping_base_that_is_not_there_is_named(directory: Path) -> None:
    shutil.rmtree(directory / "tiny-bert")
    with pytest.raises(InvalidCheckpoint, match=r"transformer_mapping_config_base.*tiny-bert"):
        FLMRModel.from_pretrained(directory)


def test_a_broken_shard_index_is_named(directory: Path) -> None:
    (directory / "model.safetensors.index.json").write_text('{"metadata": {}}')
    with pytest.raises(InvalidCheckpoint, match="weight_map"):
        FLMRModel.from_pretrained(directory)


def test_without_hub_a_repository_id_is_an_error_with_advice(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidCheckpoint, match="the hub did not give it"):
        FLMRModel.from_pretrained("LinWeizheDragon/PreFLMR_ViT-B", revision="main")
