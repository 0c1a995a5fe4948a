"""Pictures of entities beside a question's: which are the most similar, and which have a say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.flow.looking import ALIKE, LookedAt
from corpus.types import Box, Hit
from retriever.encoding.queries import EncodedQuery
from retriever.inputs.text_vision import names_in
from retriever.pictures.collection import PictureCollection
from retriever.pictures.layout import Layouts, in_better_light
from retriever.pictures.neighbours import SimilarPicture

_COMPARED = 32  # entities with the most similar pictures, that are compared by their colours, too


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """A query that is encoded and not searched for yet.

    Attributes:
        asked: the question and its picture.
        alone: the picture by itself; None where it has no say.
        boxes: the parts of the picture that were looked at; () for the whole.
        photograph: whether the picture is taken for a photograph of what it shows.
        lying: how the colours of what was looked at lie [L, H, W, C]; None where that tells
            nothing.
    """

    asked: EncodedQuery
    alone: EncodedQuery | None
    boxes: tuple[Box, ...]
    photograph: bool = False
    lying: Layouts | None = None


def lying(pictures: PictureCollection | None, shown: LookedAt) -> Layouts | None:
    """Return how the colours of a picture lie, where pictures are compared by that, too.

    Not of a part, which has some of what is around it, nor of a photograph.
    """
    if pictures is None or not pictures.fusion.colours or shown.boxes:
        return None
    if shown.query.image is None or shown.photograph:
        return None
    return next(in_better_light(shown.query.image), None)


def similar(
    pictures: PictureCollection | None,
    encoded: Sequence[EncodedQuestion],
    hits: Sequence[Sequence[Hit]],
) -> list[list[SimilarPicture]]:
    """Return the pictures that say what each question's shows, most similar first.

    They are of the entities of its hits and of those that are most alike. [] for a question without
    a picture, and where there are no pictures.
    """
    said: list[list[SimilarPicture]] = [[] for _ in encoded]
    seen = {n: e.asked.picture_V for n, e in enumerate(encoded) if e.asked.picture_V is not None}
    if pictures is not None and seen:
        entities = [{hit.passage.entity for hit in hits[n]} for n in seen]
        found = pictures.search(np.stack(list(seen.values())), _COMPARED, entities)
        for n, some in zip(seen, found, strict=True):
            by_colours = pictures.by_colours(some, encoded[n].lying)
            said[n] = _having_a_say(by_colours, encoded[n], pictures.fusion.floor)
    return said


def _having_a_say(
    similar: Sequence[SimilarPicture], question: EncodedQuestion, floor: float
) -> list[SimilarPicture]:
    """Return the pictures that are alike enough to say what the question's shows.

    Of a photograph, and where a classifier is sure, they must be clearly so: drawings say
    nothing of it.
    """
    _, surely = names_in(question.asked.seen)
    least = max(floor, ALIKE) if surely or question.photograph else floor
    return [picture for picture in similar if picture.similarity > least]
