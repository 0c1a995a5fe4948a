"""What is looked at of a question's picture: the whole, or a part that is named or stands out.

What stands before a busy background is looked at by itself, where a classifier tells photographs of
things: a photograph stays whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL.Image import Image

from corpus.types import Box, Query
from retriever.encoding.encoder import Encoder
from retriever.encoding.queries import EncodedQuery, Look
from retriever.errors import InvalidQuery
from retriever.inputs.foreground import foregrounds
from retriever.inputs.images import crop_regions
from retriever.inputs.text_vision import Known, named_again
from retriever.pictures.collection import PictureCollection

# The cosine from which on a picture is taken for one of the same thing. Where a part is less like
# all of them it is looked for elsewhere, too (docs/measured/backgrounds.md).
ALIKE = 0.35
# What the whole picture and its other parts count beside the part that is looked at, each.
_BESIDE = 0.5
# How much more like a drawing than the whole picture a part must be to stand for it: a little, and
# so much more where the classifier is sure of the whole (docs/measured/backgrounds.md).
_MORE_ALIKE, _MORE_IF_SURE = 0.02, 0.07


class LookedAt(NamedTuple):
    """What is looked at of a query.

    Attributes:
        query: with that part for its picture, where it is one.
        boxes: the parts of the whole picture that are looked at; () for the whole.
        look: at its picture; None where that is still to be looked at.
        beside: looks at the whole, and at other parts of it.
        photograph: whether it is taken for a photograph: no part is like a drawing.
    """

    query: Query
    boxes: tuple[Box, ...]
    look: Look | None
    beside: tuple[Look, ...] = ()
    photograph: bool = False


class Looker:
    """Looks at pictures for an encoder.

    Args:
        encoder: that looks.
        pictures: of entities, by which a part stands out; None without.
        known: what passages there are; None where nobody knows.
    """

    def __init__(
        self, encoder: Encoder, pictures: PictureCollection | None, known: Known | None
    ) -> None:
        self._encoder, self._pictures, self._known = encoder, pictures, known

    def compared(self, asked: EncodedQuery, shown: LookedAt) -> EncodedQuery:
        """Return a query whose picture is compared by all that was looked at of it.

        By what it stands for most: which part shows the thing is a guess.
        """
        if asked.picture_V is None or not shown.beside:
            return asked
        beside_V = np.sum(self._encoder.compared(shown.beside), axis=0)
        joined_V = asked.picture_V + _BESIDE * beside_V
        return replace(asked, picture_V=joined_V / np.linalg.norm(joined_V))

    def at(self, query: Query) -> LookedAt:
        """Return a query of what is looked at: the thing before a busy background by itself.

        Not where the classifier might take that part for what it named in the whole picture, nor
        where the part is hardly more like a drawing: then the picture is a photograph.
        """
        boxes = self._things(query)
        box = next(boxes, None)
        if query.image is None or box is None:
            return LookedAt(self.part(query), query.boxes, None)
        [image] = crop_regions(query.image, [box])
        whole, part = self._encoder.look([query.image, image])
        thing, parts = None, {box: part}
        if not named_again(whole.seen.sight.sentence(self._known), part.seen.guesses):
            thing = self._likest(whole, parts, boxes)
        if thing is None:
            beside = tuple(parts.values())
            return LookedAt(query, (), whole.as_photograph(), beside, photograph=True)
        part = parts.pop(thing)
        return LookedAt(
            replace(query, image=part.picture), (thing,), part, (whole, *parts.values())
        )

    def _likest(self, whole: Look, parts: dict[Box, Look], others: Iterator[Box]) -> Box | None:
        """Return where the part is that is most like a picture of the collection.

        The first without a collection; None where the whole picture is as much so. Where the first
        is not much so, others are looked at, and added to the parts.
        """
        pictures, [first] = self._pictures, parts
        if pictures is None:
            return first

        def similarities(looks: Sequence[Look]) -> list[float]:
            found = pictures.search(self._encoder.compared(looks), 1)
            return [best.similarity for [best] in found]

        of_whole, of_first = similarities([whole, parts[first]])
        measured = {first: of_first}
        if of_first < ALIKE:
            boxes = list(others)
            looks = self._encoder.look(crop_regions(whole.picture, boxes))
            parts.update(zip(boxes, looks, strict=True))
            measured.update(zip(boxes, similarities(looks), strict=True))
        likest = max(measured, key=lambda box: measured[box])
        more = _MORE_ALIKE + _MORE_IF_SURE * whole.seen.sight.likeliest
        return likest if measured[likest] >= of_whole + more else None

    def _things(self, query: Query) -> Iterator[Box]:
        """Return where a thing may stand before a busy background; nowhere if a part is named."""
        # What is no picture is refused where it is encoded.
        if not isinstance(query.image, Image) or query.boxes:
            return iter(())
        # A checkpoint that looks at parts beside the whole is told of those that somebody names.
        if self._encoder.checkpoint.text_vision is None or self._encoder.takes_regions:
            return iter(())
        return foregrounds(query.image)

    def part(self, query: Query) -> Query:
        """Return a query of the part of its picture that its box names, where parts stand alone.

        FLMR looks at parts beside the whole; what takes one picture is given the part.
        """
        if query.boxes and query.image is None:
            raise InvalidQuery("boxes are parts of a picture, and there is none: leave them out")
        if not query.boxes or query.image is None or self._encoder.takes_regions:
            return query
        if len(query.boxes) > 1:
            raise InvalidQuery(
                f"{len(query.boxes)} boxes: this checkpoint looks at one picture, and so at one "
                "part of it. Give one box, or use an FLMR checkpoint."
            )
        [part] = crop_regions(query.image, query.boxes)
        return replace(query, image=part, boxes=())
