"""Why an answer is in doubt, whatever its words: by its picture and by what was found."""

from app.flow.events import THE_SAME, Retrieval
from app.flow.notes import OTHER_LANGUAGE, SAME_LOOK, in_english, twins
from corpus.pictures.images import featureless
from corpus.types import Passage, Query
from generator.answers.twofold import HALF
from retriever.inputs.images import crop_regions
from retriever.pictures.collection import PictureCollection

_NEARLY = 0.75  # of the threshold (docs/measured/garden.md)


def doubts_of(query: Query) -> tuple[str, ...]:
    """Return why any answer to a query is in doubt, as reasons."""
    if query.image is not None and featureless(query.image):
        return ("the picture shows nothing but a colour, a gradient or noise",)
    return ()


def doubts_of_question(query: Query, found: Retrieval, *, half: bool) -> tuple[str, ...]:
    """Return why any answer to a question is in doubt, whatever is read."""
    return (
        *(HALF,) * half,
        *(SAME_LOOK,) * bool(twins(query.question, found)),
        *(OTHER_LANGUAGE,) * (not in_english(query.question)),
    )


def low_of(found: Retrieval) -> tuple[str, ...]:
    """Return why what was found is in doubt where nothing better tells, as reasons."""
    if not found.unsure or found.threshold is None:
        return ()
    best = f"scores {found.hits[0].score:.1f}" if found.hits else "was not found"
    return (f"the best passage {best}; this checkpoint trusts scores from {found.threshold:.1f}",)


def is_near(found: Retrieval) -> bool:
    """Return whether the best score is nearly what the checkpoint trusts, or more."""
    if found.threshold is None or not found.hits:
        return False
    return found.hits[0].score >= _NEARLY * found.threshold


def unlike(
    pictures: PictureCollection | None, query: Query, found: Retrieval, passage: Passage
) -> bool:
    """Return whether a query's picture looks like none of what a passage is about.

    False where pictures have no say, or one of the thing is all but the same.

    Args:
        pictures: of entities; None without.
        query: as it was searched for.
        found: what was found for it.
        passage: one of that.
    """
    if pictures is None or query.image is None or found.alike is None:
        return False
    if any(p.entity == passage.entity and p.similarity >= THE_SAME for p in found.similar):
        return False
    [image, *_] = crop_regions(query.image, found.boxes) if found.boxes else [query.image]
    return pictures.unlike(image, passage.entity)
