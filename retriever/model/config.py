"""FLMRConfig: the fields of a released config.json, with the reference's defaults.

Released files leave out every field that has its default value, so the defaults
below are part of the format (BERT-base for text, CLIP ViT-B/32 for vision).
"""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from retriever.errors import InvalidCheckpoint
from retriever.model.bert import BertConfig
from retriever.model.clip import CLIPVisionConfig

CONFIG_NAME = "config.json"
EFFICIENTNET = "efficientnet_lite0"
# The base of the mapping network that every released PreFLMR names; never looked up.
BERT_BASE = "bert-base-uncased"


@dataclass(frozen=True)
class FLMRConfig:
    """What a checkpoint's config.json says. Field names are the released ones.

    Attributes:
        text_config: the fields in which the text encoder differs from BERT-base.
        vision_config: the fields in which the vision encoder differs from CLIP ViT-B/32,
            or {"model_type": "efficientnet_lite0", ...} for the small model.
        mapping_base_config: BERT fields of the mapping network when its base is not
            bert-base-uncased; read from the directory that
            transformer_mapping_config_base names, beside config.json.
    """

    dim: int = 128
    mapping_network_prefix_length: int = 32
    use_vision_encoder: bool = True
    initializer_range: float = 0.02
    separate_query_and_context_text_encoder: bool = False
    separate_query_and_context_vision_encoder: bool = False
    query_concat_output_from_vision_encoder: bool = True
    query_concat_output_from_text_encoder: bool = True
    context_concat_output_from_vision_encoder: bool = False
    context_concat_output_from_text_encoder: bool = True
    use_transformer_mapping_network: bool = False
    transformer_mapping_config_base: str | None = None
    transformer_mapping_num_hidden_layers: int | None = None
    transformer_mapping_cross_attention_length: int = 32
    mask_punctuation: bool = True
    mask_instruction_token: str | None = None
    query_mask_input_ids_skip_list: tuple[int, ...] = ()
    vision_model_version: str = "openai/clip-vit-base-patch32"
    text_config: dict[str, Any] = field(default_factory=dict)
    vision_config: dict[str, Any] = field(default_factory=dict)
    mapping_base_config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_pretrained(cls, directory: Path) -> "FLMRConfig":
        """Return the config of a checkpoint directory.

        Raises:
            InvalidCheckpoint: config.json is missing, broken, or of another architecture.
        """
        raw = _read_json(directory / CONFIG_NAME)
        if raw.get("model_type") != "flmr":
            raise InvalidCheckpoint(
                f"{directory / CONFIG_NAME}: model_type is {raw.get('model_type')!r}, not 'flmr'. "
                "Give an FLMR or PreFLMR checkpoint."
            )
        _require_supported(directory / CONFIG_NAME, raw)
        known = {f.name for f in fields(cls)} - {"mapping_base_config"}
        values = {name: value for name, value in raw.items() if name in known}
        values["query_mask_input_ids_skip_list"] = tuple(
            values.get("query_mask_input_ids_skip_list", ())
        )
        for name in ("text_config", "vision_config"):
            values[name] = values.get(name) or {}
        config = cls(**values)
        base = config.transformer_mapping_config_base
        if config.use_transformer_mapping_network and base not in (None, BERT_BASE):
            path = directory / str(base) / CONFIG_NAME
            if not path.exists():
                raise InvalidCheckpoint(
                    f"{directory / CONFIG_NAME}: transformer_mapping_config_base is {base!r}, "
                    f"which is not looked up anywhere. Put that model's config.json at {path}."
                )
            config = replace(config, mapping_base_config=_read_json(path))
        return config

    def save_pretrained(self, directory: Path) -> None:
        """Write config.json, and the mapping network's base beside it where it has its own."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        mapping = values.pop("mapping_base_config")
        values["query_mask_input_ids_skip_list"] = list(self.query_mask_input_ids_skip_list)
        _write_json(
            directory / CONFIG_NAME,
            {"architectures": ["FLMRModelForRetrieval"], "model_type": "flmr", **values},
        )
        if mapping:
            base = directory / str(self.transformer_mapping_config_base)
            base.mkdir(exist_ok=True)
            _write_json(base / CONFIG_NAME, mapping)

    @property
    def vision_type(self) -> str:
        """Return which vision encoder this is: EFFICIENTNET or "clip"."""
        return EFFICIENTNET if self.vision_config.get("model_type") == EFFICIENTNET else "clip"

    def bert_config(self) -> BertConfig:
        """Return the text encoder's configuration. Raises InvalidCheckpoint."""
        return _bert(self.text_config)

    def clip_vision_config(self) -> CLIPVisionConfig:
        """Return the configuration of a CLIP vision encoder. Raises InvalidCheckpoint."""
        try:
            return CLIPVisionConfig.from_fields(_without(self.vision_config))
        except (TypeError, ValueError) as exc:
            raise InvalidCheckpoint(f"{CONFIG_NAME}: {exc}") from exc

    def mapping_config(self) -> BertConfig:
        """Return the mapping network's configuration: its base with its own depth."""
        layers = self.transformer_mapping_num_hidden_layers
        own = {} if layers is None else {"num_hidden_layers": layers}
        return _bert(self.mapping_base_config | own)


def _bert(values: dict[str, Any]) -> BertConfig:
    try:
        return BertConfig.from_fields(_without(values))
    except (TypeError, ValueError) as exc:
        raise InvalidCheckpoint(f"{CONFIG_NAME}: {exc}") from exc


def _require_supported(path: Path, raw: dict[str, Any]) -> None:
    """Refuse what cannot be computed exactly: text towers that are not BERT.

    The bge-m3 variants (PreFLMR_ViT-L_ENCN) are XLM-RoBERTa with tokenizers of their own, and
    their config.json has never been published in full: not enough to be exact.
    """
    text = raw.get("text_config") or {}
    base = str(text.get("text_encoder_base_model") or BERT_BASE)
    roberta = any(name in base.lower() for name in ("bge-m3", "xlm-r", "roberta"))
    if roberta or text.get("model_type") == "xlm-roberta":
        raise InvalidCheckpoint(
            f"{path}: text_encoder_base_model {base!r} is not supported: only checkpoints whose "
            "text encoder is BERT are. Use PreFLMR_ViT-B, -L or -G."
        )
    if text.get("projection_dim"):
        raise InvalidCheckpoint(
            f"{path}: text_config.projection_dim is {text['projection_dim']}; no released "
            "checkpoint projects its text encoder's output, and this one is not supported."
        )


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in names and not name.startswith("_") and value is not None
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InvalidCheckpoint(
            f"{path}: cannot be read ({exc}). Is the download of the checkpoint complete?"
        ) from exc
    if not isinstance(raw, dict):
        raise InvalidCheckpoint(f"{path}: holds a {type(raw).__name__}, not a JSON object.")
    return raw


def _write_json(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")
