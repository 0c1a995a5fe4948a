"""A model of the family that no fixture holds, against a second implementation.

Two mapping layers, separate vision towers, GELU in CLIP, ReLU in the mapping network, a
cross-attention longer than the query: what the config says is what is built.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from retriever.checkpoint.loading import load_checkpoint
from retriever.checkpoint.pretrained import FLMRModel
from retriever.inputs.images import ImageProcessor
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig
from tests import plain_flmr
from tests.golden_cases import GOLDEN, golden_image, golden_json

BASE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 7,  # the config's own depth counts, not the base's
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "hidden_act": "relu",
}
CONFIG: dict[str, Any] = {
    "dim": 24,
    "mapping_network_prefix_length": 6,
    "separate_query_and_context_text_encoder": True,
    "separate_query_and_context_vision_encoder": True,
    "use_transformer_mapping_network": True,
    "transformer_mapping_config_base": "tiny-base",
    "transformer_mapping_num_hidden_layers": 2,
    "transformer_mapping_cross_attention_length": 99,
    "mask_instruction_token": ":",
    "text_config": {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "vocab_size": 220,
        "max_position_embeddings": 64,
    },
    "vision_config": {
        "hidden_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "intermediate_size": 56,
        "image_size": 20,
        "patch_size": 5,
        "hidden_act": "gelu",
    },
    "mapping_base_config": BASE,
}
TEXTS = ["describe this: what is this bird", "no separator here", "a: b: c"]


@pytest.fixture(scope="module")
def model() -> FLMRModel:
    vocab = {t: i for i, t in enumerate((GOLDEN / "vocab.txt").read_text("utf-8").splitlines())}
    torch.manual_seed(5)
    built = FLMRModel(FLMRConfig(**CONFIG), QueryTokenizer(vocab, 20), PassageTokenizer(vocab, 40))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_(std=0.3)
    return built.eval()


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 20, 20, generator=torch.Generator().manual_seed(1))


def test_queries_are_the_second_implementations(model: FLMRModel, pixels: torch.Tensor) -> None:
    tokens = model.query_tokenizer(TEXTS)
    with torch.inference_mode():
        rows = model.encode_query(**tokens, pixel_values=pixels)
        separator = model.query_tokenizer.vocab[":"]
        plain = plain_flmr.query(model.state_dict(), CONFIG, tokens, pixels, separator)
    assert rows.shape == (3, 20 + 6 + 16, 24)
    torch.testing.assert_close(rows, plain, atol=1e-5, rtol=0)


def test_passages_are_the_second_implementations(model: FLMRModel, pixels: torch.Tensor) -> None:
    tokens = model.passage_tokenizer(["Paris is the capital of France.", "...", "a (bird): tall!"])
    with torch.inference_mode():
        rows, mask = model.encode_passage(**tokens, pixel_values=pixels)
        punctuation = set(model.passage_tokenizer.punctuation_ids)
        expected = plain_flmr.passage_with_picture(
            model.state_dict(), CONFIG, tokens, pixels, punctuation
        )
    assert torch.equal(mask, expected[1])
    torch.testing.assert_close(rows, expected[0], atol=1e-5, rtol=0)


def test_it_is_saved_and_loaded_with_its_base(model: FLMRModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = FLMRModel.from_pretrained(tmp_path)
    assert again.config == model.config
    # Buffers are in no file: loading makes them anew.
    for ours, theirs in (
        (model.named_parameters(), dict(again.named_parameters())),
        (model.named_buffers(), dict(again.named_buffers())),
    ):
        for name, tensor in ours:
            assert torch.equal(tensor, theirs.pop(name)), name
        assert not theirs
    tokens = model.query_tokenizer(TEXTS)
    with torch.inference_mode():
        text = model.encode_query(**tokens), again.encode_query(**tokens)
    assert torch.equal(*text)


def test_the_second_implementation_is_right_about_the_released_one() -> None:
    """The oracle itself, on the fixture that the public implementation made."""
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    expected = load_file(GOLDEN / "B_preflmr" / "tensors.safetensors")
    case = golden_json("B_preflmr/cases.json")["query"][0]
    config = checkpoint.model.config
    pixels = ImageProcessor(size=(16, 16), shortest_edge=16)(
        [golden_image(name) for name in case["images"]]
    )
    settings = {
        "dim": config.dim,
        "text_config": config.text_config,
        "vision_config": asdict(config.clip_vision_config()),
        "transformer_mapping_cross_attention_length": 16,
        "transformer_mapping_num_hidden_layers": 1,
        "mapping_base_config": asdict(config.mapping_config()),
    }
    plain = plain_flmr.query(
        checkpoint.model.state_dict(),
        settings,
        checkpoint.query_tokenizer(case["texts"]),
        pixels,
        checkpoint.query_tokenizer.vocab[":"],
    )
    torch.testing.assert_close(plain, expected["query.multi.late"], atol=1e-5, rtol=0)
