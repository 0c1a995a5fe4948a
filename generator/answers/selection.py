"""Which of several answers is given: RA-VQA's joint choice. Pure functions.

Every passage z_k is read by itself and gives an answer y_k. The choice weighs how well the
passage fits the query against how sure the reader was (RA-VQA, Lin and Byrne 2022):

    score_k = log p(z_k | x) + log p(y_k | x, z_k)
    log p(z_k | x) = log softmax_k(retrieval score_k / temperature)

log p(y | x, z) is normalised by length as beam search does. Raw late-interaction scores make
the softmax nearly one-hot, hence the temperature, which is fitted on held-out queries.
Answers that agree are one answer with the sum of their probabilities.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from corpus.types import Hit
from generator.answers.answer import Candidate
from generator.answers.parsing import same_answer

# Hits among which the one that an answer is from has to stand out.
WEIGHED = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer chosen.

    Attributes:
        winner: the candidate with the highest score among those with this answer.
        agreeing: all candidates with this answer, the winner first.
        share: the answer's part of all candidates' probability, 0 to 1.
    """

    winner: Candidate
    agreeing: tuple[Candidate, ...]
    share: float


def log_prior(scores: Sequence[float], temperature: float) -> list[float]:
    """Return log p(passage | query) for each retrieval score.

    Raises:
        ValueError: the temperature is not positive.

    >>> [round(value, 3) for value in log_prior([2.0, 2.0], 1.0)]
    [-0.693, -0.693]
    """
    if not temperature > 0:
        raise ValueError(f"the temperature of retrieval scores must be positive, not {temperature}")
    scaled = [score / temperature for score in scores]
    total = log_sum_exp(scaled)
    return [value - total for value in scaled]


def lead(hits: Sequence[Hit], number: int) -> float | None:
    """Return how far a hit's score is above the mean of the others among the first WEIGHED.

    A passage that has the answer stands out; where none has, the best is one of many about
    the same thing. Unlike the score itself this means much the same for every kind of picture.
    None where there is one hit.

    Args:
        hits: the best first.
        number: of the hit, from 1.
    """
    scores = [hit.score for hit in hits[: max(WEIGHED, number)]]
    own = scores.pop(number - 1)
    return own - sum(scores) / len(scores) if scores else None


def one_subject(hits: Sequence[Hit], number: int) -> float:
    """Return how many more hits are about the same as one of them than about any other thing.

    As a share of the hits, by their titles: 1 where all are about the same. Where passages about
    one thing were found the picture is surely that; where more are about another, hardly. A passage
    without a title is about something of its own.

    Args:
        hits: those that were read.
        number: of the hit, from 1.

    >>> from corpus.types import Passage
    >>> oz, sea, other = (Passage(title, title, "Big.") for title in ("Oz", "Sea", ""))
    >>> hits = [Hit(passage, 1.0) for passage in (oz, sea, oz, other)]
    >>> [one_subject(hits, number) for number in (1, 2, 4)]
    [0.25, -0.25, -0.25]
    """
    subjects = _subjects(hits)
    counts = Counter(subjects)
    own = counts.pop(subjects[number - 1])
    return (own - max(counts.values(), default=0)) / len(hits)


def subject_prior(hits: Sequence[Hit], number: int, temperature: float) -> float:
    """Return how probable it is that the passage sought is about the same as one of the hits.

    The sum of p(z | x) over what is about that thing among the first WEIGHED, by their titles.
    Where a thing has one passage, `one_subject` is small however far that one stands out; this is
    not.

    Args:
        hits: the best first.
        number: of the hit, from 1.
        temperature: of the softmax.

    Raises:
        ValueError: the temperature is not positive.

    >>> from corpus.types import Passage
    >>> hits = [Hit(Passage(title, title, "Big."), 2.0) for title in ("Oz", "Sea", "Oz", "")]
    >>> [round(subject_prior(hits, number, 1.0), 2) for number in (1, 2, 4)]
    [0.5, 0.25, 0.25]
    """
    weighed = hits[: max(WEIGHED, number)]
    subjects = _subjects(weighed)
    priors = log_prior([hit.score for hit in weighed], temperature)
    own = subjects[number - 1]
    return sum(math.exp(p) for p, about in zip(priors, subjects, strict=True) if about == own)


def _subjects(hits: Sequence[Hit]) -> list[str]:
    """Return what each hit is about: its title, or itself alone."""
    return [hit.passage.title or str(n) for n, hit in enumerate(hits, start=1)]


def choose(candidates: Sequence[Candidate], *, agree: bool = True) -> Choice:
    """Return the answer with the most probability, answers that agree counted together.

    Ties go to the earlier passage.

    Args:
        candidates: of all passages that were read.
        agree: False counts every candidate by itself, as RA-VQA does.

    Raises:
        ValueError: there are no candidates.
    """
    if not candidates:
        raise ValueError("there is no candidate to choose")
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        same = (g for g in groups if agree and same_answer(g[0].text, candidate.text))
        if (group := next(same, None)) is None:
            groups.append([candidate])
        else:
            group.append(candidate)
    weights = [log_sum_exp([candidate.score for candidate in group]) for group in groups]
    best = max(range(len(groups)), key=lambda i: (weights[i], -i))
    agreeing = sorted(groups[best], key=lambda c: (-c.score, c.number))
    share = math.exp(weights[best] - log_sum_exp(weights))
    return Choice(agreeing[0], tuple(agreeing), share)


def log_sum_exp(values: Sequence[float]) -> float:
    """Return log(sum(exp(values))) without overflow; -inf for no values."""
    top = max(values, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))
