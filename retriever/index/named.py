"""What a classifier names in a picture, beside the passages that were found. Pure functions.

MaxSim has the name among the words of the question, and a passage that says it often may stand
before the one that is about it: a gun dog before the dog. So a title that is named counts:

    score of a passage = its score + weight of its title - the greatest weight of a title found

so that passages about what is named keep their scores, and others lose.
"""

from collections.abc import Mapping, Sequence

from corpus.types import Hit
from retriever.inputs.text_vision import names_in

# Fitted on photographs and drawings of emoji; a classifier that is not sure is wrong of drawings
# more often than not (docs/measured/pictures.md).
_SURE, _MAYBE = 8.0, 2.0
_NEXT = 0.5  # what a name weighs, of the one before it


def titles_called(name: str) -> tuple[str, ...]:
    """Return how a title may be written that is a name.

    >>> titles_called("polar bear")
    ('polar bear', 'Polar bear', 'Polar Bear')
    """
    return tuple(dict.fromkeys((name, name[:1].upper() + name[1:], name.title())))


def weights(seen: str) -> dict[str, float]:
    """Return what each name in the sentence of a classifier weighs.

    >>> weights(" It shows tiger, tiger cat.")
    {'tiger': 8.0, 'tiger cat': 4.0}
    """
    names, surely = names_in(seen)
    first = _SURE if surely else _MAYBE
    return {name: first * _NEXT**n for n, name in enumerate(names)}


def not_among(names: Mapping[str, float], hits: Sequence[Hit]) -> list[str]:
    """Return the names that are no title of these hits."""
    titles = {hit.passage.title.lower() for hit in hits}
    return [name for name in names if name.lower() not in titles]


def weighed(hits: Sequence[Hit], names: Mapping[str, float]) -> list[Hit]:
    """Return the hits with their new scores, best first; ties keep their order.

    Args:
        hits: what was found, best first.
        names: what each weighs.
    """
    by_title = {name.lower(): weight for name, weight in names.items()}
    gains = [by_title.get(hit.passage.title.lower(), 0.0) for hit in hits]
    best = max(gains, default=0.0)
    both = [
        Hit(hit.passage, hit.score + gain - best) for hit, gain in zip(hits, gains, strict=True)
    ]
    return sorted(both, key=lambda hit: -hit.score)
