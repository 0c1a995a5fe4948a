"""What was found, as it is told."""

import json

import pytest

from app.asking.report import found_as_json
from app.flow.events import Retrieval
from corpus.types import Hit, Passage
from retriever.pictures.neighbours import SimilarPicture


def found(seen: str, *similar: SimilarPicture, best: str = "") -> Retrieval:
    hits = (Hit(Passage("p", best, "A passage."), 1.0),) if best else ()
    return Retrieval(hits, seen=seen, similar=similar)


def alike(name: str, cosine: float, away: float | None = None) -> SimilarPicture:
    return SimilarPicture("a.png", "e", cosine, name, away=away)


@pytest.mark.parametrize(
    ("retrieval", "names"),
    [
        (found("It may show potpie.", alike("Bagel", 0.97)), ()),
        (found("It may show potpie.", alike("Bagel", 0.4)), ("potpie",)),
        (found("It shows corkscrew.", alike("Mail plane", 0.57), best="Mail plane"), ()),
        (found("It shows corkscrew.", alike("Mail plane", 0.57)), ("corkscrew",)),
        (found("It shows shield.", alike("Japan", 0.6, away=4.0)), ()),
        (found("It shows shield.", alike("Japan", 0.6, away=30.0)), ("shield",)),
        (found("It shows bald eagle.", alike("Eagle", 0.97)), ("bald eagle",)),
    ],
)
def test_a_picture_that_is_plainly_alike_gainsays_the_classifier(
    retrieval: Retrieval, names: tuple[str, ...]
) -> None:
    assert retrieval.recognised == names
    assert found_as_json(retrieval)["recognised"] == list(names)


def test_what_was_found_is_json_where_nobody_asked_how_colours_lie() -> None:
    said = found_as_json(found("", alike("Bagel", 0.97)))
    assert json.loads(json.dumps(said, allow_nan=False))["similar"][0]["away"] is None
