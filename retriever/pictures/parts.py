"""Vectors of some pictures, kept in a file until all are made.

Encoding a hundred thousand pictures takes an hour on a core: a build that was stopped, or killed,
goes on where it was half a minute before at most. Each part knows what it was made of, so that a
picture, a row of the table or a checkpoint that has changed has that part made anew.

Shapes: I pictures · V width of the pooled vector · L x H x W x C as in layout.py
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from corpus.errors import InvalidImage
from corpus.pictures.entities import EntityPicture
from corpus.pictures.images import load_image
from retriever.encoding.encoder import Encoder
from retriever.pictures.layout import SHAPE, Layouts, layouts

BATCH = 32  # pictures that are encoded together
KEPT_EVERY_SECONDS = 20  # a part that is not finished is kept so often
_LARGEST = 127  # of the numbers of a row
# By what is in a file that no build wrote.
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, OSError, SafetensorError)


@dataclass(frozen=True, slots=True)
class Part:
    """Some pictures, encoded: all of a part, or the first ones of it.

    Attributes:
        vectors_IV: the directions of those that can be read, as `compact` makes them.
        layouts_ILHWC: how the colours of each lie.
        left_out: of each that cannot, its place and why.
    """

    vectors_IV: NDArray[np.int8]
    layouts_ILHWC: Layouts
    left_out: dict[int, str]

    @property
    def done(self) -> int:
        """Return how many pictures it is of, those included that cannot be read."""
        return len(self.vectors_IV) + len(self.left_out)

    @classmethod
    def encode(
        cls,
        pictures: Sequence[EntityPicture],
        encoder: Encoder,
        advance: Callable[[int], None],
        path: Path | None = None,
    ) -> Self:
        """Return the part of these pictures.

        Args:
            pictures: of the part.
            encoder: of the checkpoint.
            advance: told how many are done.
            path: a file that may have the part, or the beginning of it, and in which it is kept,
                as far as it is done now and then; None for none.
        """
        made = "" if path is None else made_of(pictures, encoder)
        begun = None if path is None else cls.open(path, made)
        if begun is None or begun.done > len(pictures):
            none = np.empty((0, encoder.picture_width), dtype=np.int8)
            begun = cls(none, np.empty((0, *SHAPE), dtype=np.int8), {})
        if begun.done == len(pictures):
            return begun
        rows, lying, left_out = [begun.vectors_IV], [begun.layouts_ILHWC], dict(begun.left_out)
        advance(begun.done)
        kept = time.monotonic()
        for start in range(begun.done, len(pictures), BATCH):
            some = []
            for place, picture in enumerate(pictures[start : start + BATCH], start):
                try:
                    some.append(load_image(picture.path))
                except InvalidImage as exc:
                    left_out[place] = str(exc)
            if some:
                rows.append(compact(np.stack(encoder.encode_pictures(some))))
                lying.append(np.stack([layouts(picture) for picture in some]))
            done = min(start + BATCH, len(pictures))
            last = done == len(pictures)
            if last or (path is not None and time.monotonic() - kept >= KEPT_EVERY_SECONDS):
                begun = cls(np.concatenate(rows), np.concatenate(lying), dict(left_out))
                rows, lying = [begun.vectors_IV], [begun.layouts_ILHWC]
                if path is not None:
                    begun.save(path, made)
                kept = time.monotonic()
            advance(done)
        return begun

    def save(self, path: Path, made_of: str) -> None:
        """Write the part whole or not at all. `made_of` is as `made_of` has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        metadata = {"made_of": made_of, "left_out": json.dumps(self.left_out)}
        tensors = {"vectors": self.vectors_IV, "layouts": self.layouts_ILHWC}
        save_file(tensors, partial, metadata)
        partial.replace(path)

    @classmethod
    def open(cls, path: Path, made_of: str) -> Self | None:
        """Return what a file has of a part; None where that is of something else, or damaged."""
        try:
            with safe_open(path, "numpy") as file:
                metadata, vectors_IV = file.metadata() or {}, file.get_tensor("vectors")
                layouts_ILHWC = file.get_tensor("layouts")
            if metadata["made_of"] != made_of:
                return None
            left_out = json.loads(metadata["left_out"])
            reasons = {int(place): why + "" for place, why in left_out.items()}
            return cls(vectors_IV, layouts_ILHWC, reasons)
        except _UNREADABLE:
            return None


def made_of(pictures: Sequence[EntityPicture], encoder: Encoder) -> str:
    """Return the hash of what a part is made of: pictures as they lie there, and an encoder.

    With how wide its vectors are: earlier versions made others by the same checkpoint.
    """
    files: list[tuple[str, int, int]] = []
    for picture in pictures:
        try:
            stat = picture.path.stat()
        except OSError:
            files.append((picture.image, -1, -1))
        else:
            files.append((picture.image, stat.st_size, stat.st_mtime_ns))
    made = [encoder.checkpoint.revision, encoder.picture_width, files]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def compact(vectors_IV: ArrayLike) -> NDArray[np.int8]:
    """Return the directions of vectors [I, V] as int8: of each row the largest number is 127.

    >>> compact([[0.6, -0.8], [0.0, 2.0]]).tolist()
    [[95, -127], [0, 127]]
    """
    rows_IV = np.asarray(vectors_IV, dtype=np.float32)
    largest_I1 = np.abs(rows_IV).max(axis=1, keepdims=True)
    small_IV: NDArray[np.int8] = np.round(rows_IV * (_LARGEST / largest_I1)).astype(np.int8)
    return small_IV
