"""Loading what is fine-tuned, with adapters, and writing what came of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generator.errors import GeneratorUnavailable
from generator.training.recipe import LANGUAGE_MODEL, LoraRecipe


def load_trainable(name: str) -> tuple[Any, Any, bool]:
    """Return a model, its tokenizer or processor, and whether it sees.

    Causal, encoder-decoder and picture-text models of transformers, in float32.

    Args:
        name: a directory or a hub id.

    Raises:
        GeneratorUnavailable: it cannot be loaded, or is no such model.
    """
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForSeq2SeqLM,
        AutoProcessor,
        AutoTokenizer,
    )
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(name)
        sees = getattr(config, "vision_config", None) is not None
        if sees:
            kind: Any = AutoModelForImageTextToText
            # PIL's way with pictures: torchvision is not needed, and not installed.
            processor = AutoProcessor.from_pretrained(name, backend="pil")
        else:
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            processor = AutoTokenizer.from_pretrained(name)
        model = kind.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError) as exc:
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise GeneratorUnavailable(
            f"{name} cannot be loaded for training: {reason}. Give a directory that "
            "save_pretrained wrote, with its tokenizer, or the id of a model on the hub."
        ) from exc
    return model, processor, sees


def weights_sha256(model: nn.Module) -> str:
    """Return a hash of a model's tensors as they were loaded, cut to 16 hex digits.

    A name may come to stand for other weights: a directory is replaced, a repository moves on.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(json.dumps([name, list(tensor.shape)]).encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def add_adapters(model: Any, recipe: LoraRecipe) -> Any:
    """Return the model with LoRA adapters, everything else frozen.

    Raises:
        ValueError: the model has no layer of those names.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    seq2seq = bool(model.config.is_encoder_decoder)
    return get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=_targets(model, recipe),
            task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
        ),
    )


def merge(name: str, adapters: Path, out: Path) -> None:
    """Write the model with its adapters merged in, as vLLM and the embedded reader load it.

    Args:
        name: the model that the adapters were trained on.
        adapters: their directory.
        out: where the merged model goes, with its tokenizer or processor.

    Raises:
        GeneratorUnavailable: the model cannot be loaded.
    """
    from peft import PeftModel

    model, processor, _ = load_trainable(name)
    merged = PeftModel.from_pretrained(model, adapters).merge_and_unload()
    merged.save_pretrained(out)
    processor.save_pretrained(out)


def _targets(model: Any, recipe: LoraRecipe) -> list[str] | str:
    if recipe.targets != (LANGUAGE_MODEL,):
        return list(recipe.targets)
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and ".language_model." in f".{name}"
    ]
    return names or "all-linear"
