"""What happens between a question and its result, as `Pipeline.run` tells it, in this order:

Found      the passages, once
Waiting    nothing new; comes every now and then, so that whoever listens may stop
Piece      more text of the answer
Result     all that came of it, last
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.flow.naming import within_a_sentence
from corpus.types import Box, Hit
from generator.answers.answer import Answer
from generator.answers.parsing import contains
from generator.answers.selection import WEIGHED
from generator.errors import GeneratorError
from generator.interface import Piece as Piece
from generator.interface import Waiting as Waiting
from retriever.inputs.text_vision import names_in

if TYPE_CHECKING:
    from retriever.encoding.queries import EncodedQuery
    from retriever.pictures.neighbours import SimilarPicture

# The cosines from which on a picture says what the asked one shows, whatever the classifier names:
# by itself, and where the best passage is about the same.
THE_SAME, _AS_FOUND = 0.8, 0.5


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for a query.

    Attributes:
        hits: best first; empty without retrieval.
        unsure: whether the best score is under the checkpoint's calibrated threshold.
        threshold: that threshold; None where the checkpoint has none.
        seen: what text-based vision wrote behind the question; "" when nothing.
        timings_ms: milliseconds of wall time by step.
        cut: tokens at the question's end that the checkpoint has no room for; 0 when all fit.
        boxes: the parts of the picture that were looked at: beside the whole by FLMR, alone by
            others; () for the whole.
        asked_as: the question as it was made to stand alone and its slips were mended; "" where it
            was asked as it is.
        sources: those that the search was held to; () for all.
        weighed: passages, those not shown too, that were held against each other.
        readable: how many of the hits may be read; None for all.
        similar: the most similar pictures of the index's collection, of different entities, best
            first; () without a collection, or without a picture, and where none is alike enough
            to have a say.
        shown: of a photograph, how likely it shows what each hit is about, by the classifier, None
            where that has no name for it; () where nothing is known.
        chosen: whether the program chose the boxes, and not whoever asked.
        pictureless: whether the picture was left out of account, as the question names another.
        asked: the query as it was encoded, which tells why the hits were found (app.asking.why);
            None where nothing was looked for, or for many queries at once.
    """

    hits: tuple[Hit, ...] = ()
    unsure: bool = False
    threshold: float | None = None
    seen: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
    cut: int = 0
    boxes: tuple[Box, ...] = ()
    asked_as: str = ""
    sources: tuple[str, ...] = ()
    weighed: int = WEIGHED
    readable: int | None = None
    similar: "tuple[SimilarPicture, ...]" = ()
    shown: tuple[float | None, ...] = ()
    chosen: bool = False
    pictureless: bool = False
    asked: "EncodedQuery | None" = field(default=None, compare=False, repr=False)

    @property
    def recognised(self) -> tuple[str, ...]:
        """Return the names of what a classifier sees in the picture, the likeliest first.

        () where the most similar picture says that it shows something else.
        """
        names, _ = names_in(self.seen)
        if not self.named or not (alike := self.named[0]).name:
            return names
        best = self.hits[0].passage.title if self.hits else ""
        least = _AS_FOUND if alike.name == best else THE_SAME
        if alike.similarity < least and not alike.lies_as:
            return names
        same = any(contains(alike.name, name) or contains(name, alike.name) for name in names)
        return names if same else ()

    @property
    def surely(self) -> bool:
        """Return whether it is sure of the first of them."""
        return names_in(self.seen)[1]

    @property
    def named(self) -> "tuple[SimilarPicture, ...]":
        """Return the similar pictures, those without a name by the title of a hit about them."""
        titles = {hit.passage.entity: hit.passage.title for hit in reversed(self.hits)}
        return tuple(replace(p, name=p.name or titles.get(p.entity, "")) for p in self.similar)

    @property
    def alike(self) -> float | None:
        """Return the similarity of the most similar picture; None where none has a say."""
        return self.similar[0].similarity if self.similar else None


@dataclass(frozen=True, slots=True)
class Found:
    """The retrieval is done; with no hits where none was asked for."""

    retrieval: Retrieval


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a query: its answer, or why there is none, and all that was found.

    Attributes:
        answer: as it is shown; None when only retrieval was asked for, or the generator failed.
        failure: why there is no answer though one was asked for; else None.
        retrieval: what was found; it is there whether or not the generator failed.
        timings_ms: milliseconds of wall time by step, "total" among them.
        checkpoint: name and revision of the retriever.
        generator: the generator's name; "" when only retrieval was asked for.
        notes: what to know beside the answer, a sentence each: see app.flow.notes.
        request_id: of the request that asked; "" where it was asked in this process.
        repeated: whether it is what came of the same question before.
        picture: a hash of the picture's pixels, by which a follow-up on another one is told apart;
            "" for a question without one.
    """

    answer: Answer | None
    failure: GeneratorError | None
    retrieval: Retrieval
    timings_ms: dict[str, float]
    checkpoint: str
    generator: str
    notes: tuple[str, ...] = ()
    request_id: str = ""
    repeated: bool = False
    picture: str = ""

    @property
    def outcome(self) -> str:
        """Return "given", "unsure" or "withheld", or why there is no answer: "found", "failed".

        "found" had no answer to write, "failed" is the generator's failure.
        """
        if self.answer is not None:
            return self.answer.confidence.verdict
        return "found" if self.failure is None else "failed"

    @property
    def about(self) -> str:
        """Return the name of what the answer is about, as it stands inside a sentence.

        "" where that is in doubt.
        """
        answer = self.answer
        if answer is None or answer.confidence.verdict != "given" or not answer.citations:
            return ""
        number = answer.citations[0].number
        hits = self.retrieval.hits
        if not 1 <= number <= len(hits):
            return ""
        passage = hits[number - 1].passage
        return within_a_sentence(passage.title, passage.text)


Event = Found | Waiting | Piece | Result
