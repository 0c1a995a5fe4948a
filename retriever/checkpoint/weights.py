"""Weights of checkpoints: safetensors only, checked by hash and key for key.

A file may carry names that the released ones no longer have: names of the original
Lightning checkpoints and of ColBERT, aliases of shared towers, buffers that older
libraries saved. They are translated to the released names; every other name must fit.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from retriever.errors import CheckpointMismatch, InvalidCheckpoint
from retriever.model.config import CONFIG_NAME, EFFICIENTNET, FLMRConfig

WEIGHTS_NAME = "model.safetensors"
WEIGHTS_INDEX_NAME = "model.safetensors.index.json"
SHARD_BYTES = 5 * 10**9  # what the hub's libraries cut files at
CHECKSUMS_NAME = "SHA256SUMS"

# Names of the original Lightning and ColBERT checkpoints (ARCHITECTURE section 3).
_LEGACY_PREFIXES = {
    "model.model.bert.": "context_text_encoder.bert_model.",
    "model.model.linear.": "context_text_encoder_linear.",
    "model.query_encoder.": "query_text_encoder.bert_model.",
    "model.query_linear.": "query_text_encoder_linear.",
    "model.vision_model.": "context_vision_encoder.vision_model.",
    "model.vision_projection_linear.": "transformer_mapping_output_linear.",
    "model.vision_projection_input_linear2.": "transformer_mapping_input_linear.",
    "model.vision_projection_input_linear.": "context_vision_projection.",
    "bert.": "context_text_encoder.bert_model.",
    "linear.": "context_text_encoder_linear.",
}
_FLAT_TOWER = re.compile(r"(_vision_encoder\.vision_model\.)(?!vision_model\.)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class unfilled(TorchFunctionMode):
    """Within it modules are made without memory, and what fills them at random does nothing.

        with unfilled():
            model = FLMRModel(config)
        load_weights(model, config, directory)

    On torch's meta device alone, filling imports torch's compiler: a second.
    """

    _FILLING = frozenset({"normal_", "uniform_", "fill_", "zero_"})

    def __init__(self) -> None:
        super().__init__()
        self._meta = torch.device("meta")

    def __enter__(self) -> Self:
        self._meta.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._meta.__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, unless it only fills its first argument."""
        of_init = getattr(func, "__module__", "") == "torch.nn.init"
        if of_init or getattr(func, "__name__", "") in self._FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def load_weights(model: nn.Module, config: FLMRConfig, directory: Path) -> None:
    """Put the directory's weights into a model, in float32, key for key.

    The tensors that are read become the model's own, so that it may have been built on
    the meta device: nothing is initialised first, and memory peaks at one copy.

    Raises:
        CheckpointMismatch: missing or unexpected names; all of them are listed.
        InvalidCheckpoint: files that cannot be read, wrong shapes, values that are not finite.
    """
    tensors = _read_tensors(directory, config)
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
        # In one pass: a sum in float64 of finite float32 is finite.
        if not torch.isfinite(tensor.sum(dtype=torch.float64)):
            raise InvalidCheckpoint(
                f"{directory}: '{name}' holds NaN or infinite values. Fetch the weights again."
            )
        tensors[name] = tensor.to(expected[name].dtype)
    model.load_state_dict(tensors, assign=True)
    _fill_buffers(model)


def save_weights(model: nn.Module, directory: Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the model's weights as one safetensors file, or as shards with an index."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_bytes
    for name, tensor in tensors.items():
        if tensor.nbytes > room and shards[-1]:
            shards.append({})
            room = shard_bytes
        shards[-1][name] = tensor
        room -= tensor.nbytes
    metadata = {"format": "pt"}
    if len(shards) == 1:
        (directory / WEIGHTS_INDEX_NAME).unlink(missing_ok=True)
        save_file(tensors, directory / WEIGHTS_NAME, metadata=metadata)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, directory / file, metadata=metadata)
        weight_map |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    text = json.dumps(index, indent=2) + "\n"
    (directory / WEIGHTS_INDEX_NAME).write_text(text, encoding="utf-8")


