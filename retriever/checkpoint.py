"""Loading and saving checkpoints: a directory, or the id of a hub repository.

A checkpoint directory holds config.json, safetensors weights (one file, or shards with
an index), query_tokenizer/, context_tokenizer/, and for kbvqa's own models
preprocessor_config.json and text_vision.json. Weights are loaded strictly, without
remote code, and only from safetensors: a .bin file can run code when it is opened.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from retriever.config import CONFIG_NAME, FLMRConfig
from retriever.errors import CheckpointMismatch, InvalidCheckpoint
from retriever.flmr import FLMRModel
from retriever.images import CONFIG_NAME as PROCESSOR_NAME
from retriever.images import ImageProcessor
from retriever.text_vision import TextVision
from retriever.tokenization import PassageTokenizer, QueryTokenizer

WEIGHTS_NAME = "model.safetensors"
WEIGHTS_INDEX_NAME = "model.safetensors.index.json"
CALIBRATION_NAME = "calibration.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that turns queries and passages into embeddings.

    Attributes:
        name: the directory's name or the repository id.
        revision: sha256 over config.json and the weights, 12 hex digits.
        text_vision: settings of text-based vision; None where the checkpoint uses none.
        unsure_below: best scores under this mean "not sure"; None where never calibrated.
    """

    name: str
    revision: str
    model: FLMRModel
    query_tokenizer: QueryTokenizer
    passage_tokenizer: PassageTokenizer
    image_processor: ImageProcessor
    text_vision: TextVision | None = None
    unsure_below: float | None = None

    @property
    def id(self) -> str:
        """Return name and revision: what an index remembers of its checkpoint."""
        return f"{self.name}@{self.revision}"


def load_checkpoint(location: Path | str, revision: str | None = None) -> Checkpoint:
    """Return the checkpoint at a directory or hub repository id, in float32 on the CPU.

    Raises:
        InvalidCheckpoint: no such checkpoint, another architecture, unusable weights.
        CheckpointMismatch: missing or unexpected weights, all of them listed.
    """
    directory = resolve(location, revision)
    config = FLMRConfig.from_pretrained(directory)
    query_tokenizer = QueryTokenizer.from_pretrained(directory)
    passage_tokenizer = PassageTokenizer.from_pretrained(directory)
    model = build_model(config, query_tokenizer, passage_tokenizer)
    load_weights(model, directory)
    return Checkpoint(
        name=str(location) if not Path(location).is_dir() else Path(location).resolve().name,
        revision=checkpoint_hash(directory),
        model=model.eval(),
        query_tokenizer=query_tokenizer,
        passage_tokenizer=passage_tokenizer,
        image_processor=_image_processor(directory, config),
        text_vision=TextVision.from_pretrained(directory),
        unsure_below=_read_calibration(directory),
    )


def build_model(
    config: FLMRConfig, query_tokenizer: QueryTokenizer, passage_tokenizer: PassageTokenizer
) -> FLMRModel:
    """Return a freshly initialised model with its special token ids looked up."""
    separator = config.mask_instruction_token
    if separator is not None and separator not in query_tokenizer.vocab:
        raise InvalidCheckpoint(
            f"mask_instruction_token {separator!r} is not in the query tokenizer's vocab.txt"
        )
    return FLMRModel(
        config,
        separator_id=None if separator is None else query_tokenizer.vocab[separator],
        punctuation_ids=passage_tokenizer.punctuation_ids,
    )


def resolve(location: Path | str, revision: str | None = None) -> Path:
    """Return the local directory of a checkpoint, downloading a hub repository if need be."""
    path = Path(location)
    if path.is_dir():
        return path
    if path.exists() or str(location).count("/") != 1 or str(location).startswith((".", "/")):
        raise InvalidCheckpoint(
            f"{location}: not a checkpoint directory. Give a directory with {CONFIG_NAME}, or a "
            "hub repository id such as LinWeizheDragon/PreFLMR_ViT-L."
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.safetensors", "*/vocab.txt", "*/*.json"]
        return Path(snapshot_download(str(location), revision=revision, allow_patterns=patterns))
    except Exception as exc:
        raise InvalidCheckpoint(
            f"{location}: no such directory, and the hub did not give it ({type(exc).__name__}). "
            "Check the id and the connection, or download the repository elsewhere and give "
            "its directory."
        ) from exc


def load_weights(model: FLMRModel, directory: Path) -> None:
    """Fill the model from the directory's safetensors, key for key."""
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        try:
            with safe_open(path, framework="pt") as file:
                tensors.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError) as exc:
            raise InvalidCheckpoint(
                f"{path}: cannot be read as safetensors ({exc}). "
                "The download may be incomplete: fetch the file again."
            ) from exc
    expected = model.state_dict()
    missing, unexpected = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or unexpected:
        raise CheckpointMismatch(sorted(missing), sorted(unexpected))
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InvalidCheckpoint(
                f"{directory}: '{name}' has shape {tuple(tensor.shape)}, but {CONFIG_NAME} "
                f"asks for {tuple(expected[name].shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise InvalidCheckpoint(
                f"{directory}: '{name}' holds NaN or infinite values. Fetch the weights again."
            )
    model.load_state_dict(tensors)


def weight_files(directory: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, shards in order."""
    index = directory / WEIGHTS_INDEX_NAME
    if index.exists():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = [directory / name for name in names]
    else:
        files = [directory / WEIGHTS_NAME]
    lacking = [path.name for path in files if not path.exists()]
    if not lacking:
        return files
    pickled = sorted(directory.glob("*.bin"))
    if pickled:
        raise InvalidCheckpoint(
            f"{directory}: only {pickled[0].name} is here. A .bin file can run code when opened, "
            f"so it is not read: convert it to {WEIGHTS_NAME}."
        )
    raise InvalidCheckpoint(
        f"{directory}: {', '.join(lacking)} missing. Is the download of the checkpoint complete?"
    )


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write a directory that `load_checkpoint` gives back, in float32."""
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint.model.config.save_pretrained(directory)
    checkpoint.query_tokenizer.save_pretrained(directory)
    checkpoint.passage_tokenizer.save_pretrained(directory)
    checkpoint.image_processor.save_pretrained(directory)
    if checkpoint.text_vision is not None:
        checkpoint.text_vision.save_pretrained(directory)
    if checkpoint.unsure_below is not None:
        calibration = json.dumps({"unsure_below": checkpoint.unsure_below}) + "\n"
        (directory / CALIBRATION_NAME).write_text(calibration, encoding="utf-8")
    tensors = {name: t.contiguous() for name, t in checkpoint.model.state_dict().items()}
    save_file(tensors, directory / WEIGHTS_NAME, metadata={"format": "pt"})


def _image_processor(directory: Path, config: FLMRConfig) -> ImageProcessor:
    """Return the checkpoint's own processor; released ones carry none and take CLIP's."""
    if (directory / PROCESSOR_NAME).exists():
        return ImageProcessor.from_pretrained(directory)
    side = config.clip_vision_config().image_size
    return ImageProcessor(size=(side, side), shortest_edge=side)


def _read_calibration(directory: Path) -> float | None:
    path = directory / CALIBRATION_NAME
    if not path.exists():
        return None
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["unsure_below"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidCheckpoint(f"{path}: needs a number 'unsure_below' ({exc!r}).") from exc


def checkpoint_hash(directory: Path) -> str:
    """Return the sha256 over config.json and the weights, cut to 12 hex digits."""
    digest = hashlib.sha256()
    for path in [directory / CONFIG_NAME, *weight_files(directory)]:
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()[:12]


def _blocks(path: Path, size: int = 1 << 22) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(size):
            yield block
