"""How a generator is fine-tuned, and what it is trained on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from generator.training.losses import RetrievalLabels

LANGUAGE_MODEL = "language-model"


@dataclass(frozen=True, slots=True)
class LoraRecipe:
    """How a generator is fine-tuned. The defaults are this repository's.

    Attributes:
        rank: of the adapters.
        alpha: their scale, divided by the rank.
        dropout: before the adapters.
        targets: names of the layers that are adapted; LANGUAGE_MODEL for every linear layer of
            the language model but its head.
        learning_rate: of AdamW, constant.
        accumulate: questions to a step; a process reads one at a time.
        passages: that are read of those retrieved for a question.
        drawn: of those, how many a step reads; the others wait for another epoch.
        max_source_tokens: a longer prompt loses the end of its passage.
        max_target_tokens: a longer answer is cut.
        prompt: "instruct" asks as `KBVQA_PROMPT_STYLE=instruct` does, and ends an answer with its
            line; "paper" is RA-VQA's text alone.
        nll, marginal, retrieval: weights of the losses. In this training the scores are given:
            the last one is a figure to watch and moves no adapter.
        retrieval_labels: which passages count as right ones, see losses.RETRIEVAL_LABELS.
        epochs: at most.
        steps: at most; 0 for no such limit.
        patience: epochs without a better validation loss before it stops.
        bfloat16: computes in bfloat16 on a GPU; a CPU always computes in float32.
        seed: of the order, the passages drawn, the adapters and the dropout.
    """

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.1
    targets: tuple[str, ...] = (LANGUAGE_MODEL,)
    learning_rate: float = 1e-4
    accumulate: int = 16
    passages: int = 5
    drawn: int = 3
    max_source_tokens: int = 512
    max_target_tokens: int = 10
    prompt: Literal["instruct", "paper"] = "instruct"
    nll: float = 1.0
    marginal: float = 0.0
    retrieval: float = 0.0
    retrieval_labels: RetrievalLabels = "agreed"
    epochs: int = 10
    steps: int = 0
    patience: int = 5
    bfloat16: bool = True
    seed: int = 0


# BLIP-2's targets: peft's of T5, and the vision tower's "qkv", which the peft of that time also
# took for it ends in "v". Only with it are 6,475,776 parameters trained, as published.
_PUBLISHED = LoraRecipe(targets=("q", "v", "qkv"), prompt="paper", drawn=5)


def okvqa_flmr() -> LoraRecipe:
    """Return RA-VQAv2 with FLMR on OK-VQA: five passages in training and test."""
    return _PUBLISHED


def okvqa_preflmr() -> LoraRecipe:
    """Return RA-VQAv2 with PreFLMR: the top five retrieved before, three drawn for each step."""
    return replace(_PUBLISHED, drawn=3)


RECIPES = {"own": LoraRecipe, "okvqa-flmr": okvqa_flmr, "okvqa-preflmr": okvqa_preflmr}


def override(recipe: LoraRecipe, assignments: Sequence[str]) -> LoraRecipe:
    """Return the recipe with some settings changed.

    Args:
        recipe: to begin with.
        assignments: "name=value"; several targets are separated by commas.

    Raises:
        ValueError: a setting that there is not, or a value that it cannot have.
    """
    kinds = {field.name: field.type for field in fields(LoraRecipe)}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in kinds:
            raise ValueError(f"{assignment!r}: give NAME=VALUE; names are {', '.join(kinds)}")
        old = getattr(recipe, name)
        try:
            changed: dict[str, Any] = {name: _parsed(text, old)}
            recipe = replace(recipe, **changed)
        except ValueError as exc:
            raise ValueError(f"{name}={text}: {exc}") from exc
    _check(recipe)
    return recipe


def _parsed(text: str, like: object) -> Any:
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError("give true or false")
        return text == "true"
    if isinstance(like, int | float):
        return type(like)(text)
    return tuple(filter(None, text.split(","))) if isinstance(like, tuple) else text


_POSITIVE = (
    *("rank", "alpha", "learning_rate", "accumulate", "passages", "drawn", "epochs", "patience"),
    *("max_source_tokens", "max_target_tokens"),
)


def _check(recipe: LoraRecipe) -> None:
    for name in (*_POSITIVE, "dropout", "nll", "marginal", "retrieval", "steps"):
        value = getattr(recipe, name)
        if not value >= 0 or (value == 0 and name in _POSITIVE):
            bound = "more than 0" if name in _POSITIVE else "at least 0"
            raise ValueError(f"{name} must be {bound}, not {value}")
    if recipe.dropout >= 1:
        raise ValueError(f"dropout must be less than 1, not {recipe.dropout}")
    if not recipe.targets:
        raise ValueError("targets names no layer")
    if not recipe.nll and not recipe.marginal:
        raise ValueError("nll and marginal are both 0: nothing would train the generator")
    for name, known in (
        ("prompt", ("instruct", "paper")),
        ("retrieval_labels", get_args(RetrievalLabels)),
    ):
        if getattr(recipe, name) not in known:
            raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(recipe, name)!r}")


@dataclass(frozen=True, slots=True)
class ReadExample:
    """A question with what was retrieved for it.

    Attributes:
        question: the question.
        answers: of all annotators, repeated as often as given.
        passages: as they are to stand in the prompt, the best first.
        scores: of the retriever.
        caption: what is known of the picture in words; "" for nothing.
        image: the picture's file, for a model that sees; None for one that does not.
        searched: the texts by which a passage is known to have an answer, of a list of things
            each; () for the answers.
    """

    question: str
    answers: tuple[str, ...]
    passages: tuple[str, ...]
    scores: tuple[float, ...]
    caption: str = ""
    image: Path | None = None
    searched: tuple[str, ...] = ()

    def drawn(self, recipe: LoraRecipe, draw: random.Random) -> "ReadExample":
        """Return the example with the passages that a step reads."""
        n = min(recipe.passages, len(self.passages))
        return self._with(sorted(draw.sample(range(n), min(recipe.drawn, n))))

    def top(self, passages: int) -> "ReadExample":
        """Return the example with its best passages."""
        return self._with(range(min(passages, len(self.passages))))

    def _with(self, chosen: Sequence[int]) -> "ReadExample":
        passages = tuple(self.passages[i] for i in chosen)
        return replace(self, passages=passages, scores=tuple(self.scores[i] for i in chosen))
