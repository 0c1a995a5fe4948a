"""The seam between the index and Qdrant: what a store of builds and an engine must do.

    Store    one location: its record, and the places that hold its builds
    Engine   one open place: points in, points out

`embedded` implements both on a directory, `server` on a Qdrant server. Neither knows passages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from corpus.progress import Say
from retriever.engines.record import Build, Record

TOKENS, MEAN = "tokens", "mean"
# What a large index learns of a point; what it learned before numbers were balanced, so that four
# bits of each do; and before it chose directions.
LEARNED, LEARNED_HALF, LEARNED_WHOLE = "learned-512-turbo4", "learned-512", "learned"
# Payload fields that a filter may name: keyword indexes, `title` also by prefix.
KEYWORDS = ("source", "language")
PREFIXED = "title"

Vector = NDArray[np.float32]  # [D], or [P, D] for tokens


@dataclass(frozen=True, slots=True)
class Room:
    """What a vector that points may have is like: how many numbers, and how each is kept."""

    size: int
    numbers: Literal["float16", "turbo4"]


@dataclass(frozen=True, slots=True)
class Point:
    """One passage as the engine keeps it. Vectors are empty where they were not asked for."""

    id: str
    vectors: Mapping[str, Vector]
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, record: Any) -> Self:
        """Return the point that a record of Qdrant's engine, or of its client, is."""
        vectors = {n: np.asarray(v, dtype=np.float32) for n, v in (record.vector or {}).items()}
        return cls(str(record.id), vectors, record.payload or {})


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A point that a query found."""

    id: str
    payload: Mapping[str, Any]
    score: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a point must fulfil; all of it.

    Attributes:
        any_of: for a keyword field the values it may have.
        prefix: for a keyword field how its value must begin.
        point_ids: the ids it may have; None for any.
    """

    any_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    prefix: Mapping[str, str] = field(default_factory=dict)
    point_ids: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A step before the last: the `limit` points nearest to `vector`, for the next step.

    Attributes:
        using: the name of the vectors that are compared.
        vector: [D], or [Q, D] against tokens.
        limit: how many points go on.
        quantized: compare with the quantized copy.
        before: the step that this one chooses from; None for all points.
    """

    using: str
    vector: Vector
    limit: int
    quantized: bool = False
    before: "Stage | None" = None


@dataclass(frozen=True, slots=True)
class Search:
    """A query: MaxSim of `q_QD` on what `before` leaves, or on every point."""

    q_QD: Vector
    limit: int
    before: Stage | None = None
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """What another process needs to write beside the one that has begun a build.

    Attributes:
        build: what is built.
        owner: the word by which the writer holds the place.
    """

    build: Build
    owner: str


class Engine(Protocol):
    """One open place. Every method raises IndexUnavailable when the engine fails."""

    @property
    def time_limit(self) -> int | None:
        """Seconds that a request may take; None for as many as it needs."""

    @property
    def writers(self) -> int:
        """How many threads may call `upsert` at once."""

    def count(self, conditions: Conditions | None = None) -> int:
        """Return the exact number of points."""

    def values(self, field: str, most: int) -> list[str]:
        """Return what points have in a keyword field, at most so many values, the commonest first.

        "" is none.
        """

    def retrieve(
        self, point_ids: Sequence[str], payload: Sequence[str] | None, *, vectors: bool = False
    ) -> list[Point]:
        """Return the points that exist, in any order, with all (None) or some payload fields."""

    def scroll(
        self, after: str | None, limit: int, payload: Sequence[str] | None, *, vectors: bool
    ) -> tuple[list[Point], str | None]:
        """Return a page of points in the order of ids, and where the next one begins."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; what is written when this returns survives."""

    def set_vectors(self, points: Sequence[Point]) -> None:
        """Write vectors of points that are there; what else they have stays."""

    def delete(self, conditions: Conditions) -> None:
        """Remove points."""

    def query(self, searches: Sequence[Search]) -> list[list[ScoredPoint]]:
        """Return for each search the points with the highest MaxSim."""

    def optimise(self, say: Say) -> None:
        """Bring segments in order; blocks until it is done, and says how far it is."""

    def state(self) -> str:
        """Return what is not in order with how the points are kept; "" if all is."""

    def facts(self) -> Mapping[str, object]:
        """Return how the points are kept, by name, for people."""

    def unfit(self, points: int) -> list[str]:
        """Return what here refuses a search whose widest step takes so many points."""

    def close(self) -> None:
        """End the use; again does nothing."""


class Store(Protocol):
    """One location.

    Attributes:
        location: as it was named.
        moves: whether what is searched here may be replaced while it is open, and is then gone.
    """

    location: str
    moves: bool

    def lock(self) -> None:
        """Become the writer.

        Raises:
            IndexUnavailable: another process is.
        """

    def unlock(self) -> None:
        """End that; again does nothing."""

    def close(self) -> None:
        """End the use of the location, and the lock; again does nothing."""

    def read(self) -> Record:
        """Return the record.

        Raises:
            IndexNotReady: there is no index, or one of another schema.
            IndexUnavailable: it cannot be read.
        """

    def vacant(self) -> bool:
        """Return whether a new index can be made here.

        Raises:
            IndexUnavailable: there is something else.
        """

    def begin(self, record: Record, build: Build) -> None:
        """Record a build as under way, its place named but not made."""

    def open_for_writing(self, build: Build) -> Engine:
        """Return the engine of the build under way, made new where it is missing.

        Where it is large, or is going to be, its points have room for a learned vector.
        """

    def invitation(self, build: Build) -> Invitation | None:
        """Return what others write a build beside this writer with; None where one alone may."""

    def join(self, invitation: Invitation) -> Engine:
        """Return the engine of a build that another process has begun, to write beside it.

        A write raises IndexUnavailable when that process no longer holds the place.
        """

    def open_for_search(self, build: Build) -> Engine:
        """Return the engine of a finished build."""

    def finish(self, build: Build, engine: Engine) -> Build:
        """Close the engine, make the build the finished one, and drop what it replaces."""

    def tidy(self) -> None:
        """Remove what a killed build left behind, unless a process is building."""

    def new_place(self, build: Build, record: Record) -> str:
        """Return the name of the place for a new build."""
