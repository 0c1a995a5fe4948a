"""From what was found to an answer that says how far it can be trusted.

`Pipeline` and the evaluation of strategies call `Answering.answer`, and re-implement no step.
"""

from collections.abc import Generator as GeneratorOf
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Self

from corpus.types import Answer, Hit, Query
from generator.confidence import (
    PACKAGED,
    UNKNOWN,
    Calibration,
    Confidence,
    judge,
    read_calibration,
)
from generator.strategies import Answerer, Reply, Strategy, respond, usual_plan
from generator.strategies import Plan as Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer as the user gets it.

    Attributes:
        answer: what is shown: "I do not know", without citations, where it is withheld.
        confidence: how far to trust it, and why not further.
        reply: what the strategy made, withheld or not.
    """

    answer: Answer
    confidence: Confidence
    reply: Reply


@dataclass(frozen=True, slots=True)
class Answering:
    """A generator with the way it is asked.

    Attributes:
        generator: the extractive reader, or something that continues prompts.
        plan: the strategy and its parameters.
        calibration: what was fitted for the checkpoint.
        unsure_below: answers less probable than this are marked as unsure.
        withhold_below: answers less probable than this are withheld.
    """

    generator: Answerer
    plan: Plan
    calibration: Calibration
    unsure_below: float = 0.5
    withhold_below: float = 0.2

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
    def uncalibrated(self) -> str:
        """Return why answers come without a confidence, and what to do; "" where they have one."""
        name, style = self.generator.name, self.plan.style
        if self.calibration.fit(name, style, self.plan.strategy) is not None:
            return ""
        prompts = "" if self.plan.strategy == "extract" else f" with {style} prompts"
        what = f"{name}{prompts} and {self.plan.strategy}"
        of = "this checkpoint" if not self.calibration.checkpoint else self.calibration.checkpoint
        return (
            f"Nothing was calibrated for {of} and {what}: answers come without a confidence. "
            "Calibrate with `kbvqa evaluate answers --out DIR`, then set "
            "KBVQA_CALIBRATION=DIR/calibration.json."
        )

    def answer(
        self,
        query: Query,
        hits: tuple[Hit, ...],
        *,
        shown: int | None = None,
        strategy: Strategy | None = None,
        caption: str = "",
        doubts: tuple[str, ...] = (),
    ) -> GeneratorOf[str | Outcome, None, None]:
        """Yield pieces of the answer as it grows ("" while it is worked on), then the outcome.

        Args:
            query: with its picture.
            hits: what was found, the best first.
            shown: how many of them the user sees, beyond which none is read; None for all.
            strategy: another than the plan's.
            caption: what is known of the picture in words.
            doubts: reasons to doubt the answer from elsewhere, such as the retriever.

        Raises:
            GeneratorError: the generator fails; see generator.errors.
        """
        plan = replace(
            self.plan,
            strategy=strategy or self.plan.strategy,
            passages=min(self.plan.passages, len(hits) if shown is None else shown),
        )
        with closing(respond(self.generator, query, hits, plan, caption=caption)) as steps:
            for step in steps:
                if isinstance(step, str):
                    yield step
                    continue
                confidence = judge(
                    step.evidence,
                    self.calibration.fit(self.generator.name, plan.style, step.strategy),
                    unsure_below=self.unsure_below,
                    withhold_below=self.withhold_below,
                    doubts=doubts,
                )
                withheld = confidence.verdict == "withheld"
                yield Outcome(Answer(UNKNOWN) if withheld else step.answer, confidence, step)
