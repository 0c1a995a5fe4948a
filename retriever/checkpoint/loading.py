"""Loading and saving checkpoints: a directory, or the id of a hub repository.

A checkpoint directory holds config.json, safetensors weights (one file, or shards with
an index), query_tokenizer/, context_tokenizer/, and for kbvqa's own models
preprocessor_config.json and text_vision.json. Weights are loaded strictly, without
remote code, and only from safetensors (`retriever.checkpoint.weights`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from retriever.checkpoint.files import resolve
from retriever.checkpoint.identity import checkpoint_revision
from retriever.checkpoint.mini import CALIBRATION_NAME
from retriever.checkpoint.pretrained import FLMRModel
from retriever.checkpoint.weights import verify_files
from retriever.errors import InvalidCheckpoint
from retriever.inputs.images import CONFIG_NAME as PROCESSOR_NAME
from retriever.inputs.images import ImageProcessor
from retriever.inputs.text_vision import TextVision
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig


@dataclass(frozen=True)
class Checkpoint:
    """Everything that turns queries and passages into embeddings.

    Attributes:
        name: the directory's name or the repository id.
        revision: hash of all that decides an embedding (`identity`), 12 hex digits.
        text_vision: settings of text-based vision; None where the checkpoint uses none.
        unsure_below: best scores under this mean "not sure"; None where never calibrated.
        picture_weight: how much what the picture shows by itself counts (`index.picture`); 0 where
            it is not asked.
    """

    name: str
    revision: str
    model: FLMRModel
    image_processor: ImageProcessor
    text_vision: TextVision | None = None
    unsure_below: float | None = None
    picture_weight: float = 0.0

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

    @property
    def picture_width(self) -> int:
        """Return how many numbers a picture's vector has, by which pictures are compared; or 0."""
        sees = self.model.config.use_vision_encoder
        return self.model.query_vision_encoder.likeness_size if sees else 0


def load_checkpoint(
    location: Path | str, revision: str | None = None, assembled: Path | None = None
) -> Checkpoint:
    """Return a checkpoint, in float32 on the CPU; arguments as for `files.resolve`.

    Raises:
        InvalidCheckpoint: no such checkpoint, another architecture, unusable weights.
        CheckpointMismatch: missing or unexpected weights, all of them listed.
    """
    directory = resolve(location, revision, assembled)
    verify_files(directory)
    model = FLMRModel.from_directory(directory)
    image_processor = _image_processor(directory, model.config)
    text_vision = TextVision.from_pretrained(directory)
    unsure_below, picture_weight = _read_calibration(directory)
    return Checkpoint(
        name=str(location) if not Path(location).is_dir() else Path(location).resolve().name,
        revision=checkpoint_revision(model, image_processor, text_vision),
        model=model,
        image_processor=image_processor,
        text_vision=text_vision,
        unsure_below=unsure_below,
        picture_weight=picture_weight,
    )


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write a directory that `load_checkpoint` gives back, in float32."""
    checkpoint.model.save_pretrained(directory)
    checkpoint.image_processor.save_pretrained(directory)
    if checkpoint.text_vision is not None:
        checkpoint.text_vision.save_pretrained(directory)
    if checkpoint.unsure_below is not None or checkpoint.picture_weight:
        calibration = {
            "unsure_below": checkpoint.unsure_below,
            "picture_weight": checkpoint.picture_weight,
        }
        (directory / CALIBRATION_NAME).write_text(json.dumps(calibration) + "\n", encoding="utf-8")


def _image_processor(directory: Path, config: FLMRConfig) -> ImageProcessor:
    """Return the checkpoint's own processor; released ones carry none and take CLIP's."""
    if (directory / PROCESSOR_NAME).exists():
        return ImageProcessor.from_pretrained(directory)
    side = config.clip_vision_config().image_size
    return ImageProcessor(size=(side, side), shortest_edge=side)


def _read_calibration(directory: Path) -> tuple[float | None, float]:
    """Return the threshold and the picture's weight; None and 0 where nothing was calibrated."""
    path = directory / CALIBRATION_NAME
    if not path.exists():
        return None, 0.0
    try:
        calibration = json.loads(path.read_text(encoding="utf-8"))
        below = calibration["unsure_below"]
        weight = float(calibration.get("picture_weight", 0.0))
        return None if below is None else float(below), weight
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InvalidCheckpoint(
            f"{path}: needs a number or null 'unsure_below', and may have a number "
            f"'picture_weight' ({exc!r})."
        ) from exc
