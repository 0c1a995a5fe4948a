"""Checkpoints of given towers: drawn ones, published ones, and another checkpoint's."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel

from retriever.checkpoint.loading import load_checkpoint, save_checkpoint
from retriever.checkpoint.mini import base_vocabulary
from retriever.errors import InvalidCheckpoint
from retriever.inputs.tokenization import PUNCTUATION
from retriever.training.study.towers import new_checkpoint, require_tower

TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", "tower", "river")


def state(module: torch.nn.Module, part: str) -> dict[str, torch.Tensor]:
    begin = f"{part}."
    return {n: t for n, t in module.state_dict().items() if n.startswith(begin)}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT as published: config, weights, words."""
    directory = tmp_path_factory.mktemp("bert")
    vocab = [*TOKENS, *PUNCTUATION]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(1)
    config = BertConfig(vocab_size=len(vocab), intermediate_size=48, **sizes)
    BertModel(config).save_pretrained(directory)
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in vocab))
    return directory


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP as published; its text side is not wanted."""
    directory = tmp_path_factory.mktemp("clip")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(2)
    seen = {**sizes, "intermediate_size": 64, "image_size": 16, "patch_size": 8}
    read = {**sizes, "intermediate_size": 64, "vocab_size": 50}
    CLIPModel(CLIPConfig(vision_config=seen, text_config=read)).save_pretrained(directory)
    return directory


def test_a_tower_is_the_same_whatever_stands_beside_it(tmp_path: Path) -> None:
    first = new_checkpoint("a", "random:32x1", "random:16x1", 1, prefix=2)
    other = new_checkpoint("b", "random:32x1", "random:32x2", 2, prefix=2)
    again = new_checkpoint("a", "random:32x1", "random:16x1", 1, prefix=2)
    seeded = new_checkpoint("a", "random:32x1", "random:16x1", 1, prefix=2, seed=1)
    part = "query_vision_encoder"
    assert equal(state(first.model, part), state(other.model, part))
    assert not equal(state(first.model, part), state(seeded.model, part))
    assert equal(first.model.state_dict(), again.model.state_dict())
    # It is a checkpoint as any other.
    save_checkpoint(first, tmp_path)
    assert equal(load_checkpoint(tmp_path).model.state_dict(), first.model.state_dict())


def test_making_one_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    new_checkpoint("a", "random:16x1", "random:16x1", 0, prefix=2)
    assert torch.equal(torch.rand(3), expected)


def test_without_mapping_layers_there_is_the_prefix_alone() -> None:
    made = new_checkpoint("a", "random:16x1", "random:16x1", 0, prefix=2)
    assert hasattr(made.model, "query_vision_projection")
    assert not hasattr(made.model, "transformer_mapping_network")


def test_published_towers_see_and_read_as_they_were_published(bert: Path, clip: Path) -> None:
    made = new_checkpoint("a", str(clip), str(bert), 1, prefix=2)
    ids = made.passage_tokenizer.encode(["tower river"])
    assert ids == [[2, 6, 7, 8, 3]]  # [CLS], the marker, both words, [SEP]
    tokens = torch.tensor(ids)
    expected = BertModel.from_pretrained(bert).eval()(tokens).last_hidden_state
    for side in (made.model.query_text_encoder, made.model.context_text_encoder):
        torch.testing.assert_close(side(tokens, None), expected)
    pixels = torch.rand(1, 3, 16, 16)
    whole = CLIPModel.from_pretrained(clip).eval().vision_model
    output = whole(pixel_values=pixels, output_hidden_states=True)
    seen = made.model.query_vision_encoder(pixels)
    torch.testing.assert_close(seen.pooled_BV, output.last_hidden_state[:, 0])
    torch.testing.assert_close(seen.patches_BNW, output.hidden_states[-2][:, 1:])
    assert made.image_processor.size == (16, 16)


def test_a_checkpoint_lends_its_towers() -> None:
    made = new_checkpoint("a", "kbvqa-mini", "kbvqa-mini", 1, prefix=2)
    mini = load_checkpoint("kbvqa-mini")
    for part in ("query_vision_encoder", "query_text_encoder", "context_text_encoder"):
        assert equal(state(made.model, part), state(mini.model, part))
    assert made.image_processor == mini.image_processor
    assert made.query_tokenizer.vocab == base_vocabulary()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("vision", "random:20x2", "a multiple of 16 wide"),
        ("text", "random:32", "give width and layers"),
        ("text", "no-such-tower", "not a checkpoint directory"),
    ],
)
def test_a_tower_that_cannot_be_is_named(kind: str, name: str, said: str) -> None:
    with pytest.raises(InvalidCheckpoint, match=said):
        require_tower(kind, name)  # type: ignore[arg-type]


def test_a_tower_of_the_other_kind_is_named(bert: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="a 'bert' is no vision tower"):
        require_tower("vision", str(bert))
    with pytest.raises(InvalidCheckpoint, match="a 'clip' is no text tower"):
        require_tower("text", str(clip))
    with pytest.raises(InvalidCheckpoint, match=r"config\.json: no model_type"):
        require_tower("text", str(tmp_path))


def test_weights_that_are_missing_are_not_drawn_instead(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    with pytest.raises(InvalidCheckpoint, match=r"its weights cannot be read"):
        new_checkpoint("a", "random:16x1", str(tmp_path), 1, prefix=2)
    tensors = load_file(bert / "model.safetensors")
    name = next(n for n in tensors if "layer.1" in n)
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=rf"1 weights are missing in .*, such as {name}"):
        new_checkpoint("a", "random:16x1", str(tmp_path), 1, prefix=2)
