"""Indexes that learned as was done before: searched so, until they learn anew."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retriever.building.tools import copy_index, verify_index
from retriever.engines import candidates
from retriever.engines.interface import (
    LEARNED_HALF,
    LEARNED_WHOLE,
    TOKENS,
    Engine,
    Point,
    Room,
)
from retriever.engines.learned import (
    DIRECTIONS,
    LearnedStage,
    text_sha256,
)
from retriever.engines.record import Learned
from retriever.index import passage_index
from retriever.index.learning import centres_of
from retriever.index.passage_index import Learning, PassageIndex
from retriever.index.points import all_points
from tests.index_cases import Rows, make_fingerprint, make_passages
from tests.learning_cases import COUNT, LEARNED_FROM, built, recall

CENTRES = 1_024  # as many as there were


@pytest.fixture(autouse=True)
def small_indexes_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "LEARNED_FROM", LEARNED_FROM)


def learn_as_before(engine: Engine, learning: Learning, dim: int, say: object) -> Learned:
    """Learn as was done before directions were chosen: vectors are of all likenesses."""
    return learn_of_before(engine, learning, dim, 0)


def learn_in_directions(engine: Engine, learning: Learning, dim: int, say: object) -> Learned:
    """Learn as was done before directions were balanced: vectors are of them, in float16."""
    return learn_of_before(engine, learning, dim, DIRECTIONS)


def learn_of_before(engine: Engine, learning: Learning, dim: int, directions: int) -> Learned:
    name = LEARNED_HALF if directions else LEARNED_WHOLE
    engine.make_room(name, Room(directions or CENTRES + dim + 1, "float16"))
    points = list(all_points(engine, (), vectors=True))
    rows = [point.vectors[TOKENS] for point in points]
    sample_RD = np.concatenate([np.asarray(q_QD) for q_QD in learning.queries])
    stage = LearnedStage(centres_of(np.concatenate(rows), CENTRES), sample_RD, 0.2)
    text = (stage.directed(rows, directions) if directions else stage).to_text()
    stage = LearnedStage.from_text(text, dim, CENTRES, 0.2, directions)
    vectors = [{name: vector} for vector in stage.passage_vectors(rows)]
    engine.set_vectors([Point(p.id, v, {}) for p, v in zip(points, vectors, strict=True)])
    sha256, queries = text_sha256(text), len(learning.queries)
    curve = ((50, 1.0),)
    counted = (len(points), queries, False, curve, 0.99, 50, directions)
    return Learned(text, CENTRES, 0.2, sha256, *counted)


@pytest.mark.parametrize(("before", "had"), [(learn_as_before, 0), (learn_in_directions, 512)])
def test_what_was_learned_before_is_searched_added_to_copied_and_replaced(
    before: Callable[..., Learned],
    had: int,
    tmp_path: Path,
    embeddings: list[Rows],
    queries: list[Rows],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(passage_index, "learn", before)
        built(tmp_path / "index", embeddings[:LEARNED_FROM], queries[30:])
    for count, directions in ((LEARNED_FROM, had), (LEARNED_FROM + 10, had), (COUNT, 512)):
        with PassageIndex.update(tmp_path / "index", make_fingerprint(count)) as index:
            index.upsert(make_passages(count), embeddings[:count])
            index.finish(learning=Learning(queries[30:]))
        with PassageIndex.open(tmp_path / "index") as index:
            assert index.built.learned is not None
            assert index.built.learned.directions == directions
            assert index.built.learned.balanced is (count == COUNT)
            assert verify_index(index) == []
            assert recall(index, queries[:10], 10) > 0.95
            copy_index(index, tmp_path / f"copy-{count}")
        with PassageIndex.open(tmp_path / f"copy-{count}") as copy:
            assert copy.count == count and verify_index(copy) == []
