"""What the frozen towers say, computed once: training reads it from disk.

    views-4/:    grids [V, I, G, W] and classes [V, I, K] of every picture's views
    passages.pt: hidden states [T, H] of all passage tokens, end to end

View 0 is the picture itself on white, further views are random (`augment.random_view`), before
pieces of other training pictures, too. Of validation pictures only view 0 is made.

Shapes: V views, I pictures, G grid cells, W patch width, K named classes, T tokens, H width.
"""

import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from corpus.demo.data import DemoImage, demo_dir, demo_images
from corpus.pictures.images import load_image
from corpus.progress import Advance
from corpus.types import Passage
from retriever.checkpoint.mini import (
    IMAGE_PROCESSOR,
    PASSAGE_TOKENS,
    base_vocabulary,
    base_weights,
    mini_config,
)
from retriever.encoding.onednn import use_onednn
from retriever.encoding.passages import TOKENS_PER_BATCH, batches_by_length
from retriever.inputs.tokenization import PassageTokenizer
from retriever.model.efficientnet import FEATURE_CHANNELS
from retriever.model.flmr import TextEncoder
from retriever.model.vision import EfficientNetVisionEncoder
from retriever.training.demo.augment import random_view

CHUNK = 64  # pictures a task
CLASSES_KEPT = 5


@dataclass(frozen=True)
class Views:
    """The towers' output for views of pictures, in the order of the picture list.

    Attributes:
        grids: [V, I, G, W] float16, memory-mapped.
        class_ids: [V, I, K], best first.
        probabilities: [V, I, K].
    """

    grids: NDArray[np.float16]
    class_ids: NDArray[np.int16]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class PassageStates:
    """The text tower's output for every passage, end to end.

    Attributes:
        token_ids: [T].
        hidden: [T, H] float16.
        offsets: where each passage starts; one more than there are passages.
    """

    token_ids: Tensor
    hidden: Tensor
    offsets: Tensor


def encode_views(
    images: Sequence[DemoImage],
    views: int,
    seed: int,
    features: Path,
    workers: int,
    advance: Advance,
    grid: int,
) -> Views:
    """Return every picture's views through the vision tower, going on where a run stopped.

    They are kept in a folder of `features` of their own for each grid.
    """
    folder = features / f"views-{grid}"
    folder.mkdir(parents=True, exist_ok=True)
    shape = (views, len(images))
    grids = _array(folder / "grids.npy", (*shape, grid**2, FEATURE_CHANNELS), np.float16)
    class_ids = _array(folder / "class_ids.npy", (*shape, CLASSES_KEPT), np.int16)
    probabilities = _array(folder / "probabilities.npy", (*shape, CLASSES_KEPT), np.float32)
    tasks = [
        _Task(images[start : start + CHUNK], start, view, seed, grid)
        for view in range(views)
        for start in range(0, len(images), CHUNK)
    ]
    # A finished chunk has probabilities; a fresh array is zero everywhere.
    waiting = [t for t in tasks if not probabilities[t.view, t.start, 0] and t.wanted]
    done = len(tasks) - len(waiting)
    advance(done, len(tasks))
    with ProcessPoolExecutor(workers) as pool:
        for task, (g, c, p) in zip(waiting, pool.map(_encode_chunk, waiting), strict=True):
            rows = slice(task.start, task.start + len(task.images))
            grids[task.view, rows], class_ids[task.view, rows] = g, c
            probabilities[task.view, rows] = p
            done += 1
            advance(done, len(tasks))
    return Views(grids, class_ids, probabilities)


@dataclass(frozen=True)
class _Task:
    images: Sequence[DemoImage]
    start: int
    view: int
    seed: int
    grid: int

    @property
    def wanted(self) -> bool:
        return self.view == 0 or any(image.split == "train" for image in self.images)


def _encode_chunk(task: _Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pictures = [_view(image, task.view, task.seed) for image in task.images]
    pixels = IMAGE_PROCESSOR(pictures).contiguous(memory_format=torch.channels_last)
    encoder = _vision_encoder(task.grid)
    # A random view may be rounded too: on a processor with AVX-512 BF16 it takes 0.4 of the time.
    rounded = torch.autocast("cpu", torch.bfloat16, enabled=task.view > 0)
    with torch.inference_mode(), rounded:
        maps = encoder.vision_model(pixels)
        best = encoder.vision_model.classify(maps[-1]).softmax(-1).topk(CLASSES_KEPT)
        grids = encoder.grid_features(maps)
    return grids.half().numpy(), best.indices.short().numpy(), best.values.float().numpy()


def _view(image: DemoImage, view: int, seed: int) -> Image.Image:
    if view == 0 or image.split != "train":
        return load_image(demo_dir() / image.image)
    rng = np.random.default_rng([seed, view, zlib.crc32(image.image.encode())])
    behind = rng.choice(_training_pictures(), size=int(rng.integers(0, 5)), replace=False)
    others = [_drawing(path) for path in behind]
    return random_view(_drawing(image.image), image.kind, rng, others)


@cache
def _training_pictures() -> list[str]:
    return [image.image for image in demo_images() if image.split == "train"]


def _drawing(name: str) -> Image.Image:
    with Image.open(demo_dir() / name) as picture:
        return picture.convert("RGBA")


@cache
def _vision_encoder(grid: int) -> EfficientNetVisionEncoder:
    """Return the frozen tower, once a process."""
    torch.set_num_threads(1)
    encoder = EfficientNetVisionEncoder(grid)
    prefix = "query_vision_encoder.vision_model."
    weights = {k.removeprefix(prefix): v for k, v in base_weights().items() if prefix in k}
    encoder.vision_model.load_state_dict(weights)
    encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encoder


def encode_passages(passages: Sequence[Passage], path: Path, advance: Advance) -> PassageStates:
    """Return the frozen text tower's hidden states of all passages, kept in a file."""
    if path.exists():
        return PassageStates(**torch.load(path, mmap=True, weights_only=True))
    tokenizer = PassageTokenizer(base_vocabulary(), PASSAGE_TOKENS)
    tower = TextEncoder(mini_config())
    prefix = "context_text_encoder."
    tower.load_state_dict(
        {k.removeprefix(prefix): v for k, v in base_weights().items() if k.startswith(prefix)}
    )
    tower.eval()
    use_onednn(tower)
    rows = tokenizer.encode([passage.text for passage in passages])
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    hidden: list[Tensor] = [torch.empty(0)] * len(rows)
    done = 0
    for batch in batches_by_length(order, [len(row) for row in rows], TOKENS_PER_BATCH["cpu"]):
        tokens = tokenizer.pad([rows[i] for i in batch])
        with torch.inference_mode():
            states = tower(tokens["input_ids"], tokens["attention_mask"]).half()
        for i, state in zip(batch, states, strict=True):
            hidden[i] = state[: len(rows[i])].clone()
        done += len(batch)
        advance(done, len(rows))
    lengths = torch.tensor([0, *(len(row) for row in rows)])
    states = {
        "token_ids": torch.tensor([token for row in rows for token in row]),
        "hidden": torch.cat(hidden),
        "offsets": lengths.cumsum(0),
    }
    torch.save(states, path)
    return PassageStates(**states)


def _array(path: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """Return a memory-mapped array in a .npy file, zeros when the file is new."""
    if path.exists():
        array = np.load(path, mmap_mode="r+")
        if array.shape == shape:
            return cast(NDArray[Any], array)
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
