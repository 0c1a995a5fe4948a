"""Training the extractive reader: where the answer begins and ends, or that there is none.

    loss = cross-entropy(start) + cross-entropy(end) + kind_weight x cross-entropy(kind)

as BERT is fine-tuned on SQuAD 2.0 (Devlin et al. 2019, section 4.3), with the kinds of Natural
Questions beside it (Alberti et al. 2019). Where a question has no answer in a passage, begin
and end are token 0. A yes or no whose reason is not marked trains the kind alone.

What an epoch holds and the order of its batches depend on the seed and the epoch alone, so
that an interrupted training ends as an undisturbed one.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from corpus.progress import Advance
from corpus.reading import KINDS, ReadingExample
from generator.errors import TrainingMismatch
from generator.extractive.model import (
    WEIGHTS_NAME,
    SpanModel,
    base_model,
    base_tokenizer,
    load_trained,
    save_trained,
)
from generator.extractive.windows import Window, batch, windows
from generator.training.stopping import require_numbers, require_sound, undamaged

RECORD_NAME = "training.json"
CHECKPOINT_NAME = "checkpoint.pt"
CHECKPOINT_S = 60.0
UNKNOWN = -100  # what cross_entropy leaves out

Epochs = Callable[[int], Sequence[ReadingExample]]


@dataclass(frozen=True)
class SpanRecipe:
    """The settings of a training.

    Attributes:
        epochs: how many.
        batch: pairs a step.
        learning_rate: the peak, after `warmup` steps; then linearly to zero.
        warmup: steps.
        weight_decay: AdamW's.
        kind_weight: of the loss over kinds.
        smoothing: of the labels of start and end.
        seed: of everything that is drawn.
        bfloat16: compute in bfloat16, where the processor is fast in it.
    """

    epochs: int = 3
    batch: int = 24
    learning_rate: float = 1.5e-4
    warmup: int = 100
    weight_decay: float = 0.01
    kind_weight: float = 0.5
    smoothing: float = 0.0
    seed: int = 0
    bfloat16: bool = False


class Label(NamedTuple):
    """A window with the tokens where its answer begins and ends (0: none), and its kind."""

    window: Window
    start: int
    end: int
    kind: int


@dataclass
class _State:
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def train_spans(
    epochs: Epochs,
    recipe: SpanRecipe,
    out: Path,
    *,
    data: dict[str, Any],
    start: Path | None = None,
    validation: Sequence[ReadingExample] = (),
    advance: Advance = lambda done, total: None,
) -> list[dict[str, float]]:
    """Return the mean loss of each epoch; writes the reader, its record and a checkpoint to `out`.

    It computes on the GPU where there is one. The same call goes on where an interrupted one
    stopped.

    Args:
        epochs: gives the examples of an epoch by its number, always the same ones.
        recipe: the settings.
        out: a directory; made if missing.
        data: what is trained on, for the record; other data in `out` are refused.
        start: a reader that was trained before, to go on from; None begins at MiniLM.
        validation: their loss is measured after each epoch.
        advance: told how many steps are done, and of how many.

    Raises:
        TrainingMismatch: `out` holds another training, or a reader that this one did not write.
        TrainingStopped: a loss is no number, or the checkpoint is damaged; what was done is kept.
        GeneratorUnavailable: `start` cannot be gone on from.
        ValueError: an epoch has no example.
    """
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"recipe": asdict(recipe), "data": data}
    tokenizer = base_tokenizer()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if start is None:
        model = base_model(recipe.seed)
    else:
        model, record["start"] = load_trained(start)
    model, state = model.to(device), _State()
    for parameter in model.bert.embeddings.parameters():
        parameter.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    _resume(out, record, model, optimizer, state)
    metadata = {"recipe": json.dumps(asdict(recipe))}
    _require_own(out, metadata)
    if not (first := epochs(0)):
        raise ValueError("no examples to train on")
    steps_an_epoch = -(-len(first) // recipe.batch)
    total = recipe.epochs * steps_an_epoch
    saved_at, save = time.monotonic(), partial(_save, out, record, model, optimizer, state)
    write = partial(save_trained, model, out / WEIGHTS_NAME, metadata)
    if not (out / CHECKPOINT_NAME).exists():  # a reader without one is of something else
        save()
    while (epoch := len(state.history)) < recipe.epochs:
        # All of its steps, where it was interrupted while it was validated.
        done = state.step - epoch * steps_an_epoch
        for pairs in _batches(tokenizer, epochs(epoch), recipe, epoch, steps_an_epoch)[done:]:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _rate(state.step, total, recipe.warmup)
            loss, norm = _gradients(model, optimizer, trained, pairs, recipe, state.step)
            require_numbers(state.step + 1, loss, norm, out, save)
            optimizer.step()
            state.losses.append(loss)
            state.step += 1
            advance(state.step, total)
            if time.monotonic() - saved_at > CHECKPOINT_S:
                save()
                saved_at = time.monotonic()
        row = {"epoch": epoch + 1.0, "train": sum(state.losses) / len(state.losses)}
        state.losses = []
        if validation:
            row["validation"] = evaluate(model, tokenizer, validation, recipe)
        weights = model.state_dict().values()
        require_sound(state.step, weights, row.get("validation", 0.0), out)
        state.history.append(row)
        write()
        save()
    if not (out / WEIGHTS_NAME).exists():  # of a finished training, removed since
        write()
    return state.history


def label(tokenizer: Tokenizer, example: ReadingExample) -> Label | None:
    """Return the window in which an example is learnt; None where its passage has no tokens.

    Of a long passage that is the first one that has the whole answer, or the first one of all.
    """
    found = windows(tokenizer, example.question, [example.passage])
    kind = KINDS.index(example.kind)
    for window in found:
        inside = [
            i
            for i, (start, end) in enumerate(window.offsets)
            if start < example.end and end > example.start
        ]
        if not inside or window.offsets[inside[0]][0] > example.start:
            continue
        if window.offsets[inside[-1]][1] >= example.end:
            return Label(window, window.first + inside[0], window.first + inside[-1], kind)
    if not found:
        return None
    unmarked = UNKNOWN if example.kind != "none" else 0
    return Label(found[0], unmarked, unmarked, kind)


@torch.no_grad()
def evaluate(
    model: SpanModel,
    tokenizer: Tokenizer,
    examples: Sequence[ReadingExample],
    recipe: SpanRecipe,
) -> float:
    """Return the mean loss over examples, dropout off."""
    model.eval()
    labelled = [row for example in examples if (row := label(tokenizer, example))]
    labelled.sort(key=lambda row: len(row.window.ids))
    groups = [labelled[i : i + recipe.batch] for i in range(0, len(labelled), recipe.batch)]
    losses = [float(_loss(model, group, recipe)) * len(group) for group in groups]
    return sum(losses) / max(len(labelled), 1)


def _gradients(
    model: SpanModel,
    optimizer: torch.optim.Optimizer,
    trained: Sequence[Tensor],
    pairs: Sequence[Label],
    recipe: SpanRecipe,
    step: int,
) -> tuple[float, float]:
    """Leave a step's gradients in the model, clipped; return its loss and their norm."""
    model.train()
    torch.manual_seed(recipe.seed * 1_000_003 + step)  # of dropout
    optimizer.zero_grad()
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
        loss = _loss(model, pairs, recipe)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
    return float(loss.detach()), float(norm)


