"""A collection of entities' pictures: a unit vector of each, searched by cosine.

    PictureCollection.build(pictures, encoder)      a vector of each, made
    .save(path), PictureCollection.open(path)       kept as one file
    .search(vectors_QV, top_k)                      the most similar picture of each entity
    .by_colours(similar, asked)                     these, by where their colours lie, too
    .unlike(picture, entity)                        whether no picture of an entity looks like it

The vectors are what the checkpoint's frozen tower and its neck make of a picture, so a collection
belongs to the checkpoint that made it. Where enough entities have several pictures the cosine is
of what tells entities apart (metric.py). They are kept as whole numbers of one byte, and mapped. A
search compares all of them, by one matrix product, for which they are held as float32: 50,000 of
1,024 numbers take 200 MB. More than that have a graph beside them, which names some hundred that
are near; these are compared. Without it, all are, block by block: then ask for many at once.

Shapes: Q queries · I pictures · V width of the pooled vector · E entities · C pictures compared
        L x H x W x C as in layout.py
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from corpus.errors import InvalidImage
from corpus.pictures.entities import EntityPicture
from corpus.progress import Advance
from retriever.encoding.arguments import require_place
from retriever.encoding.encoder import Encoder
from retriever.engines.graph import VectorGraph
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.pictures import layout
from retriever.pictures.fusing import Fusion
from retriever.pictures.metric import Metric
from retriever.pictures.neighbours import Neighbours, SimilarPicture
from retriever.pictures.parts import Part, compact

# By what is in the file.
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
PART = 1_024  # pictures that are kept together while a collection is built
GRAPHED = 50_000  # pictures from which on a collection has a graph
_SEVERAL = 3  # pictures of an entity that tell how much they differ

logger = logging.getLogger(__name__)


def not_left_out(picture: EntityPicture, exc: InvalidImage) -> None:
    """Raise why a picture cannot be read."""
    raise exc


class PictureCollection:
    """Pictures with the entities that they show. Threads may share one.

    Attributes:
        checkpoint: revision of the checkpoint that made the vectors.
        names: of each picture its image and entity.
        vectors_IV: the direction of each picture's vector, int8 as `compact` makes it; in the
            metric where there is one.
        fusion: how much its pictures count beside passages.
        corpus: the hash of the passages that it was made for; "" for whatever has its entities.
        titles: names of entities, for people.
        graph: what names the nearest of many pictures; None for all being compared.
        metric: by which vectors are compared; None for as the checkpoint makes them.
        layouts_ILHWC: how the colours of each picture lie; None where nobody noted it, as in files
            of before 2026-11-29.
        file: from which it was opened, for people; "" for one that was not.
    """

    file = ""

    def __init__(
        self,
        checkpoint: str,
        names: Sequence[tuple[str, str]],
        vectors_IV: NDArray[np.int8],
        fusion: Fusion,
        corpus: str = "",
        titles: Mapping[str, str] | None = None,
        graph: VectorGraph | None = None,
        metric: Metric | None = None,
        layouts_ILHWC: layout.Layouts | None = None,
    ) -> None:
        self.checkpoint, self.names, self.fusion = checkpoint, tuple(names), fusion
        self.vectors_IV, self.corpus, self.titles = vectors_IV, corpus, dict(titles or {})
        self.graph, self.metric, self.layouts_ILHWC = graph, metric, layouts_ILHWC
        self._spreads: dict[str, float] = {}

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
            parts: directory in which what is done is kept, so that a build that was stopped goes
                on with the same one; None for none. Whoever saves the collection removes it.

        Raises:
            InvalidImage: one is missing or no picture, where none may be left out.
            ValueError: there is none, or the checkpoint sees no pictures.
        """
        rows: list[NDArray[np.int8]] = []
        lying: list[layout.Layouts] = []
        names: list[tuple[str, str]] = []
        for start in range(0, len(pictures), PART):
            some = pictures[start : start + PART]

            def of_all(done: int, start: int = start) -> None:
                advance(start + done, len(pictures))

            kept = None if parts is None else parts / f"{start:09d}.safetensors"
            part = Part.encode(some, encoder, of_all, kept)
            of_all(len(some))
            for place, why in part.left_out.items():
                left_out(some[place], InvalidImage(why))
            readable = (p for place, p in enumerate(some) if place not in part.left_out)
            names += [(picture.image, picture.entity) for picture in readable]
            rows.append(part.vectors_IV)
            lying.append(part.layouts_ILHWC)
        if not names:
            raise ValueError("no pictures: a collection holds one at least")
        titles = {picture.entity: picture.name for picture in pictures if picture.name}
        revision = encoder.checkpoint.revision
        vectors, layouts = np.concatenate(rows), np.concatenate(lying)
        return cls.of(revision, names, vectors, fusion, corpus, titles, layouts)

    @classmethod
    def of(
        cls,
        checkpoint: str,
        names: Sequence[tuple[str, str]],
        vectors_IV: NDArray[np.int8],
        fusion: Fusion | None = None,
        corpus: str = "",
        titles: Mapping[str, str] | None = None,
        layouts_ILHWC: layout.Layouts | None = None,
    ) -> Self:
        """Return the collection of pictures that are encoded, in the metric that fits them.

        Args: as of the class; `vectors_IV` are as the checkpoint makes them.
        """
        metric = Metric.fitted(vectors_IV, [entity for _, entity in names])
        if metric is not None:
            blocks = range(0, len(names), PART)
            vectors_IV = np.concatenate([compact(metric(vectors_IV[i : i + PART])) for i in blocks])
        known = (checkpoint, names, vectors_IV, fusion or Fusion(), corpus, titles)
        return cls(*known, metric=metric, layouts_ILHWC=layouts_ILHWC)

    @property
    def width(self) -> int:
        """Return how many numbers a vector has that is searched for."""
        if self.metric is None:
            return int(self.vectors_IV.shape[1])
        return len(self.metric.directions_VK)

    def save(self, path: Path | str, advance: Advance = lambda done, total: None) -> None:
        """Write the collection as one file, and beside that of a large one its graph.

        Args:
            path: the file; the graph is the directory with `.graph` behind its name.
            advance: told of how many of how many pictures are in the graph.

        Raises:
            IndexUnavailable: it cannot be written.
        """
        path, fusion = Path(path), json.dumps(asdict(self.fusion))
        graph = path.with_name(f"{path.name}.graph")
        metadata = {"checkpoint": self.checkpoint, "corpus": self.corpus, "fusion": fusion}
        tensors: dict[str, NDArray[np.generic]] = {
            "vectors": self.vectors_IV,
            "names": _as_bytes(self.names),
            "titles": _as_bytes(self.titles),
        }
        if self.metric is not None:
            tensors["directions"] = self.metric.directions_VK.astype(np.float16)
            tensors["offset"] = self.metric.offset_K
        if self.layouts_ILHWC is not None:
            tensors["layouts"] = self.layouts_ILHWC
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if len(self.names) < GRAPHED:
                shutil.rmtree(graph, ignore_errors=True)
            else:
                metadata["graph"] = hashlib.sha256(self.vectors_IV.tobytes()).hexdigest()
                VectorGraph.build(
                    *(graph, self.vectors_IV, metadata["graph"]),
                    lambda done: advance(done, len(self.names)),
                )
            partial = path.with_name(path.name + ".partial")
            save_file(tensors, partial, metadata)
            partial.replace(path)
        except (OSError, SafetensorError) as exc:
            raise IndexUnavailable(f"{path}: the pictures cannot be written ({exc})") from exc

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Return the collection in a file.

        Raises:
            IndexNotReady: there is none.
            IndexUnavailable: the file is damaged, or of something else.
            TypeError: it is no path and no text.
        """
        require_place(path, "path")
        path = Path(path)
        if path.is_dir():
            raise IndexNotReady(f"{path} is no file: name one that `kbvqa index pictures` made")
        if not path.is_file():
            raise IndexNotReady(
                f"{path} does not exist: make it with `kbvqa index pictures TABLE --out {path}`"
            )
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                graphed = metadata.get("graph", "")
                vectors = _mapped(path, "vectors") if graphed else file.get_tensor("vectors")
                layouts = None
                if "layouts" in file.keys():  # noqa: SIM118 (it is no mapping)
                    layouts = _mapped(path, "layouts")
                # Before, both stood in the metadata, which have room for a million pictures.
                said = {name: metadata.get(name, "{}") for name in ("names", "titles")}
                held = set(said) & set(file.keys())
                said |= {name: bytes(file.get_tensor(name)) for name in held}
                metric = None
                if "directions" in file.keys():  # noqa: SIM118 (it is no mapping)
                    directions = file.get_tensor("directions").astype(np.float32)
                    metric = Metric(directions, file.get_tensor("offset"))
            names = [(image + "", entity + "") for image, entity in json.loads(said["names"])]
            fusion = Fusion(**json.loads(metadata["fusion"]))
            if vectors.ndim != 2 or len(names) != len(vectors) or not names:
                raise ValueError(f"{len(names)} names for vectors of shape {vectors.shape}")
            if vectors.dtype != np.int8 or not (graphed or vectors.any(axis=1).all()):
                raise ValueError(f"vectors of {vectors.dtype}, not int8, or one of zeros")
            if metric is not None and metric.directions_VK.shape[1:] != vectors.shape[1:]:
                raise ValueError(f"directions of shape {metric.directions_VK.shape}")
            if layouts is not None and layouts.shape != (len(names), *layout.SHAPE):
                raise ValueError(f"layouts of shape {layouts.shape}")
            titles = {k: v + "" for k, v in json.loads(said["titles"]).items()}
            known = (metadata["checkpoint"], names, vectors, fusion, metadata["corpus"], titles)
        except (*_UNREADABLE, OSError, SafetensorError) as exc:
            raise IndexUnavailable(
                f"{path} is no collection of pictures, or damaged ({exc!r}): make it anew with "
                "`kbvqa index pictures`"
            ) from exc
        place = path.with_name(f"{path.name}.graph")
        graph = VectorGraph.open(place, graphed) if graphed else None
        if graphed and graph is None:
            logger.warning(
                "%s is not beside %s, or of other pictures: every picture is compared with each "
                "that is asked, which takes long. Copy it there, or make the collection anew",
                *(place, path),
            )
        opened = cls(*known, graph, metric, layouts)
        opened.file = str(path)
        return opened

    @cached_property
    def entities(self) -> frozenset[str]:
        """Return the entities that have a picture."""
        return frozenset(entity for _, entity in self.names)

    @cached_property
    def sha256(self) -> str:
        """Return the hash of all that decides what it finds."""
        graph = ["graph"] if self.graph else []
        # As before there were colours, where they do not count.
        fusion = {
            name: count for name, count in asdict(self.fusion).items() if count or name != "colours"
        }
        made = json.dumps([self.checkpoint, self.names, fusion, *graph])
        digest = hashlib.sha256(made.encode())
        digest.update(self.vectors_IV.tobytes())
        if self.layouts_ILHWC is not None and self.fusion.colours:
            digest.update(self.layouts_ILHWC.tobytes())
        if self.metric is not None:
            digest.update(self.metric.directions_VK.tobytes() + self.metric.offset_K.tobytes())
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
        if queries_QV.ndim != 2 or queries_QV.shape[1] != self.width:
            raise ValueError(
                f"vectors of shape {queries_QV.shape} were given, [queries, {self.width}] is wanted"
            )
        if self.metric is not None:
            queries_QV = self.metric(queries_QV)
        return self._neighbours.search(queries_QV, top_k, among)

    def by_colours(
        self, similar: Sequence[SimilarPicture], asked: layout.Layouts | None
    ) -> list[SimilarPicture]:
        """Return similar pictures by where their colours lie, too, most similar first.

        As they were without layouts.

        Args:
            similar: of different entities, as `search` finds them.
            asked: how the colours of the query's picture lie [L, H, W, C]; None for one without.
        """
        if asked is None or self.layouts_ILHWC is None or not similar or not self.fusion.colours:
            return list(similar)
        pictures_E = [self._neighbours.pictures(other.entity) for other in similar]
        starts_E = np.cumsum([0, *map(len, pictures_E[:-1])])
        away_I = layout.distances(asked, self.layouts_ILHWC[np.concatenate(pictures_E)])
        away_E = np.minimum.reduceat(away_I, starts_E).tolist()
        weight = self.fusion.colours
        both_E = [
            other.similarity - weight * away for other, away in zip(similar, away_E, strict=True)
        ]
        least = away_E[int(np.argmax(both_E))]
        joined = []
        for other, away in zip(similar, away_E, strict=True):
            added = weight * (least - away)
            both = other.similarity + added
            joined.append(replace(other, similarity=both, colours=added, away=away))
        return sorted(joined, key=lambda other: -other.similarity)

    def unlike(self, picture: Image, entity: str) -> bool:
        """Return whether a picture looks like none of an entity's, by where its colours lie.

        So it is where it is farther from each of them than any of these is from the rest. False
        where nobody knows: without layouts, of an entity with fewer than three pictures, and of a
        picture without colour.

        Args:
            picture: of any mode and size.
            entity: that it may show.
        """
        if self.layouts_ILHWC is None or entity not in self.entities:
            return False
        drawn_ILHWC = self.layouts_ILHWC[self._neighbours.pictures(entity)]
        if len(drawn_ILHWC) < _SEVERAL:
            return False
        nearest: list[float] = []
        for asked in layout.in_better_light(picture):
            nearest.append(min(layout.distance(asked, drawn) for drawn in drawn_ILHWC))
            if nearest[-1] <= layout.NEAR:
                return False
        if not nearest:
            return False
        if entity not in self._spreads:
            self._spreads[entity] = layout.spread(list(drawn_ILHWC))
        return min(nearest) > self._spreads[entity]

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self.names, self.vectors_IV, self.titles, self.graph)


def _mapped(path: Path, name: str) -> NDArray[np.int8]:
    """Return a tensor of a file of safetensors that was opened, left where it is."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell() + header[name]["data_offsets"][0]
    if header[name]["dtype"] != "I8":
        raise ValueError(f"{name} of {header[name]['dtype']}, not int8")
    return np.memmap(path, np.int8, "r", start, tuple(header[name]["shape"]))


def _as_bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), dtype=np.uint8)
