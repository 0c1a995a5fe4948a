"""BLIP-2, the generator of the published RA-VQA, at sizes for a test, with its own processor."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    OPTConfig,
    T5Config,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from generator.training.lora import train
from generator.training.models import add_adapters, load_trainable, merge
from generator.training.reading import target_logits
from generator.training.recipe import LANGUAGE_MODEL, LoraRecipe, ReadExample, okvqa_flmr
from tests.tiny_causal import byte_tokenizer

QUERY_TOKENS = 4
RECIPE = LoraRecipe(
    epochs=4, accumulate=1, learning_rate=2e-2, dropout=0.0, passages=2, drawn=2, prompt="paper"
)


def t5() -> T5Config:
    return T5Config(
        vocab_size=264, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip


def opt() -> OPTConfig:
    return OPTConfig(
        vocab_size=264, hidden_size=32, word_embed_proj_dim=32, ffn_dim=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=600, pad_token_id=0, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip


def blip2(language) -> Blip2ForConditionalGeneration:
    torch.manual_seed(0)
    vision = Blip2VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    qformer = Blip2QFormerConfig(
        vocab_size=30, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=48, encoder_hidden_size=32, cross_attention_frequency=1,
    )  # fmt: skip
    config = Blip2Config(
        vision_config=vision, qformer_config=qformer, text_config=language(),
        num_query_tokens=QUERY_TOKENS, image_token_index=257,
    )  # fmt: skip
    return Blip2ForConditionalGeneration(config).eval()


def processor() -> Blip2Processor:
    pictures = BlipImageProcessorPil(size={"height": 28, "width": 28})
    return Blip2Processor(pictures, byte_tokenizer(), num_query_tokens=QUERY_TOKENS)


@pytest.fixture
def red(tmp_path: Path) -> ReadExample:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    passages = ("Capital: Paris.", "A river.")
    return ReadExample("capital?", ("Paris",), passages, (3.0, 1.0), image=tmp_path / "red.png")


@pytest.mark.parametrize("language", [t5, opt])
def test_the_logits_are_those_of_its_own_processor_and_loss(language, red, tmp_path) -> None:
    model, own = blip2(language), processor()
    alone = replace(red, passages=red.passages[:1], scores=(1.0,))
    with torch.no_grad():
        logits, target = target_logits(model, own, alone, ["Paris"], RECIPE)
        text = "Question: capital? Knowledge: Capital: Paris. Answer:"
        given = own(images=Image.open(red.image), text=text, return_tensors="pt")
        ids = given["input_ids"]
        assert (ids[0] == 257).sum() == QUERY_TOKENS
        if model.config.is_encoder_decoder:
            ids = torch.cat([ids, torch.zeros(1, 1, dtype=torch.long)], dim=1)
            expected = model(
                input_ids=ids, pixel_values=given["pixel_values"], labels=target
            ).logits
        else:
            ids = torch.cat([ids, target], dim=1)
            whole = model(input_ids=ids, pixel_values=given["pixel_values"]).logits
            expected = whole[:, -target.shape[1] - 1 : -1]
    assert torch.allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("language", [t5, opt])
def test_it_sees_it_learns_and_its_language_model_alone_is_adapted(
    language, red, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "blue.png")
    blue = replace(red, image=tmp_path / "blue.png")
    model, own = blip2(language), processor()
    with torch.no_grad():
        first, _ = target_logits(model, own, red, ["Paris"] * 2, RECIPE)
        other, _ = target_logits(model, own, blue, ["Paris"] * 2, RECIPE)
    assert not torch.allclose(first, other)
    adapted = add_adapters(model, RECIPE)
    names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
    assert names and all(".language_model." in name for name in names)
    history = train(adapted, own, [red], RECIPE, tmp_path / "out")
    assert history[-1]["train"] < history[0]["train"]


def test_it_is_loaded_from_a_directory_and_merged_without_torchvision(red, tmp_path) -> None:
    blip2(t5).save_pretrained(tmp_path / "model")
    processor().save_pretrained(tmp_path / "model")
    model, own, sees = load_trainable(str(tmp_path / "model"))
    assert sees
    assert isinstance(own.image_processor, BlipImageProcessorPil)
    train(add_adapters(model, RECIPE), own, [red], RECIPE, tmp_path / "out")
    merge(str(tmp_path / "model"), tmp_path / "out", tmp_path / "merged")
    merged, own, _ = load_trainable(str(tmp_path / "merged"))
    with torch.no_grad():
        before, _ = target_logits(blip2(t5), own, red, ["Paris"] * 2, RECIPE)
        after, _ = target_logits(merged.eval(), own, red, ["Paris"] * 2, RECIPE)
        adapted, _ = target_logits(model.eval(), own, red, ["Paris"] * 2, RECIPE)
    assert not torch.allclose(before, after, atol=1e-2)
    assert torch.allclose(adapted, after, atol=1e-4)


def test_the_published_recipe_trains_as_many_parameters_as_published() -> None:
    """6,475,776 of blip2-flan-t5-xl, whose shape is built without weights."""
    language = T5Config(
        vocab_size=32128, d_model=2048, d_kv=64, d_ff=5120, num_layers=24, num_heads=32,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0,
    )  # fmt: skip
    with torch.device("meta"):
        config = Blip2Config(
            vision_config=Blip2VisionConfig(),
            qformer_config=Blip2QFormerConfig(),
            text_config=language,
        )
        model = add_adapters(Blip2ForConditionalGeneration(config), okvqa_flmr())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 6_475_776
    assert LoraRecipe().targets == (LANGUAGE_MODEL,)
