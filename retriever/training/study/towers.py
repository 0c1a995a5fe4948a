"""New checkpoints of given towers, whose mapping network and linear layers are untrained.

    random:32x2             32 wide, 2 layers, random weights: for experiments that take minutes
    kbvqa-mini              the towers of a checkpoint of FLMR's architecture, by name, directory
                            or hub id
    runs/bert, openai/...   a CLIP (vision) or a BERT (text) as published: config.json,
                            safetensors, and for a BERT vocab.txt

A tower's weights depend on its name and the seed alone, so that two checkpoints with one tower in
common have the same one.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from retriever.checkpoint.files import resolve
from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.checkpoint.mini import base_vocabulary
from retriever.checkpoint.pretrained import FLMRModel
from retriever.errors import InvalidCheckpoint
from retriever.inputs.images import CONFIG_NAME as PROCESSOR_NAME
from retriever.inputs.images import ImageProcessor
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.bert import BertConfig
from retriever.model.config import CONFIG_NAME, FLMRConfig
from retriever.model.flmr import TextEncoder
from retriever.model.mapping import init_weights

Kind = Literal["vision", "text"]

QUERY_TOKENS, PASSAGE_TOKENS = 32, 512
SEPARATOR = ":"  # ends an instruction, as in the released checkpoints
_MAPPING_BASE = "mapping_base"
_HEAD = 16  # width of an attention head of a random tower
_RANDOM = re.compile(r"random:([1-9]\d*)x([1-9]\d*)")
_RANDOM_SIDE, _RANDOM_PATCH = 32, 8  # pixels
_WRITTEN: dict[Kind, tuple[str, ...]] = {
    "vision": ("clip", "clip_vision_model", "flmr"),
    "text": ("bert", "flmr"),
}
_CLIP_FIELDS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("image_size", "patch_size", "hidden_act", "layer_norm_eps", "projection_dim"),
)


@dataclass(frozen=True, slots=True)
class VisionTower:
    """What sees: its settings as of `FLMRConfig.vision_config`, its weights, and its pictures."""

    settings: dict[str, Any]
    weights: dict[str, torch.Tensor]
    image_processor: ImageProcessor


@dataclass(frozen=True, slots=True)
class TextTowers:
    """What reads: settings as of `FLMRConfig.text_config`, weights of both sides, tokenizers."""

    settings: dict[str, Any]
    query_weights: dict[str, torch.Tensor]
    passage_weights: dict[str, torch.Tensor]
    query_tokenizer: QueryTokenizer
    passage_tokenizer: PassageTokenizer
    separator: str | None


def require_tower(kind: Kind, name: str) -> None:
    """Raise InvalidCheckpoint unless a tower of that name can be there; its weights stay unread."""
    if (sizes := _random_sizes(name)) is None:
        _model_type(kind, name)
    elif sizes[0] % _HEAD:
        raise InvalidCheckpoint(
            f"{name}: a random tower is a multiple of {_HEAD} wide, such as random:32x2"
        )


def new_checkpoint(
    name: str, vision: str, text: str, mapping_layers: int, *, prefix: int = 32, seed: int = 0
) -> Checkpoint:
    """Return PreFLMR's structure with given towers, and all between them at its first weights.

    Args:
        name: of the checkpoint.
        vision: a tower's name.
        text: another's; questions and passages get one each, equal at first if it is a BERT's.
        mapping_layers: of the mapping transformer; 0 for none, which is FLMR with a prefix MLP.
        prefix: tokens that the prefix MLP makes of a picture.
        seed: of all that is random.

    Raises:
        InvalidCheckpoint: there is no such tower, or it cannot be used.
    """
    require_tower("vision", vision)
    require_tower("text", text)
    with torch.random.fork_rng(devices=[]):
        seen, read = _vision_tower(vision, seed), _text_towers(text, seed)
        config = FLMRConfig(
            mapping_network_prefix_length=prefix,
            separate_query_and_context_text_encoder=True,
            mask_instruction_token=read.separator,
            use_transformer_mapping_network=mapping_layers > 0,
            transformer_mapping_config_base=_MAPPING_BASE,
            transformer_mapping_num_hidden_layers=mapping_layers,
            transformer_mapping_cross_attention_length=read.query_tokenizer.max_length,
            vision_model_version=vision,
            text_config=read.settings,
            vision_config=seen.settings,
            mapping_base_config=_mapping_base(read.settings) if mapping_layers else {},
        )
        model = FLMRModel(config, read.query_tokenizer, read.passage_tokenizer)
        for part, module in model.named_children():
            _seed(seed, part)
            init_weights(module, config.initializer_range)
    model.query_vision_encoder.load_state_dict(seen.weights)
    model.query_text_encoder.load_state_dict(read.query_weights)
    model.context_text_encoder.load_state_dict(read.passage_weights)
    return Checkpoint(name, "", model.eval(), seen.image_processor)


def _mapping_base(text: dict[str, Any]) -> dict[str, Any]:
    """Return the mapping transformer's settings: those of the text tower that it reads."""
    read = BertConfig.from_fields(text)
    names = ("hidden_size", "num_attention_heads", "intermediate_size", "hidden_act")
    return {"model_type": "bert", **{name: getattr(read, name) for name in names}}


