"""Messages from arrays are those that Qdrant's client makes of numbers."""

import numpy as np
import pytest
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc

from corpus.types import Passage
from retriever.engines.interface import LEARNED, MEAN, Point
from retriever.engines.server.messages import upsert_message, vectors_message
from retriever.index.points import point_of

# One number; as many as a length of two bytes begins with; the wires' usual; the learned vector's.
DIMS = (1, 31, 32, 128, 1_153)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("rows", [1, 2, 500])
def test_a_point_is_written_as_the_client_writes_it(dim: int, rows: int) -> None:
    p_PD = np.random.default_rng(dim).standard_normal((rows, dim), dtype=np.float32)
    point = point_of("zoo", Passage("p/é", "Cat", "A 猫.", source="s"), p_PD)
    vectors = {name: vector.tolist() for name, vector in point.vectors.items()}
    struct = models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))
    message = upsert_message("here", [point, point], 7)
    assert list(message.points) == 2 * [RestToGrpc.convert_point_struct(struct)]
    assert (message.collection_name, message.wait, message.timeout) == ("here", True, 7)


def test_vectors_of_another_layout_and_type_are_written_too() -> None:
    column = np.arange(8, dtype=np.float64).reshape(4, 2).T  # neither float32 nor row after row
    point = Point("7b0f1d0e-0000-5000-8000-000000000000", {"tokens": column, MEAN: column[0]}, {})
    strided = {LEARNED: np.arange(6, dtype=np.float32)[::2]}
    message = vectors_message("here", [point, Point(point.id, strided, {})], None)
    first, second = (p.vectors.vectors.vectors for p in message.points)
    assert [list(v.data) for v in first["tokens"].multi_dense.vectors] == column.tolist()
    assert list(first[MEAN].dense.data) == column[0].tolist()
    assert list(second[LEARNED].dense.data) == [0, 2, 4]
    assert message.wait and not message.HasField("timeout")
