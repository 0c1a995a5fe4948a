"""Pictures of entities join the passages that were found."""

import pytest

from corpus.types import Hit, Passage
from retriever.pictures.fusing import Fusion, fused


def hit(entity: str, score: float) -> Hit:
    return Hit(Passage(f"{entity}:{score}", entity, "", entity=entity), score)


HITS = [hit("flag:ID", 20.0), hit("flag:MC", 19.0), hit("", 18.0)]
HALF = Fusion(weight=10.0, floor=0.25)


def test_passages_of_the_entity_that_is_most_alike_keep_their_scores_and_others_lose() -> None:
    both = fused(HITS, {"flag:ID": 0.5, "flag:MC": 0.75}, HALF)
    # Indonesia loses 10 x 0.25, and what has no pictures counts as alike by 0.25: 10 x 0.5.
    assert [(h.passage.entity, h.score) for h in both] == [
        ("flag:MC", 19.0),
        ("flag:ID", 17.5),
        ("", 13.0),
    ]


@pytest.mark.parametrize("similarity", [{}, {"flag:ID": 0.1, "flag:MC": 0.25}, {"flag:FR": -1.0}])
def test_what_resembles_no_picture_leaves_the_order_and_the_scores(
    similarity: dict[str, float],
) -> None:
    assert fused(HITS, similarity, HALF) == HITS


def test_without_weight_nothing_changes_and_ties_keep_their_order() -> None:
    assert fused(HITS, {"flag:MC": 1.0}, Fusion(weight=0.0)) == HITS
    tied = [hit("a", 1.0), hit("b", 1.0)]
    assert fused(tied, {"a": 0.5, "b": 0.5}, HALF) == tied


@pytest.mark.parametrize(
    "wrong",
    [{"weight": -1.0}, {"floor": 1.5}, {"weight": float("nan")}, {"weight": float("inf")}],
)
def test_a_rule_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weight and colours must be >= 0"):
        Fusion(**wrong)
