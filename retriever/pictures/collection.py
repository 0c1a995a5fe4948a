"""A collection of entities' pictures: a unit vector of each, searched by cosine.

    PictureCollection.build(pictures, encoder)      a vector of each, made
    .save(path), PictureCollection.open(path)       kept as one file
    .search(vector_V)                               the most similar picture of every entity

The vectors are what the checkpoint's frozen tower and its neck make of a picture, so a collection
belongs to the checkpoint that made it. They are kept as whole numbers of one byte, and searched by
one matrix product: 100,000 pictures of 1,024 numbers take 100 MB, and 400 MB more once searched.

Shapes: I pictures · V width of the pooled vector
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from corpus.errors import InvalidImage
from corpus.pictures.entities import EntityPicture
from corpus.pictures.images import load_image
from corpus.progress import Advance
from retriever.encoding.encoder import Encoder
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.pictures.fusing import Fusion

# By what is in the file.
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
BATCH = 32  # pictures that are encoded together
_LARGEST = 127  # of the numbers of a row


@dataclass(frozen=True, slots=True)
class SimilarPicture:
    """A picture of an entity that resembles the query's.

    Attributes:
        image: its name, as the table has it.
        entity: what it shows.
        similarity: the cosine of both pictures' vectors.
        name: of the entity, for people; "" where the collection has none.
    """

    image: str
    entity: str
    similarity: float
    name: str = ""


class PictureCollection:
    """Pictures with the entities that they show. Threads may share one.

    Attributes:
        checkpoint: revision of the checkpoint that made the vectors.
        names: of each picture its image and entity.
        vectors_IV: the direction of each picture's vector, int8 as `compact` makes it.
        fusion: how much its pictures count beside passages.
        corpus: the hash of the passages that it was made for; "" for whatever has its entities.
        titles: names of entities, for people.
    """

    def __init__(
        self,
        checkpoint: str,
        names: Sequence[tuple[str, str]],
        vectors_IV: NDArray[np.int8],
        fusion: Fusion,
        corpus: str = "",
        titles: Mapping[str, str] | None = None,
    ) -> None:
        self.checkpoint, self.names, self.fusion = checkpoint, tuple(names), fusion
        self.vectors_IV, self.corpus, self.titles = vectors_IV, corpus, dict(titles or {})

    @classmethod
    def build(
        cls,
        pictures: Sequence[EntityPicture],
        encoder: Encoder,
        fusion: Fusion | None = None,
        advance: Advance = lambda done, total: None,
        corpus: str = "",
        left_out: Callable[[EntityPicture, InvalidImage], None] | None = None,
    ) -> Self:
        """Return the collection of these pictures.

        Args:
            pictures: that it holds.
            encoder: of the checkpoint that it then belongs to.
            fusion: how much they count; None for as fitted for kbvqa-mini.
            advance: told of how many of how many are done.
            corpus: the hash of the passages that it is for; "" for whatever has its entities.
            left_out: told of each picture that cannot be read, which is then left out; None has
                the first one be an error.

        Raises:
            InvalidImage: one is missing or no picture, where none may be left out.
            ValueError: there is none, or the checkpoint sees no pictures.
        """
        vectors: list[NDArray[np.float32]] = []
        names: list[tuple[str, str]] = []
        for start in range(0, len(pictures), BATCH):
            some = []
            for picture in pictures[start : start + BATCH]:
                try:
                    some.append(load_image(picture.path))
                except InvalidImage as exc:
                    if left_out is None:
                        raise
                    left_out(picture, exc)
                else:
                    names.append((picture.image, picture.entity))
            vectors.extend(encoder.encode_pictures(some))
            advance(min(start + BATCH, len(pictures)), len(pictures))
        if not vectors:
            raise ValueError("no pictures: a collection holds one at least")
        rows = compact(np.stack(vectors))
        titles = {picture.entity: picture.name for picture in pictures if picture.name}
        return cls(encoder.checkpoint.revision, names, rows, fusion or Fusion(), corpus, titles)

    def save(self, path: Path) -> None:
        """Write the collection as one file.

        Raises:
            IndexUnavailable: it cannot be written.
        """
        names = json.dumps(self.names, ensure_ascii=False)
        fusion = json.dumps(asdict(self.fusion))
        metadata = {
            "checkpoint": self.checkpoint,
            "corpus": self.corpus,
            "names": names,
            "fusion": fusion,
            "titles": json.dumps(self.titles, ensure_ascii=False),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            partial.write_bytes(save({"vectors": self.vectors_IV}, metadata))
            partial.replace(path)
        except (OSError, SafetensorError) as exc:
            raise IndexUnavailable(f"{path}: the pictures cannot be written ({exc})") from exc

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the collection in a file.

        Raises:
            IndexNotReady: there is none.
            IndexUnavailable: the file is damaged, or of something else.
        """
        if path.is_dir():
            raise IndexNotReady(f"{path} is no file: name one that `kbvqa index pictures` made")
        if not path.is_file():
            raise IndexNotReady(
                f"{path} does not exist: make it with `kbvqa index pictures TABLE --out {path}`"
            )
        try:
            with safe_open(path, "numpy") as file:
                metadata, vectors = file.metadata() or {}, file.get_tensor("vectors")
            names = [(image + "", entity + "") for image, entity in json.loads(metadata["names"])]
            fusion = Fusion(**json.loads(metadata["fusion"]))
            if vectors.ndim != 2 or len(names) != len(vectors) or not names:
                raise ValueError(f"{len(names)} names for vectors of shape {vectors.shape}")
            if vectors.dtype != np.int8 or not vectors.any(axis=1).all():
                raise ValueError(f"vectors of {vectors.dtype}, not int8, or one of zeros")
            titles = {k: v + "" for k, v in json.loads(metadata.get("titles", "{}")).items()}
            return cls(metadata["checkpoint"], names, vectors, fusion, metadata["corpus"], titles)
        except (*_UNREADABLE, OSError, SafetensorError) as exc:
            raise IndexUnavailable(
                f"{path} is no collection of pictures, or damaged ({exc!r}): make it anew with "
                "`kbvqa index pictures`"
            ) from exc

    @cached_property
    def sha256(self) -> str:
        """Return the hash of all that decides what it finds."""
        made = json.dumps([self.checkpoint, self.names, asdict(self.fusion)])
        digest = hashlib.sha256(made.encode())
        digest.update(self.vectors_IV.tobytes())
        return digest.hexdigest()

    def search(self, vector_V: ArrayLike) -> list[SimilarPicture]:
        """Return the most similar picture of every entity, the most similar entity first.

        Raises:
            ValueError: the vector is not as wide as the collection's.
        """
        vector = np.asarray(vector_V, dtype=np.float32)
        if vector.shape != self.vectors_IV.shape[1:]:
            raise ValueError(
                f"a vector of shape {vector.shape} was given, {self.vectors_IV.shape[1:]} is wanted"
            )
        similarity_I = self._rows @ vector
        found: dict[str, SimilarPicture] = {}
        for i in np.argsort(-similarity_I, kind="stable").tolist():
            image, entity = self.names[i]
            if entity not in found:
                name = self.titles.get(entity, "")
                found[entity] = SimilarPicture(image, entity, float(similarity_I[i]), name)
        return list(found.values())

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        rows_IV = self.vectors_IV.astype(np.float32)
        unit_IV: NDArray[np.float32] = rows_IV / np.linalg.norm(rows_IV, axis=1, keepdims=True)
        return unit_IV


def compact(vectors_IV: ArrayLike) -> NDArray[np.int8]:
    """Return the directions of vectors [I, V] as int8: of each row the largest number is 127.

    >>> compact([[0.6, -0.8], [0.0, 2.0]]).tolist()
    [[95, -127], [0, 127]]
    """
    rows_IV = np.asarray(vectors_IV, dtype=np.float32)
    largest_I1 = np.abs(rows_IV).max(axis=1, keepdims=True)
    small_IV: NDArray[np.int8] = np.round(rows_IV * (_LARGEST / largest_I1)).astype(np.int8)
    return small_IV
