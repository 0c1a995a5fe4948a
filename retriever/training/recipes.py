"""How a retriever is trained: PreFLMR's stages, as functions that return their settings.

    text_encoder   the text towers on MSMARCO, as ColBERT
    mapping        the mapping network between frozen towers
    intermediate   everything but the vision tower, on E-VQA
    m2kr           the same on all nine datasets
    finetune       the same on one dataset, as the authors' released script
    own            the mapping network and the question's tower: passages keep their embeddings

Sources: Lin et al. 2024 (arXiv 2402.08327) and its authors' README, issues and configurations. What
none of them says is this project's choice, and named so in `ours`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

Part = Literal["questions", "passages", "mapping", "vision"]
Rows = Literal["all", "text", "visual"]


@dataclass(frozen=True, slots=True)
class RetrieverRecipe:
    """Everything about a training that is not data.

    Attributes:
        name: of the recipe.
        trains: parts of the checkpoint; the others are frozen, without dropout. "questions" and
            "passages" are text towers with their linear layers, one where a checkpoint shares
            them; "mapping" is the prefix MLP and the mapping transformer.
        rows: of a query that are scored; "visual" leaves those of its text out.
        steps: of the optimizer.
        batch: queries whose passages compete, over all processes.
        accumulate: batches to a step.
        chunk: queries encoded at once, with their passages; 0 for a process's share of a batch.
            Fewer need less memory and one more forward pass; gradients stay the same.
        negatives: wrong passages beside each gold one: mined ones, then any of the same dataset.
        learning_rate: of AdamW.
        mapping_learning_rate: the same, of the mapping network.
        warmup: steps to the full rates.
        decay: "linear" to zero at the end, or "constant".
        weight_decay: AdamW's.
        clip: the greatest norm of the gradient; 0 for no limit.
        passage_tokens: passages are cut here while training; 0 for the checkpoint's own limit.
        repeats: how often a dataset stands in an epoch, by name: 0.5 draws half of it, anew each
            epoch. Others stand there once.
        evaluate_every: steps between two looks at the validation questions.
        recall_at: the K of the recall that decides which checkpoint is kept.
        patience: looks without a better recall before it stops; 0 goes on to the end.
        bfloat16: computes in bfloat16 on a GPU that can; a CPU always computes in float32.
        recompute: layers of the text towers and the mapping network compute again what the
            gradients need: less memory.
        seed: of the order, what is drawn and dropout.
        ours: the settings that no source states.
    """

    name: str
    trains: tuple[Part, ...]
    rows: Rows = "all"
    steps: int = 1000
    batch: int = 8
    accumulate: int = 1
    chunk: int = 0
    negatives: int = 4
    learning_rate: float = 5e-6
    mapping_learning_rate: float = 5e-6
    warmup: int = 0
    decay: Literal["linear", "constant"] = "constant"
    weight_decay: float = 0.0
    clip: float = 1.0
    passage_tokens: int = 0
    repeats: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    evaluate_every: int = 500
    recall_at: int = 5
    patience: int = 0
    bfloat16: bool = True
    recompute: bool = False
    seed: int = 0
    ours: tuple[str, ...] = ()


_NOT_SET = ("name", "ours")
# Of every stage: no source says them.
_OURS = ("weight_decay", "clip", "evaluate_every", "patience", "seed")


def text_encoder() -> RetrieverRecipe:
    """Return stage 0, ColBERT's objective on MSMARCO: batch, negatives and steps by folder names.

    The authors began with the public ColBERTv2 for the checkpoints that they released.
    """
    return RetrieverRecipe(
        "text-encoder",
        trains=("questions", "passages"),
        rows="text",
        steps=62_254,
        batch=128,
        negatives=1,
        chunk=16,
        learning_rate=1e-5,
        mapping_learning_rate=1e-5,
        ours=(*_OURS, "chunk", "negatives", "learning_rate", "warmup", "decay"),
    )


def mapping() -> RetrieverRecipe:
    """Return stage 1: the mapping network alone, from WIT, CC3M, LLaVA, MSMARCO, OVEN and KVQA.

    The text rows of a query are not scored. In the authors' code of this stage the mapping
    transformer did not read the instruction; here it does, as in all later ones and when asked.
    """
    return RetrieverRecipe(
        "mapping",
        trains=("mapping",),
        rows="visual",
        steps=20_000,
        batch=32,
        negatives=1,
        learning_rate=1e-5,
        mapping_learning_rate=1e-4,
        recall_at=10,
        ours=(*_OURS, "steps", "batch"),
    )


def intermediate() -> RetrieverRecipe:
    """Return stage 2: E-VQA. That the vision tower is frozen is all that is known of it."""
    return RetrieverRecipe(
        "intermediate",
        trains=("questions", "passages", "mapping"),
        steps=10_000,
        batch=32,
        chunk=8,
        negatives=1,
        learning_rate=1e-5,
        mapping_learning_rate=1e-5,
        ours=(
            *_OURS,
            *("steps", "batch", "chunk", "negatives", "learning_rate", "mapping_learning_rate"),
            *("warmup", "decay"),
        ),
    )


def m2kr() -> RetrieverRecipe:
    """Return stage 3: all of M2KR, OK-VQA ten times, negatives from the same dataset's passages.

    InfoSeek's hub files have 676,441 rows, of which 100,000 were trained on.
    """
    repeats = MappingProxyType({"m2kr-okvqa": 10.0, "m2kr-infoseek": 100_000 / 676_441})
    return replace(intermediate(), name="m2kr", steps=50_000, repeats=repeats)


def finetune() -> RetrieverRecipe:
    """Return the authors' released fine-tuning of one dataset: 8 x 8 on each of two GPUs.

    It reached PR@5 74.2 on E-VQA after 12,000 steps. Their two GPUs did not share negatives: 16
    batches of 8 make one of its steps.
    """
    return RetrieverRecipe(
        "finetune",
        trains=("questions", "passages", "mapping"),
        steps=12_000,
        batch=8,
        accumulate=16,
        negatives=4,
        learning_rate=5e-6,
        mapping_learning_rate=5e-6,
        warmup=100,
        decay="linear",
        ours=_OURS,
    )


def own() -> RetrieverRecipe:
    """Return a fine-tuning for a CPU: passages keep their embeddings, so they are made once.

    An index of the checkpoint that it began with could be kept, were it not known by its id.
    """
    return RetrieverRecipe(
        "own",
        trains=("questions", "mapping"),
        steps=300,
        batch=16,
        negatives=4,
        learning_rate=2e-5,
        mapping_learning_rate=1e-4,
        warmup=20,
        decay="linear",
        weight_decay=0.01,
        evaluate_every=50,
        recall_at=1,
        patience=4,
        ours=tuple(f.name for f in fields(RetrieverRecipe) if f.name not in _NOT_SET),
    )


RECIPES: dict[str, Callable[[], RetrieverRecipe]] = {
    "text-encoder": text_encoder,
    "mapping": mapping,
    "intermediate": intermediate,
    "m2kr": m2kr,
    "finetune": finetune,
    "own": own,
}

_POSITIVE = ("steps", "batch", "accumulate", "evaluate_every", "recall_at")


def override(recipe: RetrieverRecipe, assignments: Sequence[str]) -> RetrieverRecipe:
    """Return the recipe with some settings changed; what is changed is no longer anybody's.

    Args:
        recipe: to begin with.
        assignments: "name=value"; several parts are separated by commas, as are repeats, which
            are "dataset:times".

    Raises:
        ValueError: a setting that there is not, or a value that it cannot have.
    """
    names = [f.name for f in fields(RetrieverRecipe) if f.name not in _NOT_SET]
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in names:
            raise ValueError(f"{assignment!r}: give NAME=VALUE; names are {', '.join(names)}")
        try:
            changed: dict[str, Any] = {name: _parsed(text, getattr(recipe, name))}
            recipe = replace(recipe, **changed)
        except ValueError as exc:
            raise ValueError(f"{name}={text}: {exc}") from exc
        recipe = replace(recipe, ours=tuple(n for n in recipe.ours if n != name))
    _check(recipe)
    return recipe


def settings(recipe: RetrieverRecipe) -> dict[str, Any]:
    """Return the recipe as plain data, for records."""
    return {
        f.name: dict(value) if isinstance(value := getattr(recipe, f.name), Mapping) else value
        for f in fields(recipe)
    }


def _parsed(text: str, like: object) -> Any:
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError("give true or false")
        return text == "true"
    if isinstance(like, int | float):
        return type(like)(text)
    if isinstance(like, Mapping):
        pairs = [part.rpartition(":") for part in text.split(",") if part]
        return MappingProxyType({name: float(times) for name, _, times in pairs})
    return tuple(filter(None, text.split(","))) if isinstance(like, tuple) else text


def _check(recipe: RetrieverRecipe) -> None:
    for f in fields(recipe):
        value = getattr(recipe, f.name)
        if not isinstance(value, int | float) or value > 0:
            continue
        if f.name in _POSITIVE or not value >= 0:
            bound = "more than 0" if f.name in _POSITIVE else "at least 0"
            raise ValueError(f"{f.name} must be {bound}, not {value}")
    if not recipe.trains:
        raise ValueError("trains names no part: nothing would be trained")
    for name, given, known in (
        ("trains", recipe.trains, get_args(Part)),
        ("rows", (recipe.rows,), get_args(Rows)),
        ("decay", (recipe.decay,), ("linear", "constant")),
    ):
        if unknown := [value for value in given if value not in known]:
            raise ValueError(f"{name} is of {', '.join(known)}, not {unknown[0]!r}")
    if not all(times > 0 for times in recipe.repeats.values()):
        raise ValueError(f"repeats must be more than 0, not {dict(recipe.repeats)}")
