"""Fine-tuning a generator as RA-VQA does: LoRA, static retrieval, the answer from each passage.

    model, processor, _ = load_trainable("runs/reader")
    history = train(add_adapters(model, recipe), processor, examples, recipe, Path("runs/adapters"))

Under `accelerate launch` the questions of a step are shared out and the adapters' gradients
added up. What is random depends on the seed, the step and the question alone, so that neither
the number of processes nor an interruption changes the result, but for rounding.
"""

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpus.progress import Advance
from generator.errors import TrainingMismatch
from generator.training.losses import (
    contains_answer,
    forced_target,
    marginal_loss,
    nll_loss,
    retrieval_loss,
)
from generator.training.reading import target_logits
from generator.training.recipe import LoraRecipe, ReadExample
from generator.training.stopping import norm_of, require_numbers, require_sound, undamaged

RECORD_NAME = "training.json"
CHECKPOINT_NAME = "checkpoint.pt"
CHECKPOINT_S = 60.0

Epoch = dict[str, float]


@dataclass
class _State:
    """How far a training is. All of it is in the checkpoint, beside weights and optimizer."""

    step: int = 0
    history: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: float = float("inf")
    waited: int = 0
    finished: bool = False


def train(
    model: Any,
    processor: Any,
    examples: Sequence[ReadExample],
    recipe: LoraRecipe,
    out: Path,
    validation: Sequence[ReadExample] = (),
    *,
    origin: dict[str, Any] | None = None,
    advance: Advance = lambda done, total: None,
) -> list[Epoch]:
    """Return the losses of each epoch; with validation, epoch 0 is before the first step.

    Writes to `out` the best adapters, training.json, and a checkpoint from which the same call
    goes on after an interruption. A finished training is returned as it was.

    Args:
        model: with adapters.
        processor: its tokenizer, or its processor where examples have pictures.
        examples: to train on.
        recipe: the settings.
        out: a directory; made if missing.
        validation: to stop early by; without it every epoch counts as better.
        origin: which model is trained on what, for the record; another in `out` is refused.
        advance: told how many steps are done, and how many there are at most.

    Raises:
        TrainingMismatch: `out` holds another training.
        TrainingStopped: a loss is no number, or a file is damaged; what was done is kept.
        ValueError: no examples, or one without an answer.
    """
    if not examples:
        raise ValueError("no examples to train on")
    out.mkdir(parents=True, exist_ok=True)
    training = _Training(model, processor, recipe, out, origin or {})
    state = training.state
    an_epoch = -(-len(examples) // recipe.accumulate)
    most = min(recipe.epochs * an_epoch, recipe.steps or recipe.epochs * an_epoch)
    if validation and not state.history:
        before = training.evaluate(validation)
        state.history.append({"epoch": 0, "step": 0, "validation": before})
    advance(state.step, most)
    while not state.finished:
        epoch, position = divmod(state.step, an_epoch)
        order = random.Random(f"{recipe.seed}/{epoch}").sample(list(examples), len(examples))
        training.step(order[position * recipe.accumulate :][: recipe.accumulate])
        advance(state.step, most)
        if state.step % an_epoch == 0 or state.step == most:
            training.end_epoch(epoch + 1, validation)
            state.finished = state.step == most or state.waited >= recipe.patience
            training.save()
        elif time.monotonic() - training.saved_at > CHECKPOINT_S:
            training.save()
    return state.history


class _Training:
    """A model in training: its optimizer, its files, and the processes that share the work."""

    def __init__(
        self, model: Any, processor: Any, recipe: LoraRecipe, out: Path, origin: dict[str, Any]
    ) -> None:
        from accelerate import Accelerator

        self._shared = Accelerator()
        self._model = model.to(self._shared.device)
        self._processor, self._recipe, self._out = processor, recipe, out
        self._trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(self._trained.values(), lr=recipe.learning_rate)
        self._record = {"recipe": asdict(recipe), **origin}
        self.saved_at = time.monotonic()
        self.state = self._resumed()

    def step(self, examples: Sequence[ReadExample]) -> None:
        """Take one step on some examples, each process reading its share."""
        self._model.train()
        self._optimizer.zero_grad()
        loss = torch.zeros((), device=self._shared.device)
        for i in range(self._shared.process_index, len(examples), self._shared.num_processes):
            draw = random.Random(f"{self._recipe.seed}/{self.state.step}/{i}")
            torch.manual_seed(draw.getrandbits(63))
            example = examples[i].drawn(self._recipe, draw)
            part = example_loss(self._model, self._processor, example, self._recipe)
            (part / len(examples)).backward()  # type: ignore[no-untyped-call]
            loss += part.detach() / len(examples)
        loss = self._add_up(loss)
        norm = norm_of(p.grad for p in self._trained.values() if p.grad is not None)
        require_numbers(self.state.step + 1, float(loss), norm, self._out, self.save)
        self._optimizer.step()
        self.state.losses.append(float(loss))
        self.state.step += 1

    def _add_up(self, loss: Tensor) -> Tensor:
        """Return the loss, and leave the gradients, summed over the processes."""
        if self._shared.num_processes == 1:
            return loss
        parameters = list(self._trained.values())
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([loss[None], *(gradient.flatten() for gradient in own)])
        total, *summed = self._shared.reduce(flat).split([1, *(p.numel() for p in parameters)])
        for parameter, gradient in zip(parameters, summed, strict=True):
            parameter.grad = gradient.view_as(parameter)
        summed_loss: Tensor = total[0]
        return summed_loss

    @torch.no_grad()
    def evaluate(self, examples: Sequence[ReadExample]) -> float:
        """Return the mean loss over examples, dropout off, with all their passages."""
        self._model.eval()
        total = torch.zeros((), device=self._shared.device)
        for example in examples[self._shared.process_index :: self._shared.num_processes]:
            read = example.top(self._recipe.passages)
            total += example_loss(self._model, self._processor, read, self._recipe)
        return float(self._shared.reduce(total)) / len(examples)

    def end_epoch(self, epoch: int, validation: Sequence[ReadExample]) -> None:
        """Note the epoch's losses; the adapters are kept where they are the best so far."""
        state = self.state
        losses, state.losses = state.losses, []
        row: Epoch = {"epoch": epoch, "step": state.step, "train": sum(losses) / len(losses)}
        if validation:
            row["validation"] = self.evaluate(validation)
        trained = self._trained.values()
        require_sound(state.step, trained, row.get("validation", 0.0), self._out)
        state.history.append(row)
        better = row.get("validation", float("-inf")) < state.best or not validation
        state.waited = 0 if better else state.waited + 1
        if better:
            state.best = row.get("validation", float("-inf"))
            if self._shared.is_main_process:
                self._model.save_pretrained(self._out)

    def save(self) -> None:
        """Write the record and the checkpoint, whole or not at all."""
        self.saved_at = time.monotonic()
        if not self._shared.is_main_process:
            return
        weights = {name: parameter.detach().cpu() for name, parameter in self._trained.items()}
        checkpoint = {
            "state": asdict(self.state),
            "weights": weights,
            "optimizer": self._optimizer.state_dict(),
        }
        partial = self._out / f"{CHECKPOINT_NAME}.partial"
        torch.save(checkpoint, partial)
        partial.replace(self._out / CHECKPOINT_NAME)
        self._write_record()

    def _write_record(self) -> None:
        record = {**self._record, "history": self.state.history, "finished": self.state.finished}
        partial = self._out / f"{RECORD_NAME}.partial.{os.getpid()}"
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._out / RECORD_NAME)

    def _resumed(self) -> _State:
        """Return where an earlier call stopped, its weights put in place; else the beginning."""
        path = self._out / RECORD_NAME
        if path.exists():
            with undamaged(path):
                found = dict(json.loads(path.read_text(encoding="utf-8")))
            wanted = json.loads(json.dumps(self._record))
            changed = [name for name in wanted if found.get(name) != wanted[name]]
            if changed:
                raise TrainingMismatch(
                    f"{self._out} holds another training: its {' and '.join(changed)} differs "
                    f"(see {RECORD_NAME} there). Give another directory with --out, or remove it."
                )
        self._shared.wait_for_everyone()
        if self._shared.is_main_process and not path.exists():
            self.state = _State()
            self._write_record()
        checkpoint = self._out / CHECKPOINT_NAME
        if not checkpoint.exists():
            return _State()
        with undamaged(checkpoint), torch.no_grad():
            saved = torch.load(checkpoint, map_location=self._shared.device, weights_only=True)
            for name, parameter in self._trained.items():
                parameter.copy_(saved["weights"][name])
            self._optimizer.load_state_dict(saved["optimizer"])
            return _State(**saved["state"])


def example_loss(model: Any, processor: Any, example: ReadExample, recipe: LoraRecipe) -> Tensor:
    """Return the weighted sum of the losses of one question."""
    targets = [forced_target(example.answers, passage) for passage in example.passages]
    device = next(model.parameters()).device
    half = recipe.bfloat16 and device.type == "cuda"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        logits_NLV, target_NL = target_logits(model, processor, example, targets, recipe)
    logits_NLV = logits_NLV.float()
    loss = recipe.nll * nll_loss(logits_NLV, target_NL)
    scores_BK = torch.tensor([example.scores], device=device)
    if recipe.marginal:
        loss = loss + recipe.marginal * marginal_loss(logits_NLV, target_NL, scores_BK)
    if recipe.retrieval:
        searched = example.searched or example.answers
        labels = [contains_answer(searched, passage) for passage in example.passages]
        contains_BK = torch.tensor([labels], device=device)
        loss = loss + recipe.retrieval * retrieval_loss(
            logits_NLV, target_NL, scores_BK, contains_BK, recipe.retrieval_labels
        )
    return loss
