"""Loading and saving checkpoints: a directory, or the id of a hub repository.

A checkpoint directory holds config.json, safetensors weights (one file, or shards with
an index), query_tokenizer/, context_tokenizer/, and for kbvqa's own models
preprocessor_config.json and text_vision.json. Weights are loaded strictly, without
remote code, and only from safetensors (`retriever.weights`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from retriever.config import FLMRConfig
from retriever.errors import InvalidCheckpoint
from retriever.flmr import FLMRModel
from retriever.hub import resolve
from retriever.identity import checkpoint_revision
from retriever.images import CONFIG_NAME as PROCESSOR_NAME
from retriever.images import ImageProcessor
from retriever.text_vision import TextVision
from retriever.tokenization import PassageTokenizer, QueryTokenizer
from retriever.weights import verify_files

CALIBRATION_NAME = "calibration.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that turns queries and passages into embeddings.

    Attributes:
        name: the directory's name or the repository id.
        revision: hash of all that decides an embedding (`retriever.identity`), 12 hex digits.
        text_vision: settings of text-based vision; None where the checkpoint uses none.
        unsure_below: best scores under this mean "not sure"; None where never calibrated.
    """

    name: str
    revision: str
    model: FLMRModel
    image_processor: ImageProcessor
    text_vision: TextVision | None = None
    unsure_below: float | None = None

    @property
    def query_tokenizer(self) -> QueryTokenizer:
        """Return the tokenizer of queries."""
        return self.model.query_tokenizer

    @property
    def passage_tokenizer(self) -> PassageTokenizer:
        """Return the tokenizer of passages."""
        return self.model.passage_tokenizer

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
    verify_files(directory)
    model = FLMRModel.from_directory(directory)
    image_processor = _image_processor(directory, model.config)
    text_vision = TextVision.from_pretrained(directory)
    return Checkpoint(
        name=str(location) if not Path(location).is_dir() else Path(location).resolve().name,
        revision=checkpoint_revision(model, image_processor, text_vision),
        model=model,
        image_processor=image_processor,
        text_vision=text_vision,
        unsure_below=_read_calibration(directory),
    )


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write a directory that `load_checkpoint` gives back, in float32."""
    checkpoint.model.save_pretrained(directory)
    checkpoint.image_processor.save_pretrained(directory)
    if checkpoint.text_vision is not None:
        checkpoint.text_vision.save_pretrained(directory)
    if checkpoint.unsure_below is not None:
        calibration = json.dumps({"unsure_below": checkpoint.unsure_below}) + "\n"
        (directory / CALIBRATION_NAME).write_text(calibration, encoding="utf-8")


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
