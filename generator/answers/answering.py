"""From what was found to an answer that says how far it can be trusted.

`Pipeline` and the evaluation of strategies call `Answering.answer`, and re-implement no step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from corpus.types import Hit, Passage, Query
from generator.answers.answer import Answer, Evidence, Strategy
from generator.answers.confidence import (
    PACKAGED,
    Calibration,
    Fit,
    fit_name,
    judge,
    needed_lead,
    read_calibration,
)
from generator.answers.plan import Answerer, AnswerPlan, usual_plan
from generator.answers.strategies import respond
from generator.interface import Piece, Work, overheard

# The cosine from which on the most similar picture says what the asked one shows. Of pictures of
# what a garden's collection has, 0.36 to 0.87; of others, 0.2 to 0.42 (development figures).
_ALIKE = 0.5
UNLIKE = "no picture of it looks like this one"


@dataclass(frozen=True, slots=True)
class Answering:
    """A generator with the way it is asked.

    Attributes:
        generator: the extractive reader, or something that continues prompts.
        plan: the strategy and its parameters.
        calibration: what was fitted for the checkpoint.
        unsure_below: answers less probable than this are marked as unsure.
        withhold_below: answers less probable than this are withheld.
        corpus: the hash of the passages that are searched; "" for none.
        pictures: the hash of the collection of pictures that has a say in what is found; "" for
            none.
    """

    generator: Answerer
    plan: AnswerPlan
    calibration: Calibration
    unsure_below: float = 0.6
    withhold_below: float = 0.3
    corpus: str = ""
    pictures: str = ""

    @classmethod
    def usual(cls, generator: Answerer, checkpoint_revision: str) -> Self:
        """Return how a reader or generator is asked where nothing is set, and its calibration.

        Args:
            generator: what answers.
            checkpoint_revision: the hash of the retriever's checkpoint.
        """
        calibration = read_calibration(PACKAGED, checkpoint_revision)
        plan = usual_plan(generator)
        return cls(generator, replace(plan, temperature=calibration.temperature), calibration)

    @property
    def foreign(self) -> bool:
        """Return whether the confidence was fitted on another corpus than is searched, or beside
        other pictures.
        """
        fitted_on = self.calibration.corpus
        return self._other_pictures or (
            bool(fitted_on and self.corpus) and fitted_on != self.corpus
        )

    @property
    def _other_pictures(self) -> bool:
        name, plan = self.generator.name, self.plan
        beside = fit_name(name, plan.style, plan.strategy, self.pictures)
        return bool(self.pictures) and beside not in (self.calibration.fits or {})

    def fit(self, strategy: Strategy) -> Fit | None:
        """Return the confidence that was fitted for a strategy, or None."""
        return self.calibration.fit(self.generator.name, self.plan.style, strategy, self.pictures)

    def planned(self, strategy: Strategy | None = None) -> AnswerPlan:
        """Return how is answered, by another strategy if one is given.

        Scores have another scale where pictures have a say in them, and another temperature.
        """
        plan = replace(self.plan, strategy=strategy or self.plan.strategy)
        fit = self.fit(plan.strategy)
        if fit is None or fit.temperature is None:
            return plan
        return replace(plan, temperature=fit.temperature)

    @property
    def uncalibrated(self) -> str:
        """Return why answers come without a confidence, or with one that was fitted on another
        corpus, and what to do; "" where all is well.
        """
        name, style = self.generator.name, self.plan.style
        if self.calibration.fit(name, style, self.plan.strategy) is not None:
            if not self.foreign:
                return ""
            other = "beside other pictures" if self._other_pictures else "on another corpus"
            return (
                f"The confidence was fitted {other} than this index holds, and may be "
                "too high or too low here. Fit it on questions of your own with `kbvqa evaluate "
                "trust EXAMPLES --out DIR`, then set KBVQA_CALIBRATION=DIR/calibration.json."
            )
        prompts = "" if self.plan.strategy == "extract" else f" with {style} prompts"
        what = f"{name}{prompts} and {self.plan.strategy}"
        of = "this checkpoint" if not self.calibration.checkpoint else self.calibration.checkpoint
        return (
            f"Nothing was calibrated for {of} and {what}: answers come without a confidence. "
            "Calibrate with `kbvqa evaluate answers --out DIR`, then set "
            "KBVQA_CALIBRATION=DIR/calibration.json."
        )

    def needed_lead(self, answer: Answer) -> float | None:
        """Return the lead from which an answer is given without a doubt; None where none is.

        What else speaks for it stays as it is: no lead takes a doubt of another kind away. See
        `confidence.needed_lead`.
        """
        fit = None if answer.confidence.doubted else self.fit(answer.strategy)
        return None if fit is None else needed_lead(answer.evidence, fit, self.unsure_below)

    def answer(
        self,
        query: Query,
        hits: tuple[Hit, ...],
        *,
        strategy: Strategy | None = None,
        caption: str = "",
        recognised: tuple[str, ...] = (),
        alike: float | None = None,
        shown: tuple[float | None, ...] = (),
        doubts: tuple[str, ...] = (),
        low: tuple[str, ...] = (),
        apart: bool = False,
        near: bool = False,
        most: int | None = None,
        unlike: Callable[[Passage], bool] = lambda passage: False,
    ) -> Work[Answer]:
        """Return the answer as the user gets it, its pieces coming as they are written.

        What comes whole comes when it is judged, and not at all where it is withheld.

        Args:
            query: with its picture.
            hits: what was found, the best first.
            strategy: another than the plan's.
            caption: what is known of the picture in words.
            recognised: names of what the picture surely shows, the likeliest first.
            alike: the similarity of the most similar picture of an entity; None where none had a
                say in what was found.
            shown: of each hit, how likely the picture shows what it is about, None where nobody
                has a name for that; () where nothing is known.
            doubts: reasons to doubt any answer.
            low: reasons of the retriever, which count where no confidence was fitted on this
                corpus.
            apart: whether each passage is the only one about its thing. That no other is about the
                same says nothing then of one that is vouched for.
            near: whether the best score is nearly what the checkpoint trusts, or more.
            most: passages that are read at most; None for as many as the plan has. The others tell
                how far these stand out.
            unlike: whether the picture looks like none of what a passage is about: an answer from
                such passages alone is in doubt.

        Raises:
            GeneratorError: the generator fails; see generator.errors.
        """
        plan = self.planned(strategy)
        if most is not None:
            plan = replace(plan, passages=min(plan.passages, most))
        work = respond(self.generator, query, hits, plan, caption=caption, recognised=recognised)
        pieces: list[str] = []
        answer = yield from overheard(work, pieces.append)
        evidence = replace(answer.evidence, alike=alike, shown=self._shown(answer, hits, shown))
        surely = vouched(evidence, pictured=query.image is not None)
        evidence = replace(
            evidence, apart=1.0 if apart and surely else None, near=1.0 if near else None
        )
        answer = replace(answer, evidence=evidence)
        cited = {citation.passage_id for citation in answer.citations}
        sources = [hit.passage for hit in hits if hit.passage.id in cited]
        if sources and all(map(unlike, sources)):
            answer = replace(answer, doubts=(*answer.doubts, UNLIKE))
        fit = self.fit(answer.strategy)
        confidence = judge(
            answer.evidence,
            fit,
            unsure_below=self.unsure_below,
            withhold_below=self.withhold_below,
            doubts=(*doubts, *answer.doubts),
            low=low,
            foreign=self.foreign,
            vouched=surely,
        )
        judged = answer.judged(confidence)
        if not pieces and judged.withheld is None:
            yield Piece(judged.text)
        return judged

    def _shown(
        self, answer: Answer, hits: Sequence[Hit], shown: Sequence[float | None]
    ) -> float | None:
        """Return how likely the picture shows what the passage is about that an answer is from.

        A photograph shows nothing that the classifier has no name for: so it is with what the
        confidence was fitted on. What another corpus is about may be anything.
        """
        unnamed = None if self.foreign else 0.0
        cited = {citation.passage_id for citation in answer.citations}
        each = [
            unnamed if share is None else share
            for hit, share in zip(hits, shown, strict=False)
            if hit.passage.id in cited
        ]
        return max((share for share in each if share is not None), default=None)


def vouched(evidence: Evidence, *, pictured: bool) -> bool:
    """Return whether what was found is surely what is asked about, whatever its score.

    Scores are of a question and its picture: one without a picture has fewer rows to add up, and
    what a similar picture brought up is known by that.

    Args:
        evidence: of the answer.
        pictured: whether the question was asked with a picture.
    """
    return not pictured or (evidence.alike is not None and evidence.alike >= _ALIKE)
