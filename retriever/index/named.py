"""What a classifier names in a picture, beside the passages that were found. Pure functions.

MaxSim has the name among the words of the question, and a passage that says it often may stand
before the one that is about it: a gun dog before the dog. So a title that is named counts:

    score of a passage = its score + weight of its title - the weight of the best one's title

so that the best passage keeps its score: what is named, where that comes first by it.
"""

import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence

from corpus.types import Hit
from retriever.inputs.text_vision import Sight, imagenet_kinds

# What a title weighs that is named for certain, and how much less one that is half as likely: of a
# photograph, and of what may be a drawing, which the classifier takes for anything. Fitted on
# photographs, and on drawings of emoji (docs/measured/photographs.md).
_CERTAIN, _HALF_OF_PHOTOGRAPHS, _HALF = 16.0, 2.0, 4.0
_OF_A_KIND = "the|The|an?|An?|each|every|this|our"  # what stands before no proper name
# Of photographs what a classifier gives a third is right more often than not, and what it gives a
# tenth hardly ever: log-odds of being right, by those that it gives.
_ODDS, _SLOPE = 1.2, 1.7


def titles_called(name: str) -> tuple[str, ...]:
    """Return how a title may be written that is a name.

    >>> titles_called("lady's slipper")
    ("lady's slipper", "Lady's slipper", "Lady's Slipper")
    """
    return tuple(dict.fromkeys((name, name[:1].upper() + name[1:], string.capwords(name))))


def is_proper(name: str, texts: Iterable[str]) -> bool:
    """Return whether a word is the name of one thing, and not of a kind, where texts have it.

    They write it with a capital amid a sentence, without an article, and never without one.

    >>> is_proper("jersey", ["Jersey. The States of Jersey make laws."])
    True
    >>> is_proper("candle", ["Candle. A candle has a wick. Some call it Candle."])
    False
    >>> is_proper("cheetah", ["In our park the Cheetah eats gazelles."])
    False
    """
    if not name.isalpha() or not name.islower():
        return False
    together = " ".join(texts)
    before = re.findall(rf"([a-z]+)[,;]? {name.capitalize()}\b", together)
    kind = re.search(rf"\b{name}|\b(?:{_OF_A_KIND}) {name.capitalize()}\b", together)
    return bool(before) and kind is None


def weights(likely: Mapping[str, float], *, photograph: bool) -> dict[str, float]:
    """Return what each name weighs that is so likely.

    A kind as if it were half as likely: a tabby is a cat, too, and the tabby is what is shown.

    >>> weights({"tiger": 1.0, "tiger cat": 0.25, "cat": 0.25}, photograph=True)
    {'tiger': 16.0, 'tiger cat': 12.0, 'cat': 10.0}
    """
    half = _HALF_OF_PHOTOGRAPHS if photograph else _HALF
    kinds = set(imagenet_kinds().values())
    shares = {name: share / 2 if name in kinds else share for name, share in likely.items()}
    gains = {name: _CERTAIN + half * math.log2(share) for name, share in shares.items()}
    return {name: gain for name, gain in gains.items() if gain > 0}


def chances(hits: Sequence[Hit], sight: Sight) -> tuple[float | None, ...]:
    """Return for each hit how likely a photograph shows what its passage is called.

    None where the classifier has no such name.

    Args:
        hits: what was found.
        sight: what it sees.
    """
    shares = [sight.chance(hit.passage.title) for hit in hits]
    return tuple(None if share is None else _right(share) for share in shares)


def _right(share: float) -> float:
    """Return how likely a class is right that a classifier gives so much."""
    if not 0 < share < 1:
        return min(share, 1.0)
    odds = _ODDS + _SLOPE * math.log(share / (1 - share))
    return 1 / (1 + math.exp(-odds))


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
