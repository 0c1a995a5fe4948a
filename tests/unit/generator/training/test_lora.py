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

from corpus.types import Passage, Query
from generator.errors import TrainingMismatch, TrainingStopped
from generator.prompts import single
from generator.training import lora
from generator.training.lora import train
from generator.training.losses import IGNORED
from generator.training.models import add_adapters
from generator.training.reading import target_logits
from generator.training.recipe import (
    LoraRecipe,
    ReadExample,
    okvqa_flmr,
    okvqa_preflmr,
    override,
)
from tests.tiny_causal import byte_tokenizer, tiny_model

EXAMPLES = [
    ReadExample("capital?", ("Paris",), ("Capital: Paris.", "A river."), (3.0, 1.0)),
    ReadExample("food?", ("worms", "snails", "worms"), ("It eats snails.", "Sky."), (2.0, 1.0)),
]
RECIPE = LoraRecipe(
    epochs=60, accumulate=2, learning_rate=2e-2, dropout=0.0, passages=2, drawn=2, prompt="paper"
)
PAPER = LoraRecipe(prompt="paper")


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
    # It falls by 0.36 to 0.41 nats (decoder) and 3.4 to 3.5 (T5) under MKL's COMPATIBLE and AVX2
    # and without vector units: which way it takes there depends on the last bits.
    assert history[-1]["validation"] < history[0]["validation"] - 0.2
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
        logits, target = target_logits(model, tokenizer, EXAMPLES[0], targets, PAPER)
        for row, passage in enumerate(EXAMPLES[0].passages):
            alone = replace(EXAMPLES[0], passages=(passage,), scores=(1.0,))
            expected, ids = target_logits(model, tokenizer, alone, [targets[row]], PAPER)
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

    target_logits(Spy(), byte_tokenizer(), long, ["Paris"], replace(PAPER, max_source_tokens=100))
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
    history = train(model, byte_tokenizer(), EXAMPLES, recipe, tmp_path, EXAMPLES)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]


def test_an_instructed_model_is_asked_as_the_application_asks_it() -> None:
    tokenizer = byte_tokenizer()
    example = replace(EXAMPLES[0], passages=("Capital: Paris.",), scores=(1.0,), caption="a flag")
    asked = single(
        Query("capital?"), Passage("", "", "Capital: Paris."), "instruct", caption="a flag"
    )
    seen: list[str] = []

    class Spy:
        config = tiny_model().config

        def parameters(self):
            yield torch.zeros(1)

        def __call__(self, input_ids, attention_mask):
            seen.append(tokenizer.decode(input_ids[0]))
            return type("Output", (), {"logits": torch.zeros(*input_ids.shape, 257)})

    target_logits(Spy(), tokenizer, example, ["Paris"], LoraRecipe())
    assert seen == [f"{asked.text} Paris\n<|end|>"]


class Interrupted(Exception):
    pass


def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path, monkeypatch) -> None:
    recipe = replace(RECIPE, dropout=0.3, drawn=1, accumulate=1, epochs=4, learning_rate=1e-2)

    def run(out: Path, stop_at: int = -1) -> list[dict[str, float]]:
        def advance(done: int, total: int) -> None:
            assert total == 8
            if done == stop_at:
                raise Interrupted

        model = add_adapters(tiny_model(), recipe)
        return train(model, byte_tokenizer(), EXAMPLES, recipe, out, EXAMPLES, advance=advance)

    whole = run(tmp_path / "whole")
    monkeypatch.setattr(lora, "CHECKPOINT_S", 0.0)
    for stop_at in (1, 2, 5):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", stop_at)
    assert run(tmp_path / "parts") == whole
    first, second = (
        (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "parts")
    )
    assert first == second
    # A finished training is not taken up again.
    assert run(tmp_path / "parts", stop_at=3) == whole


