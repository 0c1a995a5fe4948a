"""An answer: its words, their proof, how it came about, and how far it can be trusted.

What is called what on the way to the user:

    Completion   what a generator wrote for one prompt, as it came     generator.interface
    Candidate    what one passage makes of the question: one of those that are chosen from
    Answer       what was chosen, as the user gets it
    Result       the answer to a query or why there is none, with what was found    app.flow.events
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from corpus.types import Citation
from generator.interface import Usage

Strategy = Literal["extract", "concat", "ra-vqa", "critic", "no-retrieval"]
Trust = Literal["given", "unsure", "withheld"]
UNKNOWN = "I do not know"
# The doubt of an answer that says neither yes nor no.
UNDECIDED = "the words that it found do not say it plainly"
# Of a yes or no that the passages have nothing about: it is withheld.
NOT_ABOUT = "the words that it found are about something else"
# The doubt of a name that no passage was found for.
SEEN_ALONE = "this is what the classifier sees in the picture; no passage about it was found"
# Of these there is no probability, whatever was calibrated.
_NOT_JUDGED = (UNDECIDED, NOT_ABOUT, SEEN_ALONE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one passage makes of the question; unlike an answer it has not been chosen yet.

    Attributes:
        number: the passage's number in the prompt, from 1.
        text: the words read from it.
        log_prior: log p(passage | query).
        logprob: log p(text | passage, query), normalised by length; 0 where not known.
    """

    number: int
    text: str
    log_prior: float
    logprob: float

    @property
    def score(self) -> float:
        """Return the joint score."""
        return self.log_prior + self.logprob


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A prompt that was used.

    Attributes:
        name: of its template.
        sha256: of its text.
        passage_ids: of the passages in it.
        cut: tokens of passages and question that it had no room for, by
            `passages.estimate_tokens`.
    """

    name: str
    sha256: str
    passage_ids: tuple[str, ...]
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """A passage as what answers was given it.

    Attributes:
        number: the passage's, from 1.
        text: exactly what was given.
        cut: tokens at its end that there was no room for, by `quoting.estimate_tokens`.
    """

    number: int
    text: str
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer; None where it is not known.

    Attributes:
        lead: of the hit that the answer is from; see `selection.lead`.
        answer_logprob: mean log-probability of the answer's tokens.
        agreement: the answer's part of all candidates' probability; for one prompt with all
            passages, 1 when a cited passage has the answer word for word, else 0.
        relevance: the critic's probability that the passage answers the question.
        answerable: of the extractive reader: log-odds of the answer against "no answer" in its
            passage, within -LIMIT and LIMIT of `extracting`.
        certain: of the extractive reader: log-odds of the answer against all other words and "no
            answer" in its passage, within -CERTAIN and CERTAIN of `extracting`.
        subject: how many more of the passages read are about the same as the answer's than about
            any other thing, as a share; see `selection.one_subject`.
        subject_prior: the probability that the passage sought is about the same as the answer's, by
            the scores of the ten best; see `selection.subject_prior`.
        alike: the similarity of the most similar picture of an entity, a cosine; None where none
            had a say in what was found.
        shown: how likely the picture shows what the answer's passage is about, of a photograph by
            its classifier: no answer is surer. None where that is not known.
        apart: 1 where each passage is the only one about its thing, and what was found is vouched
            for (`answering.vouched`): `subject` says nothing then. None elsewhere.
        near: 1 where the best score is nearly what the checkpoint trusts, or more; None elsewhere.
    """

    lead: float | None = None
    answer_logprob: float | None = None
    agreement: float | None = None
    relevance: float | None = None
    answerable: float | None = None
    certain: float | None = None
    subject: float | None = None
    subject_prior: float | None = None
    alike: float | None = None
    shown: float | None = None
    apart: float | None = None
    near: float | None = None


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far to trust an answer.

    Attributes:
        value: the probability that it is right; None where nothing was calibrated, nothing is
            decided, or nothing was read.
        verdict: "given", "unsure" (shown with a warning) or "withheld" (not shown).
        reasons: why it is not simply given, the weightiest first.
        foreign: whether the probability was fitted on another corpus than was searched.
        doubted: whether reasons are among them that the probability knows nothing of.
    """

    value: float | None = None
    verdict: Trust = "given"
    reasons: tuple[str, ...] = ()
    foreign: bool = False
    doubted: bool = False

    @property
    def seen_alone(self) -> bool:
        """Return whether it is of a name that was seen in the picture, and read nowhere."""
        return SEEN_ALONE in self.reasons

    def __str__(self) -> str:
        """Return how probable it is in words; "" where nothing is decided, or nothing was read.

        >>> str(Confidence(0.961, foreign=True))
        'confidence 96 %, fitted on another corpus'
        >>> str(Confidence(0.85, "unsure", ("the passage says nothing of 1950",), doubted=True))
        'confidence 85 % but for that doubt'
        """
        if not_judged(self.reasons):
            return ""
        if self.value is None:
            return "confidence not calibrated for these models"
        where = ", fitted on another corpus" if self.foreign else ""
        beside = " but for that doubt" if self.doubted else ""
        return f"confidence {100 * self.value:.0f} %{beside}{where}"


def not_judged(reasons: Iterable[str]) -> bool:
    """Return whether there is no probability that an answer with these doubts is right."""
    return not set(_NOT_JUDGED).isdisjoint(reasons)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user reads, a short text with the passages that prove it, and how it came about.

    Unlike a completion or a candidate it has been chosen; where it is withheld, its words are not
    those that were read.

    Attributes:
        text: the answer; UNKNOWN where it is withheld.
        citations: the passages that prove it; none where it is withheld.
        strategy: that was followed.
        confidence: how far to trust it, and why not further.
        evidence: what speaks for it.
        prompts: those that were used.
        usage: tokens of all prompts.
        saw_picture: whether the generator was given the picture.
        candidates: what each passage made of the question, where they were read one by one.
        doubts: reasons of the strategy's own to doubt it, whatever the evidence.
        read: the numbers of the passages that it was looked for in.
        given: the passages as they were given to what answers, in the order of `read`.
        withheld: the answer that is held back from the user; None where it is shown.
    """

    text: str
    citations: tuple[Citation, ...]
    strategy: Strategy
    confidence: Confidence = Confidence()
    evidence: Evidence = Evidence()
    prompts: tuple[PromptRecord, ...] = ()
    usage: Usage = field(default_factory=Usage)
    saw_picture: bool = False
    candidates: tuple[Candidate, ...] = ()
    doubts: tuple[str, ...] = ()
    read: tuple[int, ...] = ()
    given: tuple[Given, ...] = ()
    withheld: "Answer | None" = None

    @property
    def original(self) -> "Answer":
        """Return the answer as it was read, whether or not it is shown: what is measured."""
        return self.withheld or self

    def judged(self, confidence: Confidence) -> "Answer":
        """Return the answer as the user gets it, given how far it can be trusted."""
        if confidence.verdict != "withheld":
            return replace(self, confidence=confidence)
        return replace(self, text=UNKNOWN, citations=(), confidence=confidence, withheld=self)
