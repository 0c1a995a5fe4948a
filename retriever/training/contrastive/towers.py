"""Queries and passages of a batch to embeddings, with gradients for what trains.

What a frozen tower says of a picture or a text is computed once and kept (`features`): stage 1 of
PreFLMR never runs the ViT, nor BERT, a second time.

Shapes: B queries, L text tokens, Q query tokens, N passages, P passage tokens, D embedding dim.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint as recomputed

from corpus.errors import InvalidImage
from corpus.pictures.images import load_image
from corpus.pictures.store import black_image
from corpus.types import Passage, Query
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.device import all_on_device
from retriever.encoding.queries import QueryEncoder
from retriever.model.bert import Layer
from retriever.model.flmr import FLMR
from retriever.model.mapping import MappingLayer
from retriever.model.vision import VisionFeatures
from retriever.training.contrastive.features import FeatureStore, Stored
from retriever.training.examples import TrainingExample
from retriever.training.recipes import Part, RetrieverRecipe

Item = TypeVar("Item")

# Modules of a part; where a checkpoint shares a tower it has the query's name (model.flmr).
_MODULES: dict[Part, tuple[str, ...]] = {
    "questions": ("query_text_encoder", "query_text_encoder_linear"),
    "passages": ("context_text_encoder", "context_text_encoder_linear"),
    "mapping": (
        "query_vision_projection",
        "transformer_mapping_input_linear",
        "transformer_mapping_network",
        "transformer_mapping_output_linear",
    ),
    "vision": ("query_vision_encoder",),
}
# Read by nothing, or constants: they never get a gradient.
_UNUSED = ("pooler.", "post_layernorm.", "feature_mean", "feature_std")


def modules_of(model: FLMR, part: Part) -> list[nn.Module]:
    """Return the modules of a part that this model has."""
    names = _MODULES[part]
    if part == "passages" and not model.config.separate_query_and_context_text_encoder:
        names = _MODULES["questions"]
    return [getattr(model, name) for name in names if hasattr(model, name)]


def trained_names(model: FLMR, recipe: RetrieverRecipe) -> set[str]:
    """Return the names of the parameters that a recipe trains."""
    modules = {id(m) for part in recipe.trains for m in modules_of(model, part)}
    return {
        f"{prefix}.{name}"
        for prefix, module in model.named_children()
        if id(module) in modules
        for name, _ in module.named_parameters()
        if not any(unused in name for unused in _UNUSED)
    }


def freeze(model: FLMR, recipe: RetrieverRecipe) -> dict[str, nn.Parameter]:
    """Return the parameters that a recipe trains, by name; the others are frozen, in eval mode."""
    names = trained_names(model, recipe)
    model.eval()
    for part in recipe.trains:
        for module in modules_of(model, part):
            module.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # small batches would spoil its statistics
            module.eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    return {name: p for name, p in model.named_parameters() if name in names}


def recompute_layers(model: nn.Module) -> None:
    """Let layers of text towers and mapping network compute again what the gradients need."""
    for module in model.modules():
        if isinstance(module, Layer | MappingLayer):
            module.forward = partial(recomputed, module.forward, use_reentrant=False)  # type: ignore[method-assign]


class Towers:
    """A checkpoint in training.

    Args:
        checkpoint: on the device, frozen as the recipe says.
        recipe: the settings.
        device: where the model is.
        features: the folder for what frozen towers say; None keeps nothing.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        recipe: RetrieverRecipe,
        device: torch.device,
        features: Path | None,
    ) -> None:
        self._checkpoint, self._model, self._device = checkpoint, checkpoint.model, device
        self._recipe = recipe
        self._encoder = QueryEncoder(checkpoint, device, torch.float32, None, None)
        self._threads = ThreadPoolExecutor(thread_name_prefix="pictures")
        self._sees = recipe.rows != "text" and self._model.config.use_vision_encoder
        self._stores = {
            part: self._store(part, features)
            for part in ("questions", "passages", "vision")
            if features is not None and self._is_frozen(part)
        }  # fmt: skip

    def queries(self, examples: Sequence[TrainingExample]) -> Tensor:
        """Return query embeddings [B, Q, D]: unit rows, rows that do not count all zero.

        Raises:
            InvalidImage: a picture cannot be used; the message names the example.
        """
        seeing = [e for e in examples if self._sees and (e.image is not None or e.black_image)]
        vision, seen = self._vision(seeing) if seeing else (None, {})
        shows = [example.id in seen for example in examples]
        if vision is not None and not all(shows):
            vision = _spread(vision, shows)
        texts = [
            self._encoder.text(Query(e.question, instruction=e.instruction), seen.get(e.id, ""))
            for e in examples
        ]
        tokens = all_on_device(self._checkpoint.query_tokenizer(texts), self._device)
        rows: Tensor = self._model(
            tokens["input_ids"],
            self._text(texts, tokens),
            vision,
            concat_text=False if self._recipe.rows == "visual" else None,
            concat_vision=shows if vision is not None else False,
        )
        return rows

    def passages(self, passages: Sequence[Passage]) -> tuple[Tensor, Tensor]:
        """Return passage embeddings [N, P, D] (unit rows) and which rows count, bool [N, P]."""
        texts = [passage.text for passage in passages]
        store = self._stores.get("passages")
        if store is None:
            return self._passages(texts)
        found = self._once(store, texts, texts, self._kept_passages)
        rows = [stored.arrays[0].float() for stored in found]
        lengths = torch.tensor([len(row) for row in rows])
        padded_NPD = pad_sequence(rows, batch_first=True).to(self._device)
        mask_NP = torch.arange(padded_NPD.shape[1]) < lengths[:, None]
        return padded_NPD, mask_NP.to(self._device)

    def _passages(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokens = self._checkpoint.passage_tokenizer(
            list(texts), self._recipe.passage_tokens or None, padding="longest"
        )
        return self._model.encode_passage(**all_on_device(tokens, self._device))

    def _kept_passages(self, texts: Sequence[str]) -> list[Stored]:
        """Return the rows of passages that count, in full precision."""
        rows_NPD, mask_NP = self._passages(texts)
        return [Stored((row[mask],), "") for row, mask in zip(rows_NPD, mask_NP, strict=True)]

    def _text(self, texts: Sequence[str], tokens: dict[str, Tensor]) -> Tensor:
        """Return what the question's tower says, [B, L, H]."""
        store = self._stores.get("questions")
        if store is None:
            states: Tensor = self._model.query_text_encoder(*tokens.values())
            return states
        found = self._once(store, texts, texts, self._kept_texts)
        return self._stacked([stored.arrays[0] for stored in found])

    def _kept_texts(self, texts: Sequence[str]) -> list[Stored]:
        tokens = all_on_device(self._checkpoint.query_tokenizer(list(texts)), self._device)
        states = self._model.query_text_encoder(*tokens.values())
        return [Stored((state,), "") for state in states]

    def _vision(self, examples: Sequence[TrainingExample]) -> tuple[VisionFeatures, dict[str, str]]:
        """Return the features of examples' pictures, and by id what a classifier saw in them."""
        store = self._stores.get("vision")
        if store is None:
            features, looks = self._encoder.see(self._pictures(examples))
            seen = [look.sight.sentence() for look in looks]
        else:
            keys = [_picture_key(example) for example in examples]
            found = self._once(store, keys, examples, self._kept_pictures)
            columns = zip(*(stored.arrays for stored in found), strict=True)
            features = VisionFeatures(*(self._stacked(column) for column in columns))
            seen = [stored.note for stored in found]
        return features, {e.id: sentence for e, sentence in zip(examples, seen, strict=True)}

    def _pictures(self, examples: Sequence[TrainingExample]) -> list[list[Image]]:
        """Return examples' pictures, each by itself, read in parallel."""
        return [[picture] for picture in self._threads.map(_picture, examples)]

    def _kept_pictures(self, examples: Sequence[TrainingExample]) -> list[Stored]:
        features, seen = self._encoder.see(self._pictures(examples))
        rows = zip(*features, strict=True)
        return [
            Stored(arrays, look.sight.sentence()) for arrays, look in zip(rows, seen, strict=True)
        ]

    def _once(
        self,
        store: FeatureStore,
        keys: Sequence[str],
        items: Sequence[Item],
        compute: Callable[[Sequence[Item]], list[Stored]],
    ) -> list[Stored]:
        """Return what is kept for items by key, computing what is not there, without gradients.

        Numbers are in float16 from the first time on: the same whether they were kept or not.
        """
        lacking = {key: item for key, item in zip(keys, items, strict=True) if key not in store}
        if lacking:
            with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
                made = compute(list(lacking.values()))
            for key, stored in zip(lacking, made, strict=True):
                store.put(key, stored.arrays, stored.note)
        return [store[key] for key in keys]

    def _stacked(self, halves: Sequence[Tensor]) -> Tensor:
        """Return arrays of one shape as one, in float32 on the device."""
        return torch.stack([half.float() for half in halves]).to(self._device)

    def _is_frozen(self, part: Part) -> bool:
        modules = modules_of(self._model, part)
        return bool(modules) and not any(
            p.requires_grad for module in modules for p in module.parameters()
        )

    def _store(self, part: Part, folder: Path) -> FeatureStore:
        """Return the store of a frozen part, in a folder named by all that decides its features."""
        checkpoint = self._checkpoint
        declared: object
        if part == "vision":
            declared = asdict(checkpoint.image_processor), repr(checkpoint.text_vision)
        else:
            query = part == "questions"
            tokenizer = checkpoint.query_tokenizer if query else checkpoint.passage_tokenizer
            cut = 0 if query else self._recipe.passage_tokens
            declared = tokenizer.vocab, tokenizer.max_length, tokenizer.lowercase, cut
        tensors = (t for m in modules_of(self._model, part) for t in m.state_dict().values())
        return FeatureStore(folder / f"{part}-{_digest(declared, tensors)}")


def _digest(declared: object, tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _picture(example: TrainingExample) -> Image:
    if example.image is None:
        return black_image()
    try:
        return load_image(example.image)
    except InvalidImage as exc:
        raise InvalidImage(f"example {example.id!r}: {exc}") from exc


def _picture_key(example: TrainingExample) -> str:
    """Return what a picture is known by without opening it: its file, its size and its time."""
    if example.image is None:
        return "black"
    try:
        stat = example.image.stat()
    except OSError as exc:
        raise InvalidImage(f"example {example.id!r}: {example.image}: {exc.strerror}") from exc
    return f"{example.image}|{stat.st_size}|{stat.st_mtime_ns}"


def _spread(vision: VisionFeatures, shows: Sequence[bool]) -> VisionFeatures:
    """Return features with a row of zeros for each query that has no picture."""
    place = torch.tensor(shows).nonzero().flatten().to(vision.pooled_BV.device)
    spread = []
    for features in vision:
        whole = features.new_zeros(len(shows), *features.shape[1:])
        spread.append(whole.index_copy(0, place, features))
    return VisionFeatures(*spread)
