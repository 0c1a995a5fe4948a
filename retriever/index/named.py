"""What a classifier names in a picture, beside the passages that were found. Pure functions.

MaxSim has the name among the words of the question, and a passage that says it often may stand
before the one that is about it: a gun dog before the dog. So a title that is named counts:

    score of a passage = its score + weight of its title - the weight of the best one's title

so that the best passage keeps its score: what is named, where that comes first by it.
"""

import math
import string
from collections.abc import Iterable, Mapping, Sequence

from corpus.types import Hit

# What a title weighs that is named for certain, and how much less one that is half as likely.
# Fitted on photographs and drawings of emoji (docs/measured/photographs.md).
_CERTAIN, _HALF = 16.0, 2.0
# Named with 0.15 to 0.6, of a mean of 0.4, classes are right of 0.72 of ImageNet's photographs.
_UNDERRATED = 2.0


def titles_called(name: str) -> tuple[str, ...]:
    """Return how a title may be written that is a name.

    >>> titles_called("lady's slipper")
    ("lady's slipper", "Lady's slipper", "Lady's Slipper")
    """
    return tuple(dict.fromkeys((name, name[:1].upper() + name[1:], string.capwords(name))))


def weights(likely: Mapping[str, float]) -> dict[str, float]:
    """Return what each name weighs that is so likely.

    >>> weights({"tiger": 1.0, "tiger cat": 0.25})
    {'tiger': 16.0, 'tiger cat': 12.0}
    """
    gains = {name: _CERTAIN + _HALF * math.log2(share) for name, share in likely.items()}
    return {name: gain for name, gain in gains.items() if gain > 0}


def chances(hits: Sequence[Hit], likely: Mapping[str, float]) -> tuple[float, ...]:
    """Return for each hit how likely the picture shows what its passage is called.

    Twice what the classifier gives it: of photographs it is right more often than it says.

    Args:
        hits: what was found.
        likely: the names of passages, and how likely each is.
    """
    by_title: dict[str, float] = {}
    for name, share in likely.items():
        for title in titles_called(name):
            by_title[title] = max(by_title.get(title, 0.0), min(1.0, _UNDERRATED * share))
    return tuple(by_title.get(hit.passage.title, 0.0) for hit in hits)


def not_among(names: Iterable[str], hits: Sequence[Hit]) -> list[str]:
    """Return the names that no hit is called."""
    titles = {hit.passage.title for hit in hits}
    return [name for name in names if titles.isdisjoint(titles_called(name))]


def weighed(hits: Sequence[Hit], names: Mapping[str, float]) -> list[Hit]:
    """Return the hits with their new scores, best first; ties keep their order.

    Args:
        hits: what was found, best first.
        names: what each weighs.
    """
    rising = sorted(names, key=lambda name: names[name])
    weight = {title: names[name] for name in rising for title in titles_called(name)}
    gains = [weight.get(hit.passage.title, 0.0) for hit in hits]
    best = max(range(len(hits)), key=lambda n: hits[n].score + gains[n], default=0)
    both = [
        Hit(hit.passage, hit.score + gain - gains[best])
        for hit, gain in zip(hits, gains, strict=True)
    ]
    return sorted(both, key=lambda hit: -hit.score)
