"""What similar pictures say, beside the passages that were found. Pure functions.

A passage is about an entity, and pictures of that entity resemble the query's picture more or less:

    score of a passage = its score + weight x (similarity of its entity - the best similarity)

so that the passages of the entity that is most alike keep their scores, and others lose. An entity
without pictures, or less alike than `floor`, counts as that alike: a photograph that resembles no
picture of the collection leaves the order as it was.

Where the colours of pictures lie may count beside their cosine: a tower that sees whole pictures
tells little of a flag in a disc, or of one half of it.

    similarity of an entity = its cosine - colours x (how far its colours lie - the best one's)

The best is what has most of the cosine less that, and keeps its cosine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpus.types import Hit


@dataclass(frozen=True, slots=True)
class Fusion:
    """How much similar pictures count.

    The defaults were fitted for kbvqa-mini on its own drawings, each vendor's held out in turn
    (docs/measured/pictures.md). MaxSim adds up a similarity a query row: a checkpoint with more
    rows wants a weight that is as much larger.

    Attributes:
        weight: of a similarity, beside the score of a passage.
        floor: the similarity of what is not alike, or has no pictures.
        colours: what a unit of Lab by which colours lie farther away takes from a similarity. Of
            flags and icons, not of photographs, which share no place for a colour.
    """

    weight: float = 48.0
    floor: float = 0.2
    colours: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.weight, self.colours)
        if not (all(0 <= count < math.inf for count in counts) and -1 <= self.floor <= 1):
            raise ValueError(
                "weight and colours must be >= 0 and finite, and floor from -1 to 1, got "
                f"{self.weight}, {self.colours} and {self.floor}"
            )


DRAWINGS = Fusion(colours=0.015)  # of the demo's (docs/measured/pictures.md)


def fused(hits: Sequence[Hit], similarity: Mapping[str, float], fusion: Fusion) -> list[Hit]:
    """Return the hits with their new scores, best first; ties keep their order.

    Args:
        hits: what was found, best first.
        similarity: of each entity's most similar picture to the query's, a cosine.
        fusion: how much that counts.
    """
    best = max(fusion.floor, max(similarity.values(), default=fusion.floor))
    both = []
    for hit in hits:
        alike = max(fusion.floor, similarity.get(hit.passage.entity, fusion.floor))
        both.append(Hit(hit.passage, hit.score + fusion.weight * (alike - best)))
    return sorted(both, key=lambda hit: -hit.score)