def _vision_tower(name: str, seed: int) -> VisionTower:
    if (sizes := _random_sizes(name)) is not None:
        return _random_vision(*sizes, seed)
    directory = resolve(name)
    if _model_type("vision", name) == "flmr":
        lent = load_checkpoint(name)
        if not lent.model.config.use_vision_encoder:
            raise InvalidCheckpoint(f"{name}: this checkpoint has no vision tower to lend")
        weights = lent.model.query_vision_encoder.state_dict()
        return VisionTower(lent.model.config.vision_config, weights, lent.image_processor)
    from transformers import CLIPVisionModel

    tower = _published(CLIPVisionModel, name, directory)
    settings = {field: getattr(tower.config, field) for field in _CLIP_FIELDS}
    side = tower.config.image_size
    processor = ImageProcessor(size=(side, side), shortest_edge=side)
    if (directory / PROCESSOR_NAME).exists():
        processor = ImageProcessor.from_pretrained(directory)
    return VisionTower(settings, _encoder_weights(tower), processor)


def _random_vision(width: int, layers: int, seed: int) -> VisionTower:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    settings = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // _HEAD,
        "image_size": _RANDOM_SIDE,
        "patch_size": _RANDOM_PATCH,
    }
    _seed(seed, f"vision {width}x{layers}")
    tower = CLIPVisionModel(CLIPVisionConfig(**settings))  # begins as published towers began
    processor = ImageProcessor((_RANDOM_SIDE, _RANDOM_SIDE), shortest_edge=None)
    return VisionTower(settings, _encoder_weights(tower), processor)


def _encoder_weights(tower: Any) -> dict[str, torch.Tensor]:
    """Return the weights of transformers' CLIPVisionModel under `CLIPVisionEncoder`'s names."""
    weights = getattr(tower, "vision_model", tower).state_dict()  # one level deeper before 5
    return {f"vision_model.vision_model.{name}": tensor for name, tensor in weights.items()}


def _text_towers(name: str, seed: int) -> TextTowers:
    if (sizes := _random_sizes(name)) is not None:
        return _random_text(*sizes, seed)
    directory = resolve(name)
    if _model_type("text", name) == "flmr":
        lent = load_checkpoint(name).model
        shared = not lent.config.separate_query_and_context_text_encoder
        passages = lent.query_text_encoder if shared else lent.context_text_encoder
        return TextTowers(
            lent.config.text_config,
            lent.query_text_encoder.state_dict(),
            cast(nn.Module, passages).state_dict(),
            lent.query_tokenizer,
            lent.passage_tokenizer,
            lent.config.mask_instruction_token,
        )
    from transformers import BertModel

    published = _published(BertModel, name, directory)
    config = BertConfig.from_fields(published.config.to_dict())
    weights = {f"bert_model.{key}": value for key, value in published.state_dict().items()}
    return _one_tower(config, weights, _vocabulary(directory))


def _random_text(width: int, layers: int, seed: int) -> TextTowers:
    vocab = base_vocabulary()
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // _HEAD,
        intermediate_size=4 * width,
    )
    _seed(seed, f"text {width}x{layers}")
    tower = TextEncoder(FLMRConfig(text_config=asdict(config)))
    init_weights(tower, FLMRConfig().initializer_range)
    return _one_tower(config, tower.state_dict(), vocab)


def _one_tower(
    config: BertConfig, weights: dict[str, torch.Tensor], vocab: dict[str, int]
) -> TextTowers:
    most = config.max_position_embeddings
    return TextTowers(
        asdict(config),
        weights,
        weights,
        QueryTokenizer(vocab, min(QUERY_TOKENS, most)),
        PassageTokenizer(vocab, min(PASSAGE_TOKENS, most)),
        SEPARATOR,
    )


def _published(model_class: Any, name: str, directory: Path) -> Any:
    """Return a model of transformers with all its weights; BERT's pooler may be missing."""
    try:
        model, found = model_class.from_pretrained(
            directory, use_safetensors=True, output_loading_info=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as exc:
        reason = str(exc).splitlines()[0]
        raise InvalidCheckpoint(
            f"{name}: its weights cannot be read ({reason}). A tower needs model.safetensors "
            f"beside config.json in {directory}"
        ) from exc
    if missing := sorted(n for n in found["missing_keys"] if not n.startswith("pooler.")):
        raise InvalidCheckpoint(
            f"{name}: {len(missing)} weights are missing in {directory}, such as {missing[0]}: "
            "give the repository of a whole model"
        )
    return model.float()


def _vocabulary(directory: Path) -> dict[str, int]:
    path = directory / "vocab.txt"
    try:
        # Not splitlines(): a vocabulary holds characters that Python takes for line ends.
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, ValueError) as exc:
        raise InvalidCheckpoint(f"{path} cannot be read ({exc}): a BERT needs its words") from exc
    return {token.rstrip("\r"): number for number, token in enumerate(lines)}


def _random_sizes(name: str) -> tuple[int, int] | None:
    """Return width and layers of a random tower; None where the name is another's."""
    found = _RANDOM.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def _model_type(kind: Kind, name: str) -> str:
    """Return what a tower's config.json calls it. Raises InvalidCheckpoint."""
    if name.startswith("random"):
        raise InvalidCheckpoint(f"{name}: give width and layers, such as random:32x2")
    path = resolve(name) / CONFIG_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidCheckpoint(f"{path}: no model_type can be read there ({exc!r})") from exc
    if found not in _WRITTEN[kind]:
        raise InvalidCheckpoint(
            f"{name}: a {found!r} is no {kind} tower; give one of {', '.join(_WRITTEN[kind])}, or "
            "random:WIDTHxLAYERS"
        )
    return str(found)


def _seed(seed: int, what: str) -> None:
    digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "big"))
