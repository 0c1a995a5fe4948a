"""What a checkpoint is, as one short hash: the same on every processor, however it is stored.

It covers all that decides an embedding: the settings as they are declared, and the tensors
as they were published, under their released names and widened to float32, which is exact.
Nothing that was computed has a part in it, nor how files are laid out: shards or one file,
half or single precision, older names of the weights, a re-formatted config.json.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch

from retriever.checkpoint.pretrained import FLMRModel
from retriever.inputs.images import ImageProcessor
from retriever.inputs.text_vision import TextVision, imagenet_names
from retriever.inputs.tokenization import WordPieceTokenizer
from retriever.model.config import FLMRConfig

DIGITS = 12
# What libraries write into the towers' settings about themselves.
_NOTES = frozenset({"architectures", "dtype", "torch_dtype", "transformers_version"})


def checkpoint_revision(
    model: FLMRModel, image_processor: ImageProcessor, text_vision: TextVision | None
) -> str:
    """Return the SHA-256 over settings and tensors, cut to 12 hex digits.

    Args:
        model: as loaded, in float32 on the CPU, with its tokenizers.
        image_processor: what pictures go through first.
        text_vision: what a classifier writes into questions; None for nothing.
    """
    declared = {
        "config": _config(model.config),
        "query_tokenizer": _tokenizer(model.query_tokenizer)
        | {"attend_to_mask_tokens": model.query_tokenizer.attend_to_mask_tokens},
        "passage_tokenizer": _tokenizer(model.passage_tokenizer),
        "image_processor": asdict(image_processor),
        "text_vision": text_vision and {**asdict(text_vision), "names": imagenet_names()},
    }
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(json.dumps([name, list(tensor.shape)]).encode())
        digest.update(
            tensor.to("cpu", torch.float32).contiguous().numpy().astype("<f4", copy=False)
        )
    return digest.hexdigest()[:DIGITS]


def _config(config: FLMRConfig) -> dict[str, Any]:
    """Return the fields that are not their default, as a released config.json has them."""
    default = FLMRConfig()
    values = {f.name: getattr(config, f.name) for f in fields(config)}
    return {
        name: _without_notes(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value != getattr(default, name)
    }


def _without_notes(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in settings.items()
        if value is not None and name not in _NOTES and not name.startswith("_")
    }


def _tokenizer(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    return {
        "vocab": tokenizer.vocab,
        "max_length": tokenizer.max_length,
        "lowercase": tokenizer.lowercase,
        "added_tokens": tokenizer.added_tokens,
    }
