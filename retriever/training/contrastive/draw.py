"""Which questions and passages a batch holds: a function of the seed and the batch's number.

So an interrupted training goes on with the batch that it would have had, and processes that share
one know all of it without asking each other.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corpus.types import Passage
from retriever.errors import InvalidTrainingData
from retriever.training.examples import TrainingExample
from retriever.training.recipes import RetrieverRecipe

Key = tuple[str, str]  # the set's name and the passage's id


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Questions and the passages that they are asked of; negatives come from the same ones.

    Attributes:
        name: by which a recipe repeats it.
        examples: to train on.
        passages: by id.
    """

    name: str
    examples: Sequence[TrainingExample]
    passages: Mapping[str, Passage]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A question of a batch.

    Attributes:
        example: the question.
        keys: of its passages: one that proves its answer, then as many that do not as the recipe
            has.
        passages: the same passages.
        right: the keys of all that prove its answer.
    """

    example: TrainingExample
    keys: tuple[Key, ...]
    passages: tuple[Passage, ...]
    right: frozenset[Key]


class Draws:
    """The batches of a training, by number.

    Args:
        sets: at least one, of different names.
        recipe: says how often each stands in an epoch.

    Raises:
        InvalidTrainingData: a set cannot be trained on.
    """

    def __init__(self, sets: Sequence[TrainingSet], recipe: RetrieverRecipe) -> None:
        names = [given.name for given in sets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InvalidTrainingData(
                f"two sets are called {twice!r}, and could not be told apart: rename a file, or "
                "give it once"
            )
        for given in sets:
            _require_usable(given, recipe)
        if unknown := sorted(set(recipe.repeats) - {given.name for given in sets}):
            # A recipe names datasets that need not all be there; one's own slip shows in the log.
            recipe = replace(
                recipe, repeats={n: t for n, t in recipe.repeats.items() if n not in unknown}
            )
        self._sets, self._recipe = list(sets), recipe
        self._ids = [list(given.passages) for given in sets]
        self._negatives: Mapping[str, tuple[str, ...]] = {}
        times = [recipe.repeats.get(given.name, 1.0) for given in sets]
        self._counts = [
            max(1, round(len(s.examples) * t)) for s, t in zip(sets, times, strict=True)
        ]
        self._epoch = lru_cache(maxsize=2)(self._order)

    @property
    def examples_an_epoch(self) -> int:
        """How many questions an epoch has, repeated ones as often as they are."""
        return sum(self._counts)

    def refresh(self, negatives: Mapping[str, tuple[str, ...]]) -> None:
        """Take other negatives from now on, by the example's id; the others keep theirs."""
        self._negatives = negatives

    def batch(self, number: int) -> list[Drawn]:
        """Return the questions of a batch, each with its passages."""
        drawn = []
        for place in range(self._recipe.batch):
            epoch, i = divmod(number * self._recipe.batch + place, self.examples_an_epoch)
            of_set, row = self._epoch(epoch)[i]
            draw = random.Random(f"{self._recipe.seed}/{number}/{place}")
            drawn.append(self._drawn(int(of_set), int(row), draw))
        return drawn

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return an epoch's (set, example) pairs [examples, 2] in their order."""
        rng = np.random.default_rng([self._recipe.seed, epoch])
        pairs = []
        for number, (given, count) in enumerate(zip(self._sets, self._counts, strict=True)):
            whole, rest = divmod(count, len(given.examples))
            rows = np.concatenate(
                [np.tile(np.arange(len(given.examples)), whole),
                 rng.permutation(len(given.examples))[:rest]]
            )  # fmt: skip
            pairs.append(np.stack([np.full(count, number), rows], axis=1))
        order: NDArray[np.int64] = rng.permutation(np.concatenate(pairs))
        return order

    def _drawn(self, of_set: int, row: int, draw: random.Random) -> Drawn:
        given, wanted = self._sets[of_set], self._recipe.negatives
        example = given.examples[row]
        mined = self._negatives.get(example.id, example.negatives)
        right = set(example.positives)
        wrong = [id_ for id_ in dict.fromkeys(mined) if id_ not in right]
        chosen = draw.sample(wrong, min(wanted, len(wrong)))
        ids = self._ids[of_set]
        while len(chosen) < wanted:
            other = ids[draw.randrange(len(ids))]
            if other not in right and (other not in chosen or len(ids) <= wanted + len(right)):
                chosen.append(other)
        ids_drawn = (draw.choice(example.positives), *chosen)
        return Drawn(
            example,
            keys=tuple((given.name, id_) for id_ in ids_drawn),
            passages=tuple(given.passages[id_] for id_ in ids_drawn),
            right=frozenset((given.name, id_) for id_ in right),
        )


def competition(batch: Sequence[Drawn]) -> tuple[Tensor, Tensor]:
    """Return which passage of a batch is each query's gold one [B], and which compete [B, N].

    A passage that proves a query's answer too, or is its gold one once more, does not.
    """
    keys = [key for drawn in batch for key in drawn.keys]
    each = len(batch[0].keys)
    gold_B = torch.arange(len(batch)) * each
    competes_BN = torch.tensor([[key not in drawn.right for key in keys] for drawn in batch])
    competes_BN[torch.arange(len(batch)), gold_B] = True
    return gold_B, competes_BN


def _require_usable(given: TrainingSet, recipe: RetrieverRecipe) -> None:
    if not given.examples:
        raise InvalidTrainingData(f"{given.name} has no example with a gold passage")
    for example in given.examples:
        named = (*example.positives, *example.negatives)
        lacking = [id_ for id_ in named if id_ not in given.passages]
        if lacking or not example.positives:
            what = f"names passage {lacking[0]!r}, which is not there" if lacking else "has none"
            raise InvalidTrainingData(
                f"example {example.id!r} of {given.name} {what}: give the passages that its gold "
                "ones are of, or leave it out"
            )
        if recipe.negatives and len(given.passages) <= len(set(example.positives)):
            raise InvalidTrainingData(
                f"every passage of {given.name} is right for example {example.id!r}: there is "
                "nothing to tell them from"
            )
        if recipe.rows == "visual" and example.image is None and not example.black_image:
            raise InvalidTrainingData(
                f"example {example.id!r} of {given.name} has no picture, and recipe "
                f"{recipe.name!r} scores nothing else: leave such examples out"
            )
