"""What a classifier names counts where passages have it for their title."""

import pytest

from corpus.types import Hit, Passage
from retriever.index.named import chances, not_among, weighed, weights
from retriever.inputs.text_vision import Sight, imagenet_names, imagenet_synonyms


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


def sight(**shares: float) -> Sight:
    """Return what a classifier sees that gives classes these shares, by their first names."""
    names = imagenet_names()
    chances = tuple((names.index(name.replace("_", " ")), share) for name, share in shares.items())
    return Sight(chances=chances, kinds=(("dog", 0.5),) if "pug" in shares else ())


def titled(*titles: str) -> list[Hit]:
    return [hit(title, 20.0) for title in titles]


def test_what_a_photograph_shows_is_what_is_named_with_half_a_chance_or_more() -> None:
    pug, cannon, dog = chances(titled("Pug", "Cannon", "Dog"), sight(pug=0.9, cannon=0.05))
    assert pug is not None and cannon is not None and dog is not None
    assert cannon == pytest.approx(0.02, abs=0.01)
    assert 0.5 < dog < 0.95 < pug < 1
    assert chances(titled("Cannon"), sight(cannon=1.0)) == (1.0,)
    assert chances(titled("Cannon"), sight(pug=1.0)) == (0.0,)


def test_a_title_says_more_than_the_name_of_what_is_shown() -> None:
    seen = sight(cannon=1.0, sewing_machine=1.0, steam_locomotive=1.0, tiger=1.0)
    shown = ("Cannons", "Two cannons", "Cannon - History", "the old Sewing Machine of 1887")
    assert chances(titled(*shown, "Steam locomotive Hedwig", "Locomotive"), seen) == (1.0,) * 6
    # The longest name counts: a tiger cat is no tiger.
    assert chances(titled("Tiger cat", "Candle", "Machine gun"), seen) == (0.0, 0.0, 0.0)
    # However many words it has.
    assert chances(titled("sewing " * 5_000, "sewing " * 5_000 + "machine"), seen) == (None, 1.0)
    # Nobody can tell of what no class is called.
    assert chances(titled("Hedwig", "Kenya", ""), seen) == (None, None, None)


def test_what_no_hit_is_called_is_told() -> None:
    assert not_among(["dog", "wolf"], FOUND) == ["wolf"]
    slipper = [hit("Yellow Lady's Slipper", 1.0)]
    assert not_among(["yellow lady's slipper"], slipper) == []


def test_a_name_that_finds_something_else_is_not_written() -> None:
    """The classifier's jersey is a shirt, and the corpus's is an island."""
    [jersey] = [n for n, own in enumerate(imagenet_synonyms()) if "jersey" in own]
    sight = Sight(classes=(jersey,), likeliest=0.5, chances=((jersey, 0.5),))
    island = {"jersey": None}
    assert sight.sentence() == " It may show jersey."
    assert sight.sentence(lambda name: island.get(name, False)) == " It may show T-shirt."
    assert sight.titles(lambda name: island.get(name, False)) == {}
