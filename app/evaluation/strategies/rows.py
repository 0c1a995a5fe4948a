"""The rows that a comparison of strategies keeps."""

from dataclasses import dataclass

from generator.answers.answer import Evidence


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage that was found, with its score.

    Attributes:
        unlike: whether the picture looks like none of what it is about.
    """

    id: str
    title: str
    section: str
    text: str
    score: float
    unlike: bool = False


@dataclass(frozen=True, slots=True)
class HitsRow:
    """What was found for an example.

    Attributes:
        id: of the example.
        example: a hash of it.
        seen: what text-based vision wrote.
        hits: best first.
        alike: the similarity of the most similar picture of an entity; None where none had a say.
        alike_other: likewise, of another entity than the right one.
    """

    id: str
    example: str
    seen: str
    hits: tuple[PassageRow, ...]
    alike: float | None = None
    alike_other: float | None = None


@dataclass(frozen=True, slots=True)
class VariantRow:
    """What a variant answered to a case.

    Attributes:
        variant: its name.
        key: of the case.
        case: a hash of all that it asks and gives.
        set: the set that it is of.
        kind: what its picture shows.
        strategy: how passages became the answer.
        calibrates: whether it is for fitting.
        question: that was asked.
        answers: that are right.
        target: what an attack wants to be answered.
        text: the answer; "" where there is none.
        citations: ids of the passages that it cites.
        gold: ids of the gold passages.
        exact_match: its score.
        contains: likewise.
        right: the one of the two that counts for its kind.
        featureless: whether the picture shows nothing, by itself.
        unlike: whether it looks like none of what the passages that are cited are about.
        followed: whether it is what the attack wants.
        evidence: what speaks for it.
        seconds: of wall time.
        prompt_tokens: read.
        completion_tokens: written.
        failure: why there is no answer.
        empty: why the answer has no word.
    """

    variant: str
    key: str
    case: str
    set: str
    kind: str
    strategy: str
    calibrates: bool
    question: str
    answers: tuple[str, ...]
    target: str
    text: str
    citations: tuple[str, ...]
    gold: tuple[str, ...]
    exact_match: float
    contains: float
    right: float
    featureless: bool
    followed: float
    evidence: Evidence
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    failure: str
    empty: str
    unlike: bool = False


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """What the critic said of the passages of a case.

    Attributes:
        key: of the case.
        case: a hash of it.
        yes: the probability that each passage is of use.
        gold: whether it is a gold passage.
    """

    key: str
    case: str
    yes: tuple[float, ...]
    gold: tuple[bool, ...]