def test_another_training_in_the_directory_is_refused(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    train(add_adapters(tiny_model(), recipe), byte_tokenizer(), EXAMPLES, recipe, tmp_path)
    other = replace(recipe, learning_rate=1e-3)
    with pytest.raises(TrainingMismatch, match="recipe differs"):
        train(add_adapters(tiny_model(), other), byte_tokenizer(), EXAMPLES, other, tmp_path)


@pytest.mark.parametrize(
    ("validation", "epochs", "said"),
    [
        ((), 3, "step 2: the loss is nan.*smaller learning rate"),
        (EXAMPLES, 1, "step 1: the validation loss is nan"),
        ((), 1, "step 1: there are weights beyond"),
    ],
)
def test_adapters_that_are_no_numbers_are_never_written(
    validation: list[ReadExample], epochs: int, said: str, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, epochs=epochs, learning_rate=1e30)
    if epochs > 1:
        recipe = replace(recipe, accumulate=1)
    model = add_adapters(tiny_model(), recipe)
    with pytest.raises(TrainingStopped, match=said):
        train(model, byte_tokenizer(), EXAMPLES, recipe, tmp_path, validation)
    assert not (tmp_path / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("name", ["checkpoint.pt", "training.json"])
def test_a_damaged_file_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)

    def again() -> None:
        train(add_adapters(tiny_model(), recipe), byte_tokenizer(), EXAMPLES, recipe, tmp_path)

    again()
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingStopped, match=rf"{name} is damaged .*another --out"):
        again()


def test_a_limit_of_steps_ends_it_with_validation(tmp_path: Path) -> None:
    recipe = replace(RECIPE, accumulate=1, steps=3)
    model = add_adapters(tiny_model(), recipe)
    history = train(model, byte_tokenizer(), EXAMPLES, recipe, tmp_path, EXAMPLES)
    assert [(row["epoch"], row["step"]) for row in history] == [(0, 0), (1, 2), (2, 3)]
    assert all("validation" in row for row in history)


def test_the_recipes_are_the_papers() -> None:
    flmr, preflmr = okvqa_flmr(), okvqa_preflmr()
    assert (flmr.rank, flmr.alpha, flmr.dropout, flmr.learning_rate) == (8, 32, 0.1, 1e-4)
    assert (flmr.accumulate, flmr.passages, flmr.drawn, flmr.patience) == (16, 5, 5, 5)
    assert (flmr.max_source_tokens, flmr.max_target_tokens) == (512, 10)
    assert (flmr.nll, flmr.marginal, flmr.retrieval) == (1, 0, 0)
    assert preflmr.drawn == 3
    assert flmr.prompt == preflmr.prompt == "paper"


def test_settings_are_overridden_by_name() -> None:
    recipe = override(
        LoraRecipe(),
        ["rank=4", "learning_rate=3e-4", "bfloat16=false", "targets=q,v", "prompt=paper"],
    )
    assert (recipe.rank, recipe.learning_rate, recipe.bfloat16) == (4, 3e-4, False)
    assert (recipe.targets, recipe.prompt) == (("q", "v"), "paper")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("ranks=4", "names are rank, alpha"),
        ("rank", "NAME=VALUE"),
        ("rank=four", "rank=four"),
        ("rank=0", "rank must be more than 0"),
        ("learning_rate=nan", "learning_rate must be more than 0"),
        ("dropout=1", "dropout must be less than 1"),
        ("bfloat16=yes", "true or false"),
        ("prompt=chat", "instruct, paper"),
        ("retrieval_labels=Approach6", "agreed"),
        ("nll=0", "nothing would train"),
        ("targets=", "no layer"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(assignment: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        override(LoraRecipe(), [assignment])


class PictureProcessor:
    """Four picture tokens for a picture, as LLaVA's processor writes them."""

    image_token = "<image>"

    def __init__(self) -> None:
        self.tokenizer = byte_tokenizer()

    def __call__(self, images, text, return_tensors):
        assert text == self.image_token
        pixels = torch.full((1, 3, 28, 28), images.getpixel((0, 0))[0] / 255)
        return {"input_ids": torch.full((1, 4), 256), "pixel_values": pixels}


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
    red, black = (replace(EXAMPLES[0], image=tmp_path / f"{c}.png") for c in ("red", "black"))
    Image.new("RGB", (28, 28), "red").save(tmp_path / "red.png")
    Image.new("RGB", (28, 28), "black").save(tmp_path / "black.png")
    with torch.no_grad():
        first, _ = target_logits(model, PictureProcessor(), red, ["Paris"] * 2, RECIPE)
        other, _ = target_logits(model, PictureProcessor(), black, ["Paris"] * 2, RECIPE)
    assert not torch.allclose(first, other)
    recipe = replace(RECIPE, epochs=30)
    adapted = add_adapters(model, recipe)
    history = train(adapted, PictureProcessor(), [red], recipe, tmp_path / "out")
    assert history[-1]["train"] < history[0]["train"]
    assert all(".language_model." in n for n, _ in adapted.named_parameters() if "lora_" in n)
