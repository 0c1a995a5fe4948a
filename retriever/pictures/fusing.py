"""What similar pictures say, beside the passages that were found. Pure functions.

A passage is about an entity, and pictures of that entity resemble the query's picture more or less:

    score of a passage = its score + weight x (similarity of its entity - the best similarity)

so that the passages of the entity that is most alike keep their scores, and others lose. An entity
without pictures, or less alike than `floor`, counts as that alike: a photograph that resembles no
picture of the collection leaves the order as it was.
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
    """

    weight: float = 48.0
    floor: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.weight < math.inf and -1 <= self.floor <= 1):
            raise ValueError(
                f"weight must be >= 0 and finite, and floor from -1 to 1, got {self.weight} "
                f"and {self.floor}"
            )


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
