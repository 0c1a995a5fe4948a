"""What a picture shows by itself, beside what is found for a question about it. Pure functions.

A question pulls: "To which order do entomologists assign it?" under a bee finds passages about
castes and taxonomy. The same picture asked "What is this?" finds the bee. Both have a say:

    score of a passage = score(question, picture)
                         + weight x (score("What is this?", picture) of its subject - the best's)

A subject's score is that of its best passage, so that every section about a country gains by what
its flag shows. The passage of the likeliest subject keeps its score; others lose.
"""

from collections.abc import Sequence

from corpus.types import Hit, Passage

# Of each search: a passage further down counts as the last of these. It is brought up where nothing
# that was found has its title, and a similar picture, or a classifier, names it.
DEPTH = 60


def weighed(found: Sequence[Hit], shown: Sequence[Hit], weight: float) -> list[Hit]:
    """Return the hits of both searches, the best first; ties keep the order of `found`.

    Args:
        found: for the question and the picture, the best first.
        shown: for WHAT_IS_THIS and the same picture.
        weight: how much the picture by itself counts.
    """
    if not found or not shown:
        return list(found or shown)
    subjects = _best_of_subjects(shown)
    best, last = max(subjects.values()), min(subjects.values())
    known = {hit.passage.id for hit in found}
    floor = min(hit.score for hit in found)
    rest = [Hit(hit.passage, floor) for hit in shown if hit.passage.id not in known]
    both = [
        Hit(hit.passage, hit.score + weight * (subjects.get(_subject(hit.passage), last) - best))
        for hit in (*found, *rest)
    ]
    return sorted(both, key=lambda hit: -hit.score)


def weighed_besides(
    more: Sequence[Hit], of_more: Sequence[Hit], shown: Sequence[Hit], weight: float
) -> list[Hit]:
    """Return hits that `weighed` did not find, weighed by the best of what it did.

    Args:
        more: for the question and the picture, of other passages.
        of_more: for WHAT_IS_THIS and the same picture, of these.
        shown: for WHAT_IS_THIS, as `weighed` was given it.
        weight: how much the picture by itself counts.
    """
    best = max(hit.score for hit in (*shown, *of_more))
    subjects = _best_of_subjects(of_more)
    return [
        Hit(hit.passage, hit.score + weight * (subjects[_subject(hit.passage)] - best))
        for hit in more
        if _subject(hit.passage) in subjects
    ]


def _best_of_subjects(hits: Sequence[Hit]) -> dict[str, float]:
    best: dict[str, float] = {}
    for hit in hits:
        name = _subject(hit.passage)
        best[name] = max(best.get(name, hit.score), hit.score)
    return best


def _subject(passage: Passage) -> str:
    return passage.title or passage.id
