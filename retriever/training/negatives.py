"""Hard negatives: passages that a search takes for right and that prove nothing. Pure functions.

A passage that is found and not named as gold may still be right. Two signs of it are looked for:
an answer stands in it (pseudo-relevance, matched as pseudo-recall is), or its text is that of a
positive or of a negative that was chosen before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from corpus.passages.filters import shingles
from corpus.words import words
from retriever.metrics import pseudo_recall_at_k
from retriever.training.examples import TrainingExample

ANSWER, SAME_TEXT = "an answer is in it", "the same text"


@dataclass(frozen=True, slots=True)
class NegativeRules:
    """How negatives are chosen among what is found.

    Attributes:
        depth: passages found for a question.
        keep: the hardest of them that are kept, at most.
        similarity: the share of 5-word shingles that two texts have in common (Jaccard) from which
            they count as the same one; with 1.0 they have the same words in the same order.

    Raises:
        ValueError: a number is out of its range.
    """

    depth: int = 64
    keep: int = 16
    similarity: float = 0.9

    def __post_init__(self) -> None:
        if not 1 <= self.keep <= self.depth:
            raise ValueError(f"keep must be from 1 to depth, {self.depth}, not {self.keep}")
        if not 0 < self.similarity <= 1:
            raise ValueError(f"similarity must be above 0 and at most 1, not {self.similarity}")


@dataclass(frozen=True, slots=True)
class MinedNegatives:
    """The negatives of a question: a line of negatives.jsonl.

    Attributes:
        id: of the example.
        negatives: ids of passages, hardest first.
        left_out: passages that were passed over before `keep` were found, by reason.
        failure: why nothing was searched: "InvalidImage: ..."; "" where it was.
    """

    id: str
    negatives: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    failure: str = ""


def choose_negatives(
    example: TrainingExample,
    found: Iterable[tuple[str, str]],
    positives: Iterable[str],
    rules: NegativeRules,
) -> MinedNegatives:
    """Return the first passages found that are neither gold nor right by either sign.

    Args:
        example: what was searched for.
        found: (id, text) of passages, the best first.
        positives: the texts of the gold passages.
        rules: say how many, and what is the same text.
    """
    known = SameText(positives, rules.similarity)
    # An empty answer is in every passage.
    answers = [answer for answer in example.answers if answer.strip()]
    negatives: list[str] = []
    left_out: dict[str, int] = {}
    for id_, text in found:
        if len(negatives) == rules.keep:
            break
        if id_ in example.positives:
            continue
        if pseudo_recall_at_k([text], answers, 1):
            left_out[ANSWER] = left_out.get(ANSWER, 0) + 1
        elif not known.add(text):
            left_out[SAME_TEXT] = left_out.get(SAME_TEXT, 0) + 1
        else:
            negatives.append(id_)
    return MinedNegatives(example.id, tuple(negatives), left_out)


def with_negatives(
    examples: Sequence[TrainingExample], mined: Mapping[str, Sequence[str]]
) -> Iterator[TrainingExample]:
    """Yield the examples with their mined negatives; one that has none stays as it is."""
    for example in examples:
        negatives = mined.get(example.id)
        yield example if negatives is None else replace(example, negatives=tuple(negatives))


class SameText:
    """Remembers some texts and tells whether another is one of them; for tens, not for a corpus.

    Case, spaces and marks do not count, and texts that share most of their 5-word shingles are the
    same. `corpus.passages.filters.NearDuplicates` estimates that for a whole corpus; this computes
    it.

    >>> same = SameText(["Paris is the capital of France."], similarity=0.9)
    >>> same.add("PARIS is the capital, of France"), same.add("Rome"), same.add("Rome")
    (False, True, False)
    """

    def __init__(self, texts: Iterable[str], similarity: float) -> None:
        self._similarity = similarity
        self._exact: set[str] = set()
        self._shingles: list[set[str]] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> bool:
        """Return whether a text is none of those before, and remember it if so."""
        exact = normalised(text)
        if exact in self._exact:
            return False
        if self._similarity < 1:
            own = shingles(text)
            if any(self._alike(own, other) for other in self._shingles):
                return False
            self._shingles.append(own)
        self._exact.add(exact)
        return True

    def _alike(self, own: set[str], other: set[str]) -> bool:
        shared = len(own & other)
        return shared >= self._similarity * (len(own) + len(other) - shared)


def normalised(text: str) -> str:
    """Return the words of a text in lower case: what it is compared by.

    >>> normalised("Paris, FRANCE!")
    'paris france'
    """
    return " ".join(words(text.casefold()))