def weight_files(directory: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, shards in order.

    Raises:
        InvalidCheckpoint: there are none, some are missing, or they are pickles.
    """
    index = directory / WEIGHTS_INDEX_NAME
    if index.exists():
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            files = [directory / name for name in sorted(set(weight_map.values()))]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise InvalidCheckpoint(
                f"{index}: has no usable 'weight_map' ({exc!r}). Fetch the file again."
            ) from exc
    else:
        files = [directory / WEIGHTS_NAME]
    lacking = [path.name for path in files if not path.exists()]
    if not lacking:
        return files
    pickled = sorted((*directory.glob("*.bin"), *directory.glob("*.ckpt")))
    if pickled:
        raise InvalidCheckpoint(
            f"{directory}: only {pickled[0].name} is here. A {pickled[0].suffix} file can run code "
            f"when opened, so it is not read: convert it to {WEIGHTS_NAME}."
        )
    raise InvalidCheckpoint(
        f"{directory}: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing. "
        "Is the download of the checkpoint complete?"
    )


def verify_files(directory: Path) -> None:
    """Compare config.json and the weights with the hashes that are on record for them.

    A record is the hub's, in its cache or beside a download, or a SHA256SUMS file; a file
    without one is taken as it is.

    Raises:
        InvalidCheckpoint: a file is not the one that the record names, or is missing.
    """
    for path in [directory / CONFIG_NAME, *weight_files(directory)]:
        recorded = _recorded_sha256(path)
        if recorded is None:
            continue
        own = hashlib.sha256()
        for block in _blocks(path):
            own.update(block)
        if recorded != own.hexdigest():
            raise InvalidCheckpoint(
                f"{path}: its sha256 is {own.hexdigest()[:12]}..., but {recorded[:12]}... is "
                "on record for it. The download is damaged or the file was changed: fetch it again."
            )


def released_names(names: list[str], config: FLMRConfig) -> dict[str, str]:
    """Return the released name of each name in a file, without buffers that are not weights."""
    return {
        name: _released_name(name, config)
        for name in names
        if not name.endswith(("embeddings.position_ids", "embeddings.token_type_ids"))
    }


def _released_name(name: str, config: FLMRConfig) -> str:
    mapping = config.use_transformer_mapping_network
    projection = "transformer_mapping_network." if mapping else "context_vision_projection."
    legacy = {**_LEGACY_PREFIXES, "model.vision_projection.": projection}
    for old, new in legacy.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    # Newer public code knows the text tower under a second name.
    name = name.replace("_text_encoder.text_model.", "_text_encoder.bert_model.", 1)
    # transformers 5 dropped a level inside CLIP's tower; the released name has it twice.
    if config.vision_type != EFFICIENTNET:
        name = _FLAT_TOWER.sub(r"\1vision_model.", name)
    # A shared tower exists once, as query_*; its context_* name is an alias.
    if not config.separate_query_and_context_text_encoder:
        name = re.sub(r"^context_text_encoder", "query_text_encoder", name)
    if not config.separate_query_and_context_vision_encoder:
        name = re.sub(r"^context_vision_(encoder|projection)", r"query_vision_\1", name)
    return re.sub(r"LayerNorm\.(gamma|beta)$", _layer_norm, name)


def _layer_norm(match: re.Match[str]) -> str:
    return "LayerNorm." + ("weight" if match[1] == "gamma" else "bias")


def _read_tensors(directory: Path, config: FLMRConfig) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        try:
            with safe_open(path, framework="pt") as file:
                for old, new in released_names(list(file.keys()), config).items():
                    tensor = file.get_tensor(old)
                    if new in tensors and not torch.equal(tensors[new], tensor):
                        raise InvalidCheckpoint(
                            f"{path}: '{old}' is another name of '{new}', but holds other "
                            f"numbers. Does {CONFIG_NAME} say which towers are separate?"
                        )
                    tensors[new] = tensor
        except (OSError, SafetensorError) as exc:
            raise InvalidCheckpoint(
                f"{path}: cannot be read as safetensors ({exc}). "
                "The download may be incomplete: fetch the file again."
            ) from exc
    return tensors


def _fill_buffers(model: nn.Module) -> None:
    """Give buffers that no file holds their values: positions, and token types of zero."""
    for name, buffer in list(model.named_buffers()):
        if not buffer.is_meta:
            continue
        owner, _, attribute = name.rpartition(".")
        if attribute == "position_ids":
            values = torch.arange(buffer.shape[-1]).expand(buffer.shape).clone()
        elif attribute == "token_type_ids":
            values = torch.zeros(buffer.shape, dtype=torch.long)
        else:
            raise RuntimeError(f"buffer {name} has no known value")
        model.get_submodule(owner).register_buffer(attribute, values, persistent=False)


def _recorded_sha256(path: Path) -> str | None:
    """Return the hash on record for a file, or None."""
    sums = path.parent / CHECKSUMS_NAME
    if sums.exists():
        for line in sums.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition(" ")
            if name.lstrip(" *") == path.name:
                return digest.lower()
    # `hf download --local-dir` keeps the hub's etag, which is the sha256 of large files.
    record = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    if record.exists():
        lines = record.read_text(encoding="utf-8").splitlines()
        if len(lines) > 1 and _SHA256.fullmatch(lines[1].strip()):
            return lines[1].strip()
    # In the hub's cache a file is a link to a blob that is named by its hash.
    blob = path.resolve().name
    return blob if path.is_symlink() and _SHA256.fullmatch(blob) else None


def _blocks(path: Path, size: int = 1 << 22) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(size):
                yield block
    except OSError as exc:
        raise InvalidCheckpoint(f"{path}: cannot be read ({exc}).") from exc
