"""What the picture shows by itself joins what is found for a question about it."""

import pytest

from corpus.types import Hit, Passage
from retriever.index.picture import weighed, weighed_besides


def hit(title: str, section: str, score: float) -> Hit:
    return Hit(Passage(f"{title}:{section}", title, "", section=section), score)


FOUND = [hit("Caste", "", 20.0), hit("Bee", "Diet", 19.0), hit("Wasp", "Diet", 18.5)]
SHOWN = [hit("Bee", "Lead", 30.0), hit("Wasp", "Lead", 28.0), hit("Fly", "Lead", 25.0)]


def test_the_subject_that_the_picture_shows_comes_first() -> None:
    both = weighed(FOUND, SHOWN, 1.0)
    # Bee's sections keep their scores (its lead, not found, that of the last found); Wasp loses 2,
    # Caste and Fly, which it does not show or shows last, lose 5.
    assert [(h.passage.id, h.score) for h in both] == [
        ("Bee:Diet", 19.0),
        ("Bee:Lead", 18.5),
        ("Wasp:Diet", 16.5),
        ("Wasp:Lead", 16.5),
        ("Caste:", 15.0),
        ("Fly:Lead", 13.5),
    ]


def test_without_weight_the_order_stays_and_what_was_not_found_comes_last() -> None:
    assert [h.score for h in weighed(FOUND, SHOWN, 0.0)] == [20.0, 19.0, 18.5, 18.5, 18.5, 18.5]
    assert weighed(FOUND, SHOWN, 0.0)[: len(FOUND)] == FOUND


@pytest.mark.parametrize(("found", "shown"), [(FOUND, []), ([], SHOWN), ([], [])])
def test_nothing_beside_something_is_that(found: list[Hit], shown: list[Hit]) -> None:
    assert weighed(found, shown, 1.0) == (found or shown)


def test_passages_without_a_title_are_their_own_subjects() -> None:
    bare = [Hit(Passage(name, "", ""), score) for name, score in (("a", 9.0), ("b", 8.0))]
    shown = [Hit(Passage("b", "", ""), 5.0), Hit(Passage("a", "", ""), 1.0)]
    assert [(h.passage.id, h.score) for h in weighed(bare, shown, 0.5)] == [("b", 8.0), ("a", 7.0)]


def test_what_was_looked_for_besides_is_weighed_by_the_best_of_what_was_found() -> None:
    more = [hit("Ant", "Diet", 12.0), hit("Ant", "Lead", 9.0), hit("Moth", "", 8.0)]
    of_more = [hit("Ant", "Lead", 26.0), hit("Ant", "Diet", 20.0), hit("Tick", "", 1.0)]
    both = weighed_besides(more, of_more, SHOWN, 0.5)
    assert [(h.passage.id, h.score) for h in both] == [("Ant:Diet", 10.0), ("Ant:Lead", 7.0)]
    assert both == weighed_besides(more, of_more, SHOWN[:1], 0.5)
    # It shows the ant more than all that was found.
    first = weighed_besides(more, [hit("Ant", "Lead", 31.0)], SHOWN, 0.5)
    assert [h.score for h in first] == [12.0, 9.0]
