"""The loop: steps of an optimizer, a schedule, a log, checkpoints, and when to stop.

    loop = Loop(groups, Schedule(steps=100), Path("runs/one"), record, accelerator)
    loop.run(gradients, look)

Whoever trains gives the parameters and a function that leaves a step's gradients in them. What is
random in a step depends on a seed and the step's number alone: so an interrupted training, given
again, ends as an undisturbed one, bit for bit on one machine.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from corpus.progress import Advance
from retriever.errors import TrainingStopped
from retriever.training.loop.log import Board, draw_curve, write_log
from retriever.training.loop.state import Files, Row, State

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT_S = 300.0

Gradients = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters, by name, that share a rate."""

    parameters: Mapping[str, nn.Parameter]
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """How many steps, and how they are taken.

    Attributes:
        steps: at most.
        warmup: steps to the full rates.
        decay: "linear" to zero behind the last step, or "constant".
        weight_decay: AdamW's.
        clip: the greatest norm of all gradients together; 0 for no limit.
        log_every: steps to a row of the log.
        look_every: steps to a look at the validation questions.
        patience: looks without a better figure before it stops; 0 for none.
    """

    steps: int
    warmup: int = 0
    decay: Literal["linear", "constant"] = "linear"
    weight_decay: float = 0.0
    clip: float = 1.0
    log_every: int = 50
    look_every: int = 500
    patience: int = 0

    def factor(self, step: int) -> float:
        """Return the factor on the rates of a step, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * (1 - step / self.steps if self.decay == "linear" else 1.0)


@dataclass(frozen=True, slots=True)
class Look:
    """What is done before the first step, every so often, and behind the last step.

    Attributes:
        figures: gives validation's figures after so many steps; the first one decides.
        keep: called where that is better than ever.
    """

    figures: Callable[[int], Row]
    keep: Callable[[], None]


class Loop:
    """A training.

    Args:
        groups: what is trained.
        schedule: how.
        out: a directory for checkpoint, record, log and curve; made if missing.
        record: what is trained how, as plain data; another one in `out` is refused.
        shared: the processes that share the work; only the first one writes.

    Raises:
        TrainingMismatch: `out` holds another training.
        TrainingStopped: its files are damaged.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        schedule: Schedule,
        out: Path,
        record: Mapping[str, Any],
        shared: "Accelerator",
    ) -> None:
        self._groups = [group for group in groups if group.parameters]
        self._schedule, self._shared = schedule, shared
        self._weights = {n: p for group in self._groups for n, p in group.parameters.items()}
        self._optimizer = torch.optim.AdamW(
            [{"params": list(g.parameters.values()), "lr": g.learning_rate} for g in self._groups],
            weight_decay=schedule.weight_decay,
        )
        self._files, self._board = Files(out, record), Board(out)
        shared.wait_for_everyone()
        self.state = self._resumed()
        self._saved_step, self._saved_at = self.state.step, time.monotonic()

    def run(
        self,
        gradients: Gradients,
        look: Look | None = None,
        advance: Advance = lambda done, total: None,
    ) -> list[Row]:
        """Return the log; a finished training is returned as it was.

        Args:
            gradients: leaves a step's gradients in the parameters, and returns its losses by
                name; "loss" is the one that has to be a number.
            look: validation; None for none.
            advance: told how many steps are done, and of how many at most.

        Raises:
            TrainingStopped: a loss or gradient is no number, or the disk is full. As with every
                error of a step, what was done before it is kept.
        """
        state, schedule = self.state, self._schedule
        advance(state.step, schedule.steps)
        while not state.finished:
            started = time.monotonic()
            if look is not None and self._look_is_due():
                self._keeping(partial(self._look, look))
            stopped = schedule.patience and state.waited >= schedule.patience
            state.finished = state.step == schedule.steps or bool(stopped)
            if not state.finished:
                self._step(gradients)
            state.seconds += time.monotonic() - started
            if state.finished or time.monotonic() - self._saved_at > CHECKPOINT_S:
                self._save()
            advance(state.step, schedule.steps)
        return state.rows

    def _look_is_due(self) -> bool:
        step, schedule = self.state.step, self._schedule
        due = step % schedule.look_every == 0 or step == schedule.steps
        return due and self.state.looked < step

    def _step(self, gradients: Gradients) -> None:
        state, schedule = self.state, self._schedule
        self._optimizer.zero_grad()
        for group, given in zip(self._optimizer.param_groups, self._groups, strict=True):
            group["lr"] = given.learning_rate * schedule.factor(state.step)
        losses = self._keeping(lambda: gradients(state.step))
        norm = nn.utils.clip_grad_norm_(self._weights.values(), schedule.clip or math.inf)
        if not (math.isfinite(losses["loss"]) and norm.isfinite()):
            self._save()
            raise TrainingStopped(
                f"step {state.step + 1}: the loss is {losses['loss']}, its gradient's norm "
                f"{float(norm)}. Nothing of this step was taken over; {self._files.out} holds the "
                "training up to there. Try a smaller learning_rate, with another --out."
            )
        self._optimizer.step()
        state.step += 1
        state.since += 1
        for name, value in {**losses, "norm": float(norm)}.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        if state.step % schedule.log_every == 0 or state.step == schedule.steps:
            self._log()

    def _log(self) -> None:
        """Add a row: means since the row before."""
        state = self.state
        means = {name: total / state.since for name, total in state.sums.items()}
        rate = self._groups[0].learning_rate * self._schedule.factor(state.step - 1)
        state.rows.append({"step": state.step, **means, "learning_rate": rate})
        state.sums, state.since = {}, 0

    def _look(self, look: Look) -> None:
        """Add validation's figures to the log; whoever has a better one is kept."""
        state = self.state
        figures = look.figures(state.step)
        value = next(iter(figures.values()))
        better = value > state.best
        if better:
            look.keep()
            state.best = value
        state.rows.append({"step": state.step, **figures})
        state.looked, state.waited = state.step, 0 if better else state.waited + 1

    def _keeping(self, work: Callable[[], Any]) -> Any:
        """Return what the work gives; where it fails, what was done before is saved first."""
        try:
            return work()
        except BaseException:
            if self.state.step > self._saved_step:
                self._save()
            raise

    def _save(self) -> None:
        self._saved_step, self._saved_at = self.state.step, time.monotonic()
        if not self._shared.is_main_process:
            return
        self._files.save(self.state, self._weights, self._optimizer.state_dict())
        write_log(self._files, self.state.rows)
        draw_curve(self._files, self.state.rows)
        self._board.add(self.state.rows)

    def _resumed(self) -> State:
        """Return where an earlier call stopped, its weights put in place; else the beginning."""
        state = self._files.load(self._shared.device, self._take)
        if state is not None and self._shared.is_main_process:
            self._files.show(state)
        return state or State()

    @torch.no_grad()
    def _take(self, weights: Mapping[str, Tensor], optimizer: dict[str, Any]) -> None:
        for name, parameter in self._weights.items():
            parameter.copy_(weights[name])
        self._optimizer.load_state_dict(optimizer)