def _loss(model: SpanModel, pairs: Sequence[Label], recipe: SpanRecipe) -> Tensor:
    device = next(model.parameters()).device
    ids, mask, segments = (t.to(device) for t in batch([pair.window for pair in pairs]))
    logits = model(ids, mask, segments)
    # The answer is a passage token or token 0, nothing of the question and no padding.
    allowed = segments.bool()
    for row, pair in enumerate(pairs):
        allowed[row, len(pair.window.ids) - 1 :] = False
    allowed[:, 0] = True
    kinds = torch.tensor([pair.kind for pair in pairs], device=device)
    losses = [F.cross_entropy(logits.kind_BK.float(), kinds) * recipe.kind_weight]
    for scores, places in (
        (logits.start_BL, [pair.start for pair in pairs]),
        (logits.end_BL, [pair.end for pair in pairs]),
    ):
        if any(place != UNKNOWN for place in places):
            target = torch.tensor(places, device=device)
            masked = scores.float().masked_fill(~allowed, -1e4)
            losses.append(F.cross_entropy(masked, target, ignore_index=UNKNOWN))
    return torch.stack(losses).sum()


def _batches(
    tokenizer: Tokenizer,
    examples: Sequence[ReadingExample],
    recipe: SpanRecipe,
    epoch: int,
    steps: int,
) -> list[list[Label]]:
    """Return an epoch's batches: of like length, in a random order, always `steps` of them."""
    draw = random.Random(f"{recipe.seed}/{epoch}/order")
    rows = [row for example in examples if (row := label(tokenizer, example))]
    rows.sort(key=lambda row: (len(row.window.ids) // 8, draw.random()))
    found = [rows[i : i + recipe.batch] for i in range(0, len(rows), recipe.batch)]
    draw.shuffle(found)
    while len(found) < steps:  # an epoch may be a little shorter than the first
        found.append(draw.choice(found))
    return found[:steps]


def _rate(step: int, total: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) * max(0.0, 1 - step / total)


def _resume(
    out: Path,
    record: dict[str, Any],
    model: SpanModel,
    optimizer: torch.optim.Optimizer,
    state: _State,
) -> None:
    """Bring everything to where an earlier call stopped."""
    path = out / CHECKPOINT_NAME
    if not path.exists():
        return
    with undamaged(path):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if saved["record"] != json.dumps(record, sort_keys=True):
            raise TrainingMismatch(
                f"{out} holds a training with other settings or data: give another --out, or "
                "remove it"
            )
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state.step, state.history, state.losses = saved["step"], saved["history"], saved["losses"]


def _require_own(out: Path, metadata: dict[str, str]) -> None:
    """Raise TrainingMismatch where `out` holds a reader that this training did not write."""
    path = out / WEIGHTS_NAME
    if not path.exists():
        return
    try:
        with safe_open(path, "pt") as file:
            own = file.metadata() == metadata
    except (OSError, SafetensorError):
        own = False
    if not own or not (out / CHECKPOINT_NAME).exists():
        raise TrainingMismatch(
            f"{path} was not written by this training, and is left as it is: give another --out, "
            "or move that file elsewhere"
        )


def _save(
    out: Path,
    record: dict[str, Any],
    model: SpanModel,
    optimizer: torch.optim.Optimizer,
    state: _State,
) -> None:
    """Write the checkpoint and the record, whole or not at all."""
    written = out / f"{CHECKPOINT_NAME}.partial"
    torch.save(
        {
            "record": json.dumps(record, sort_keys=True),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            **asdict(state),
        },
        written,
    )
    written.replace(out / CHECKPOINT_NAME)
    text = json.dumps({**record, "steps": state.step, "history": state.history}, indent=1)
    written = out / f"{RECORD_NAME}.partial"
    written.write_text(text + "\n", encoding="utf-8")
    written.replace(out / RECORD_NAME)
