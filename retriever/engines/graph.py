"""A graph of vectors in a directory, which finds the nearest without comparing all (HNSW).

    LOCATION/
      graph.json   what it was made of, and its files
      shard/       vectors as float16 and the graph, by Qdrant's engine
      readers/     a view for every process that searches now (retriever.engines.directory)

What is found is nearly, and not always, the nearest; whoever needs more compares what was found
anew, and asks for more than is needed. Vectors and graph stay on disk, and are mapped.

Shapes: I vectors · V their width
"""

import json
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from retriever.engines.directory import ReaderView, engine_errors, require_free, shard_files
from retriever.errors import IndexUnavailable

_MADE, _SHARD, _USING = "graph.json", "shard", "vector"
_AGAIN = "`kbvqa index pictures` again"
_AT_ONCE = 2_000  # vectors
# How many vectors are kept in view on the way: of a million the ten nearest are found to 0.92 with
# 480, to 0.99 with this, at the same cost but for the reading (docs/measured/similar.md).
_IN_VIEW = 4_096
# float16 twice, while segments are merged, and in the log before that; a graph of some 200 bytes.
_BYTES_PER_NUMBER, _BYTES_PER_VECTOR, _RESERVE = 9, 400, 2**27


class VectorGraph:
    """An open graph, for searching. Threads may share one.

    Attributes:
        close: ends the use; again does nothing.
    """

    def __init__(self, location: Path, shard: edge.EdgeShard, view: ReaderView) -> None:
        self._location, self._shard = location, shard
        # The view is a directory: it goes when nobody searches any more, at the end at the latest.
        self.close = weakref.finalize(self, _release, shard, view, os.getpid())

    @staticmethod
    def build(
        location: Path,
        vectors_IV: NDArray[np.int8],
        made_of: str,
        advance: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Write the graph of vectors, by cosine. Stopped, there is none, or the one before.

        Args:
            location: the directory; one that is there is replaced.
            vectors_IV: the vectors, of any length but 0.
            made_of: what tells them from others.
            advance: told how many are written.

        Raises:
            IndexUnavailable: it cannot be written, or the disk has no room for it.
        """
        count, width = vectors_IV.shape
        unnamed = location.with_name(f"{location.name}.new")
        with engine_errors(location, _AGAIN):
            shutil.rmtree(unnamed, ignore_errors=True)
            (unnamed / _SHARD).mkdir(parents=True)
            needed = count * (width * _BYTES_PER_NUMBER + _BYTES_PER_VECTOR)
            require_free(unnamed, needed + _RESERVE)
            shard = edge.EdgeShard.create(str(unnamed / _SHARD), _schema(width))
            for start in range(0, count, _AT_ONCE):
                rows = vectors_IV[start : start + _AT_ONCE].astype(np.float32).tolist()
                points = [edge.Point(i, {_USING: row}, {}) for i, row in enumerate(rows, start)]
                shard.update(edge.UpdateOperation.upsert_points(points))
                advance(start + len(rows))
            shard.flush()
            shard.optimize()
            shard.close()
            made = {"made_of": made_of, "files": shard_files(unnamed / _SHARD)}
            (unnamed / _MADE).write_text(json.dumps(made), encoding="utf-8")
            shutil.rmtree(location, ignore_errors=True)
            unnamed.rename(location)

    @classmethod
    def open(cls, location: Path, made_of: str) -> Self | None:
        """Return the graph in a directory; None where there is none, or one of other vectors.

        Raises:
            IndexUnavailable: it is damaged.
        """
        try:
            made = json.loads((location / _MADE).read_bytes())
            files = dict(made["files"])
            if made["made_of"] != made_of:
                return None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise IndexUnavailable(
                f"{location} is damaged ({exc!r}): remove it and run {_AGAIN}"
            ) from exc
        with engine_errors(location, _AGAIN):
            if (found := shard_files(location / _SHARD)) != files:
                broken = sorted(name for name in files if found.get(name) != files[name])
                raise IndexUnavailable(
                    f"{location} is damaged: {', '.join(broken) or 'files too many'}. Remove it "
                    f"and run {_AGAIN}"
                )
            view = ReaderView.create(location, _SHARD, files)
            try:
                shard = edge.EdgeShard.load(str(view.path))
            except BaseException:
                view.release()
                raise
        return cls(location, shard, view)

    def nearest(self, vector_V: NDArray[np.float32], limit: int) -> NDArray[np.intp]:
        """Return the numbers of the vectors that are nearest, at most `limit`, nearest first."""
        with engine_errors(self._location, _AGAIN):
            found = self._shard.query(
                edge.QueryRequest(
                    limit=limit,
                    query=edge.Query.Nearest(vector_V.tolist(), using=_USING),
                    params=edge.SearchParams(hnsw_ef=max(limit, _IN_VIEW)),
                )
            )
        return np.array([int(point.id) for point in found], dtype=np.intp)


def _release(shard: edge.EdgeShard, view: ReaderView, process: int) -> None:
    """Close a shard and remove its view; not in a child that was forked with them."""
    if os.getpid() == process:
        try:
            shard.close()
        finally:
            view.release()


def _schema(width: int) -> edge.EdgeConfig:
    vectors = edge.EdgeVectorParams(
        size=width,
        distance=edge.Distance.Cosine,
        datatype=edge.VectorStorageDatatype.Float16,
        memory=edge.Memory.Cold,
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10),
    )
    return edge.EdgeConfig(vectors={_USING: vectors})
