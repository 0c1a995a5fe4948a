"""Points as the messages that write them, made of arrays.

Through lists of Python numbers the client spends most of its time on these. A vector's bytes in
memory are its bytes in the message, behind a field's key and length: they are put together here,
and parsed by protobuf's own code.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from qdrant_client import grpc
from qdrant_client.conversions.conversion import RestToGrpc

from retriever.engines.interface import Point, Vector

_LENGTH_DELIMITED = 2  # the wire type of packed numbers and of messages in messages


def upsert_message(collection: str, points: Sequence[Point], timeout: int | None) -> Any:
    """Return the message that writes points and waits until they are kept."""
    message = grpc.UpsertPoints(collection_name=collection, wait=True, timeout=timeout)
    for point in points:
        payload = RestToGrpc.convert_payload(dict(point.payload))
        _fill(message.points.add(id=grpc.PointId(uuid=point.id), payload=payload), point)
    return message


def vectors_message(collection: str, points: Sequence[Point], timeout: int | None) -> Any:
    """Return the message that writes vectors of points that are there."""
    message = grpc.UpdatePointVectors(collection_name=collection, wait=True, timeout=timeout)
    for point in points:
        _fill(message.points.add(id=grpc.PointId(uuid=point.id)), point)
    return message


def _fill(written: Any, point: Point) -> None:
    """Put the vectors of a point into its message, where they are to be: none is copied twice."""
    named = written.vectors.vectors.vectors
    for name, vector in point.vectors.items():
        if vector.ndim == 1:
            named[name].dense.MergeFromString(_dense(vector))
        else:
            named[name].multi_dense.MergeFromString(_multi_dense(vector))


def _dense(vector: Vector) -> bytes:
    numbers = vector.astype("<f4").tobytes()
    return _key(grpc.DenseVector, "data", len(numbers)) + numbers


def _multi_dense(rows: Vector) -> bytes:
    numbers = np.ascontiguousarray(rows, dtype="<f4").view(np.uint8)
    size = numbers.shape[1]
    inner = _key(grpc.DenseVector, "data", size)
    key = _key(grpc.MultiDenseVector, "vectors", len(inner) + size) + inner
    # Every row is as long, and so has the same key.
    parts = np.empty((len(numbers), len(key) + size), np.uint8)
    parts[:, : len(key)] = np.frombuffer(key, np.uint8)
    parts[:, len(key) :] = numbers
    return parts.tobytes()


def _key(kind: Any, field: str, length: int) -> bytes:
    """Return what stands before so many bytes of a field: its number and type, and the length.

    >>> _key(grpc.DenseVector, "data", 512).hex()
    '0a8004'
    """
    number = kind.DESCRIPTOR.fields_by_name[field].number
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
