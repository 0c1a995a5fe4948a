"""How a question is to be answered: by what, by which strategy, and with which parameters."""

from dataclasses import dataclass
from typing import get_args

from generator.answers.answer import Strategy
from generator.errors import StrategyUnavailable
from generator.extractive.reader import ExtractiveReader
from generator.interface import Generator
from generator.prompts import PASSAGE_TOKENS, Style

# What answers: the extractive reader, or something that continues prompts.
Answerer = ExtractiveReader | Generator


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """How a question is to be answered.

    Attributes:
        strategy: see generator.answers.strategies.
        style: how prompts are written; see generator.prompts.
        passages: how many of the hits are read, the best first.
        passage_tokens: for all passages of a prompt, by `passages.estimate_tokens`.
        temperature: of the retrieval scores.
        relevant_from: the critic keeps passages with at least this probability of "yes".
        delimit: False puts passages into prompts as they are, to measure what that prevents.
        agree: False counts answers that agree one by one, to measure what that prevents.
    """

    strategy: Strategy = "ra-vqa"
    style: Style = "few-shot"
    passages: int = 3
    passage_tokens: int = PASSAGE_TOKENS
    temperature: float = 1.0
    relevant_from: float = 0.5
    delimit: bool = True
    agree: bool = True


def strategies_of(generator: Answerer) -> tuple[Strategy, ...]:
    """Return the strategies that a reader or generator has."""
    if isinstance(generator, ExtractiveReader):
        return ("extract",)
    return tuple(name for name in get_args(Strategy) if name != "extract")


def require_strategy(generator: Answerer, strategy: str) -> None:
    """Raise StrategyUnavailable unless there is such a strategy, and what answers has it."""
    if strategy not in get_args(Strategy):
        known = ", ".join(get_args(Strategy))
        raise StrategyUnavailable(f"{strategy!r} is no strategy; choose from {known}.")
    if strategy not in strategies_of(generator):
        raise StrategyUnavailable(
            f"{generator.name} does not answer by {strategy!r}: the extractive reader has "
            "'extract' alone, which others have not. Unset KBVQA_STRATEGY, or set KBVQA_READER or "
            "KBVQA_GENERATOR_URL to something that writes."
        )


def usual_plan(generator: Answerer) -> AnswerPlan:
    """Return how a reader or generator is asked where nothing is set.

    The extractive reader points at words of five passages; a chat server, or another model, reads
    three one by one.
    """
    if isinstance(generator, ExtractiveReader):
        return AnswerPlan("extract", passages=5)
    return AnswerPlan("ra-vqa", style=generator.style)
