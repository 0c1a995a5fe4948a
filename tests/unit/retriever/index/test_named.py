"""What a classifier names counts where passages have it for their title."""

import pytest

from corpus.types import Hit, Passage
from retriever.index.named import chances, not_among, weighed, weights


def hit(title: str, score: float) -> Hit:
    return Hit(Passage(title, title, ""), score)


FOUND = [hit("Gun dog", 30.0), hit("Pet", 29.0), hit("Dog", 25.0)]


def test_what_is_named_keeps_its_score_and_others_lose() -> None:
    found = weighed(FOUND, {"dog": 16.0, "pet": 8.0})
    assert [(h.passage.title, h.score) for h in found] == [
        ("Dog", 25.0),
        ("Pet", 21.0),
        ("Gun dog", 14.0),
    ]


def test_the_best_keeps_its_score_where_a_name_changes_nothing() -> None:
    found = weighed(FOUND, {"dog": 4.0})
    assert [(h.passage.title, h.score) for h in found] == [
        ("Gun dog", 30.0),
        ("Pet", 29.0),
        ("Dog", 29.0),
    ]


def test_scores_are_as_they_were_where_no_title_is_named() -> None:
    assert weighed(FOUND, {"wolf": 16.0}) == weighed(FOUND, {}) == FOUND
    assert weighed([], {"dog": 16.0}) == []


def test_names_weigh_less_the_less_likely_they_are() -> None:
    likely = {"tiger": 1.0, "tiger cat": 0.5, "leopard": 0.02}
    gains, drawn = weights(likely, photograph=True), weights(likely, photograph=False)
    assert gains["tiger"] > gains["tiger cat"] > gains["leopard"] > 0
    assert drawn["tiger"] == gains["tiger"] > gains["tiger cat"] > drawn["tiger cat"]
    assert "leopard" not in drawn
    assert weights({"tiger": 1e-4}, photograph=True) == weights({}, photograph=True) == {}


def test_a_kind_weighs_less_than_a_class_that_is_as_likely() -> None:
    gains = weights({"cat": 0.5, "tabby": 0.5, "tiger": 0.25}, photograph=True)
    assert gains["tabby"] > gains["cat"] == gains["tiger"]


def test_what_a_photograph_shows_is_what_is_named_with_half_a_chance_or_more() -> None:
    likely = {"dog": 0.9, "pet": 0.3, "wolf": 0.5}
    gun_dog, pet, dog = chances(FOUND, likely)
    assert gun_dog == 0.0
    assert 0.3 < pet < 0.6 < 0.95 < dog < 1
    assert chances(FOUND, {"dog": 1.0}) == (0.0, 0.0, 1.0)
    assert chances(FOUND, {"pet": 0.05})[1] == pytest.approx(0.02, abs=0.01)


def test_what_no_hit_is_called_is_told() -> None:
    assert not_among(["dog", "wolf"], FOUND) == ["wolf"]
    slipper = [hit("Yellow Lady's Slipper", 1.0)]
    assert not_among(["yellow lady's slipper"], slipper) == []
