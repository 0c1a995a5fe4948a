"""Passages as the points of an engine, and back.

Shapes: P passage tokens · D embedding dim
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from corpus.types import Passage
from retriever.engines.candidates import passage_vectors
from retriever.engines.interface import Conditions, Engine, Point, ScoredPoint, Vector
from retriever.engines.learned import LearnedStage
from retriever.engines.record import content_hash
from retriever.errors import ForeignPoint
from retriever.index.filters import PassageFilter

# In the payload, beside the fields of the passage: the hash of those, the number of rows, and the
# corpus that wrote it, where the version that did so recorded it.
CONTENT, ROWS, CORPUS = "content", "rows", "corpus"

_PAGE = 1_000  # payloads read at once
_VECTOR_PAGE = 64  # passages read at once with their vectors: 64 x 512 x 128 floats are 16 MB
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "kbvqa:passage")
_FIELDS = tuple(f.name for f in fields(Passage))


def point_id(corpus: str, passage_id: str) -> str:
    """Return the same UUID for the same passage of the same corpus, every time."""
    return str(uuid.uuid5(uuid.uuid5(_NAMESPACE, corpus), passage_id))


def point_of(
    namespace: str,
    passage: Passage,
    p_PD: Vector,
    learned: LearnedStage | None = None,
    corpus: str = "",
) -> Point:
    """Return the point of a passage, with its rows [P, D].

    Args:
        namespace: what the ids of points hang on.
        passage: the passage.
        p_PD: its rows.
        learned: the candidate stage of the index.
        corpus: the name of the corpus that it is of; "" where not known.
    """
    payload = asdict(passage) | {CONTENT: content_hash(passage), ROWS: len(p_PD)}
    payload |= {CORPUS: corpus} if corpus else {}
    return Point(point_id(namespace, passage.id), passage_vectors(p_PD, learned), payload)


def passage_of(point: Point | ScoredPoint) -> Passage:
    """Return the passage that a point is.

    Raises:
        ForeignPoint: it is none, by its payload.
    """
    payload = point.payload
    texts = {name: payload.get(name, "") for name in _FIELDS}
    ours = {"id", "text", CONTENT, ROWS} <= payload.keys()
    if not (ours and all(isinstance(text, str) for text in texts.values())):
        raise ForeignPoint(
            f"the point {point.id} is no passage (its payload has {_named(payload)}): something "
            "other than kbvqa wrote it there. Delete the point, and keep what is not kbvqa's in "
            "another collection"
        )
    return Passage(**texts)


def _named(payload: Mapping[str, object]) -> str:
    """Return the names of what a payload has, some of them."""
    return ", ".join(repr(name)[:40] for name in sorted(payload)[:8]) or "nothing"


def conditions_of(corpus: str, chosen: PassageFilter | None) -> Conditions | None:
    """Return what a filter asks of points; None where it asks nothing."""
    if chosen is None or chosen.empty:
        return None
    any_of = {"source": chosen.sources, "language": chosen.languages, "title": chosen.titles}
    return Conditions(
        {name: values for name, values in any_of.items() if values},
        {"title": chosen.title_prefix} if chosen.title_prefix else {},
        None if chosen.ids is None else [point_id(corpus, id) for id in chosen.ids],
    )


def all_points(
    engine: Engine, payload: Sequence[str] | None = None, *, vectors: bool
) -> Iterator[Point]:
    """Yield every point in the order of ids, with all (None) or some payload fields."""
    page = _VECTOR_PAGE if vectors else _PAGE
    after: str | None = None
    while True:
        points, after = engine.scroll(after, page, payload, vectors=vectors)
        yield from points
        if after is None:
            return
