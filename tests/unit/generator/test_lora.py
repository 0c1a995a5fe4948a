"""The recipe on tiny models: it trains what it should, and what it trains gets better."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from PIL import Image
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from generator.training.lora import (
    ReadExample,
    Recipe,
    add_adapters,
    okvqa_flmr,
    okvqa_preflmr,
    target_logits,
    train,
)
from generator.training.losses import IGNORED
from tests.unit.generator.test_reader import byte_tokenizer, tiny_model

EXAMPLES = [
    ReadExample("capital?", ("Paris",), ("Capital: Paris.", "A river."), (3.0, 1.0)),
    ReadExample("food?", ("worms", "snails", "worms"), ("It eats snails.", "Sky."), (2.0, 1.0)),
]
RECIPE = Recipe(epochs=20, accumulate=2, learning_rate=5e-2, dropout=0.0, passages=2, drawn=2)


def tiny_t5() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=257, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


@pytest.mark.parametrize("make", [tiny_model, tiny_t5])
def test_a_few_steps_lower_the_loss_and_touch_the_adapters_alone(make, tmp_path: Path) -> None:
    before = make().state_dict()
    model = add_adapters(make(), RECIPE)
    history = train(model, byte_tokenizer(), EXAMPLES, RECIPE, tmp_path, validation=EXAMPLES)
    assert history[-1]["train"] < history[0]["train"] - 0.2
    assert history[-1]["validation"] < history[0]["validation"]
    frozen = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in model.state_dict().items()
        if "lora_" not in name
    }
    assert frozen.keys() == before.keys()
    assert all(torch.equal(frozen[name], value) for name, value in before.items())
    loaded = PeftModel.from_pretrained(make(), tmp_path)
    moved = [v for n, v in loaded.state_dict().items() if "lora_B" in n and v.abs().sum() > 0]
    assert moved
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["recipe"]["rank"] == 8
    assert record["history"] == history


@pytest.mark.parametrize("make", [tiny_model, tiny_t5])
def test_the_logits_are_those_that_predict_the_targets(make) -> None:
    """Against each row alone, without padding."""
    model, tokenizer = make().eval(), byte_tokenizer()
    targets = ["Paris", "a river"]
    with torch.no_grad():
        logits, target = target_logits(model, tokenizer, EXAMPLES[0], targets, Recipe())
        for row, passage in enumerate(EXAMPLES[0].passages):
            alone = replace(EXAMPLES[0], passages=(passage,), scores=(1.0,))
            expected, ids = target_logits(model, tokenizer, alone, [targets[row]], Recipe())
            assert torch.equal(target[row][target[row] != IGNORED], ids[0])
            got = logits[row, : ids.shape[1]]
            assert torch.allclose(got, expected[0], atol=1e-4)


def test_a_long_passage_is_cut_and_the_question_kept() -> None:
    long = replace(EXAMPLES[0], passages=("word " * 500,), scores=(1.0,))
    seen: list[int] = []

    class Spy:
        config = tiny_model().config

        def parameters(self):
            yield torch.zeros(1)

        def __call__(self, input_ids, attention_mask):
            seen.append(int(attention_mask.sum()))
            text = byte_tokenizer().decode(input_ids[0])
            assert text.startswith("Question: capital? Knowledge: word")
            assert "Answer: Paris" in text
            return type("Output", (), {"logits": torch.zeros(*input_ids.shape, 257)})

    target_logits(Spy(), byte_tokenizer(), long, ["Paris"], Recipe(max_source_tokens=100))
    assert 60 < seen[0] <= 100 + 10 + 1


def test_all_losses_can_be_weighed_in(tmp_path: Path) -> None:
    recipe = replace(RECIPE, marginal=0.5, retrieval=0.5, epochs=1)
    [epoch] = train(
        add_adapters(tiny_model(), recipe), byte_tokenizer(), EXAMPLES, recipe, tmp_path
    )
    assert epoch["train"] > 0


def test_it_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    recipe = replace(RECIPE, learning_rate=0.0, epochs=10, patience=2)
    model = add_adapters(tiny_model(), recipe)
    assert len(train(model, byte_tokenizer(), EXAMPLES, recipe, tmp_path, EXAMPLES)) == 3


def test_the_recipes_are_the_papers() -> None:
    flmr, preflmr = okvqa_flmr(), okvqa_preflmr()
    assert (flmr.rank, flmr.alpha, flmr.dropout, flmr.learning_rate) == (8, 32, 0.1, 1e-4)
    assert (flmr.accumulate, flmr.passages, flmr.drawn, flmr.patience) == (16, 5, 5, 5)
    assert (flmr.max_source_tokens, flmr.max_target_tokens) == (512, 10)
    assert (flmr.nll, flmr.marginal, flmr.retrieval) == (1, 0, 0)
    assert preflmr.drawn == 3


class PictureProcessor:
    """Four picture tokens for a picture, as LLaVA's processor writes them."""

    image_token = "<image>"

    def __init__(self) -> None:
        self.tokenizer = byte_tokenizer()

    def __call__(self, images, text):
        ids = self.tokenizer.encode(text.removeprefix(self.image_token), add_special_tokens=False)
        return {"input_ids": [[256] * 4 + ids]}

    def image_processor(self, images, return_tensors):
        pixels = [torch.full((3, 28, 28), image.getpixel((0, 0))[0] / 255) for image in images]
        return {"pixel_values": torch.stack(pixels)}


def test_a_model_that_sees_is_given_the_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=tiny_model().config, image_token_index=256
    )
    model = LlavaForConditionalGeneration(config).eval()
    red = replace(EXAMPLES[0], image=Image.new("RGB", (28, 28), "red"))
    black = replace(EXAMPLES[0], image=Image.new("RGB", (28, 28), "black"))
    with torch.no_grad():
        first, _ = target_logits(model, PictureProcessor(), red, ["Paris"] * 2, RECIPE)
        other, _ = target_logits(model, PictureProcessor(), black, ["Paris"] * 2, RECIPE)
    assert not torch.allclose(first, other)
    recipe = replace(RECIPE, epochs=4)
    adapted = add_adapters(model, recipe)
    history = train(adapted, PictureProcessor(), [red], recipe, tmp_path)
    assert history[-1]["train"] < history[0]["train"]
