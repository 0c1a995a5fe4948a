"""Questions to measure on, set apart from those that are trained on.

Two questions about one entity, or with one picture, stay on the same side: else what is measured
is whether a thing that was learnt is remembered.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

from app.training.checks import Asked
from corpus.types import Passage

SHARE = 0.2
_MOST = 0.5  # of the questions: the rest has to teach something


def split_by_entity(
    asked: Sequence[Asked], passages: Mapping[str, Passage], *, share: float = SHARE, seed: int = 0
) -> tuple[list[Asked], list[Asked]]:
    """Return the questions to train on and those to measure on, each in their order.

    Whole groups are taken, in an order that the seed decides, until they make up the share. A
    group of more than half of all questions is always trained on, so that the second list is empty
    where everything hangs together.

    Args:
        asked: with gold passages that are in the corpus.
        passages: by id; their entity, or else their title, or their id, is what they are about.
        share: of the questions that is measured on.
        seed: of the choice.
    """
    groups = sorted(_groups(asked, passages), key=lambda group: _drawn(asked[group[0]], seed))
    measured: set[int] = set()
    for group in groups:
        if len(measured) >= share * len(asked):
            break
        if len(measured) + len(group) <= _MOST * len(asked):
            measured.update(group)
    rows = list(enumerate(asked))
    return [row for i, row in rows if i not in measured], [row for i, row in rows if i in measured]


def _groups(asked: Sequence[Asked], passages: Mapping[str, Passage]) -> list[list[int]]:
    """Return the places of questions that hang together, in their order."""
    parent = list(range(len(asked)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Hashable, int] = {}
    for i, row in enumerate(asked):
        for about in _about(row, passages):
            a, b = sorted((root(i), root(first.setdefault(about, i))))
            parent[b] = a
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(asked)):
        groups[root(i)].append(i)
    return list(groups.values())


def _about(row: Asked, passages: Mapping[str, Passage]) -> Iterator[Hashable]:
    if row.example.image:
        yield "picture", row.picture or row.example.image
    for id_ in row.example.gold_passage_ids:
        passage = passages[id_]
        yield "entity", passage.entity or passage.title or id_


def _drawn(row: Asked, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{row.example.id}".encode()).hexdigest()
