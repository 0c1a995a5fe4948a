"""A collection of entities' pictures: a unit vector of each, searched by cosine.

    PictureCollection.build(pictures, encoder)      a vector of each, made
    .save(path), PictureCollection.open(path)       kept as one file
    .search(vectors_QV, top_k)                      the most similar picture of each entity

The vectors are what the checkpoint's frozen tower and its neck make of a picture, so a collection
belongs to the checkpoint that made it. They are kept as whole numbers of one byte, and searched by
one matrix product. Up to a quarter of a million of them are held as float32 too once searched:
100,000 pictures of 1,024 numbers take 100 MB and then 400 MB more. More than that are turned into
float32 block by block, anew for each search: ask for many at once.

Shapes: Q queries · I pictures · V width of the pooled vector · E entities
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from corpus.errors import InvalidImage
from corpus.pictures.entities import EntityPicture
from corpus.progress import Advance
from retriever.encoding.encoder import Encoder
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.pictures.fusing import Fusion
from retriever.pictures.parts import Part, made_of

# By what is in the file.
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
PART = 1_024  # pictures that are kept together while a collection is built
_HELD = 2**28  # numbers that are held as float32, 1 GiB of them
_BLOCK = 2**22  # numbers that are made float32 at a time, where they are not held
_SIMILARITIES = 2**26  # that are computed at a time


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


def not_left_out(picture: EntityPicture, exc: InvalidImage) -> None:
    """Raise why a picture cannot be read."""
    raise exc


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
        left_out: Callable[[EntityPicture, InvalidImage], None] = not_left_out,
        parts: Path | None = None,
    ) -> Self:
        """Return the collection of these pictures.

        Args:
            pictures: that it holds.
            encoder: of the checkpoint that it then belongs to.
            fusion: how much they count; None for as fitted for kbvqa-mini.
            advance: told of how many of how many are done.
            corpus: the hash of the passages that it is for; "" for whatever has its entities.
            left_out: told of each picture that cannot be read, which is then left out; by itself
                it raises that error.
            parts: directory in which what is finished is kept, so that a build that was stopped
                goes on with the same one; None for none. Whoever saves the collection removes it.

        Raises:
            InvalidImage: one is missing or no picture, where none may be left out.
            ValueError: there is none, or the checkpoint sees no pictures.
        """
        rows: list[NDArray[np.int8]] = []
        names: list[tuple[str, str]] = []
        revision = encoder.checkpoint.revision
        for start in range(0, len(pictures), PART):
            some = pictures[start : start + PART]

            def of_all(done: int, start: int = start) -> None:
                advance(start + done, len(pictures))

            made = made_of(some, revision)
            kept = None if parts is None else parts / f"{start:09d}.safetensors"
            part = None if kept is None else Part.open(kept, made)
            if part is None:
                part = Part.encode(some, encoder, of_all)
                if kept is not None:
                    part.save(kept, made)
            of_all(len(some))
            for place, why in part.left_out.items():
                left_out(some[place], InvalidImage(why))
            readable = (p for place, p in enumerate(some) if place not in part.left_out)
            names += [(picture.image, picture.entity) for picture in readable]
            rows.append(part.vectors_IV)
        if not names:
            raise ValueError("no pictures: a collection holds one at least")
        titles = {picture.entity: picture.name for picture in pictures if picture.name}
        return cls(revision, names, np.concatenate(rows), fusion or Fusion(), corpus, titles)

    def save(self, path: Path) -> None:
        """Write the collection as one file.

        Raises:
            IndexUnavailable: it cannot be written.
        """
        fusion = json.dumps(asdict(self.fusion))
        metadata = {"checkpoint": self.checkpoint, "corpus": self.corpus, "fusion": fusion}
        tensors = {
            "vectors": self.vectors_IV,
            "names": _as_bytes(self.names),
            "titles": _as_bytes(self.titles),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            save_file(tensors, partial, metadata)
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
                # Before, both stood in the metadata, which have room for a million pictures.
                said = {name: metadata.get(name, "{}") for name in ("names", "titles")}
                held = set(said) & set(file.keys())
                said |= {name: bytes(file.get_tensor(name)) for name in held}
            names = [(image + "", entity + "") for image, entity in json.loads(said["names"])]
            fusion = Fusion(**json.loads(metadata["fusion"]))
            if vectors.ndim != 2 or len(names) != len(vectors) or not names:
                raise ValueError(f"{len(names)} names for vectors of shape {vectors.shape}")
            if vectors.dtype != np.int8 or not vectors.any(axis=1).all():
                raise ValueError(f"vectors of {vectors.dtype}, not int8, or one of zeros")
            titles = {k: v + "" for k, v in json.loads(said["titles"]).items()}
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

    def search(
        self, vectors_QV: ArrayLike, top_k: int, among: Sequence[Collection[str]] = ()
    ) -> list[list[SimilarPicture]]:
        """Return for each query the most similar picture of each entity, most similar first.

        Args:
            vectors_QV: what is compared, a row a query.
            top_k: how many entities.
            among: entities of each query that are looked up besides, such as those of passages
                that were found; those without pictures are left out.

        Raises:
            ValueError: a vector is not as wide as the collection's.
        """
        queries_QV = np.asarray(vectors_QV, dtype=np.float32)
        width = self.vectors_IV.shape[1]
        if queries_QV.ndim != 2 or queries_QV.shape[1] != width:
            raise ValueError(
                f"vectors of shape {queries_QV.shape} were given, [queries, {width}] is wanted"
            )
        found, together = [], max(1, _SIMILARITIES // len(self.names))
        for start in range(0, len(queries_QV), together):
            similarity_QI = self._similarities(queries_QV[start : start + together])
            for number, similarity_I in enumerate(similarity_QI, start):
                wanted = among[number] if among else ()
                found.append(self._most_similar(similarity_I, top_k, wanted))
        return found

    def _most_similar(
        self, similarity_I: NDArray[np.float32], top_k: int, wanted: Collection[str]
    ) -> list[SimilarPicture]:
        """Return the best picture of each of the `top_k` best entities, and of those wanted."""
        order_I, starts_E, number = self._entities
        best_E = np.maximum.reduceat(similarity_I[order_I], starts_E[:-1])
        chosen = {number[entity] for entity in wanted if entity in number}
        if top_k < len(best_E):
            chosen.update(np.argpartition(-best_E, top_k)[:top_k].tolist())
        else:
            chosen.update(range(len(best_E)))
        pictures = []
        for e in chosen:
            of_entity = order_I[starts_E[e] : starts_E[e + 1]]
            pictures.append(int(of_entity[np.argmax(similarity_I[of_entity])]))
        pictures.sort(key=lambda i: (-similarity_I[i], i))
        return [
            SimilarPicture(image, entity, float(similarity_I[i]), self.titles.get(entity, ""))
            for i in pictures
            for image, entity in (self.names[i],)
        ]

    @cached_property
    def _entities(self) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, int]]:
        """Return the pictures entity by entity, where each entity begins, and each one's number.

        The beginnings are one more than there are entities: where the last ends.
        """
        number: dict[str, int] = {}
        entity_I = np.array([number.setdefault(name, len(number)) for _, name in self.names])
        order_I = np.argsort(entity_I, kind="stable")
        starts_E = np.searchsorted(entity_I[order_I], np.arange(len(number) + 1))
        return order_I, starts_E, number

    def _similarities(self, queries_QV: NDArray[np.float32]) -> NDArray[np.float32]:
        similarity_QI = np.empty((len(queries_QV), len(self.names)), dtype=np.float32)
        for start, rows_IV in self._blocks():
            similarity_QI[:, start : start + len(rows_IV)] = queries_QV @ rows_IV.T
        similarity_QI /= self._lengths_I
        return similarity_QI

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield vectors as float32, with the number of the first of them."""
        if self.vectors_IV.size <= _HELD:
            yield 0, self._held_IV
            return
        block = max(1, _BLOCK // self.vectors_IV.shape[1])
        for start in range(0, len(self.names), block):
            yield start, self.vectors_IV[start : start + block].astype(np.float32)

    @cached_property
    def _held_IV(self) -> NDArray[np.float32]:
        return self.vectors_IV.astype(np.float32)

    @cached_property
    def _lengths_I(self) -> NDArray[np.float32]:
        block = max(1, _BLOCK // self.vectors_IV.shape[1])
        lengths = [
            np.linalg.norm(self.vectors_IV[start : start + block].astype(np.float32), axis=1)
            for start in range(0, len(self.names), block)
        ]
        lengths_I: NDArray[np.float32] = np.concatenate(lengths)
        return lengths_I


def _as_bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), dtype=np.uint8)
