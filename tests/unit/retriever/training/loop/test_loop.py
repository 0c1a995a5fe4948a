"""The loop on a regression of three weights: what it keeps, when it stops, what it says."""

import csv
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from retriever.errors import TrainingMismatch, TrainingStopped
from retriever.training.loop import log
from retriever.training.loop import loop as module
from retriever.training.loop.loop import Group, Look, Loop, Schedule
from retriever.training.loop.state import Row

ROOT = Path(__file__).parents[5]
TRUE = torch.tensor([[1.0, -2.0, 3.0]])


class Interrupted(Exception):
    pass


def a_training(
    out: Path, schedule: Schedule, record: Mapping[str, Any] | None = None
) -> tuple[Loop, nn.Linear, Callable[[int], dict[str, float]]]:
    torch.manual_seed(0)
    layer = nn.Linear(3, 1, bias=False)

    def gradients(step: int) -> dict[str, float]:
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(8, 3, generator=draw)
        loss = ((layer(x) - x @ TRUE.T) ** 2).mean()
        loss.backward()
        return {"loss": float(loss.detach())}

    groups = [Group(dict(layer.named_parameters()), 0.1)]
    return Loop(groups, schedule, out, record or {"recipe": 1}, Accelerator()), layer, gradients


SCHEDULE = Schedule(steps=20, warmup=3, log_every=5, look_every=5)


def test_it_learns_and_writes_log_and_curve(tmp_path: Path) -> None:
    loop, layer, gradients = a_training(tmp_path, Schedule(steps=200, decay="linear"))
    rows = loop.run(gradients)
    assert rows[-1]["loss"] < 1e-3 * rows[0]["loss"] or rows[-1]["loss"] < 1e-3
    torch.testing.assert_close(layer.weight.detach(), TRUE, atol=0.05, rtol=0)
    with (tmp_path / "log.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in read] == [row["loss"] for row in rows]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["finished"] and record["log"] == rows


def test_rates_rise_and_fall() -> None:
    linear = Schedule(steps=10, warmup=2)
    assert [round(linear.factor(step), 3) for step in (0, 1, 5, 9)] == [0.5, 0.9, 0.5, 0.1]
    assert Schedule(steps=10, decay="constant").factor(9) == 1.0


def test_an_interrupted_training_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path, stop_at: int = -1) -> tuple[list[Row], torch.Tensor, int]:
        loop, layer, gradients = a_training(out, SCHEDULE)
        looks = 0

        def figures(step: int) -> Row:
            nonlocal looks
            looks += 1
            return {"recall@1": -float((layer.weight.detach() - TRUE).norm())}

        def advance(done: int, total: int) -> None:
            if done == stop_at:
                raise Interrupted

        rows = loop.run(gradients, Look(figures, lambda: None), advance)
        return rows, layer.weight.detach(), looks

    rows, weights, _ = run(tmp_path / "whole")
    monkeypatch.setattr(module, "CHECKPOINT_S", 0.0)
    for stop_at in (1, 5, 12):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", stop_at)
    again = run(tmp_path / "parts")
    assert again[0] == rows
    assert torch.equal(again[1], weights)
    # A finished one is returned as it was.
    assert run(tmp_path / "parts")[2] == 0


KILLED = """
import os, sys
from pathlib import Path
from retriever.training.loop import loop as module
from tests.unit.retriever.training.loop.test_loop import SCHEDULE, a_training

module.CHECKPOINT_S = 0.0
out, stop_at = Path(sys.argv[1]), int(sys.argv[2])
loop, layer, gradients = a_training(out, SCHEDULE)

def killing(step):
    if step == stop_at:
        os.kill(os.getpid(), 9)
    return gradients(step)

loop.run(killing)
"""


def in_a_process(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    loop, layer, gradients = a_training(tmp_path / "whole", SCHEDULE)
    rows = loop.run(gradients)
    assert in_a_process(KILLED, tmp_path / "parts", 7).returncode == -signal.SIGKILL
    loop, resumed, gradients = a_training(tmp_path / "parts", SCHEDULE)
    assert loop.state.step == 7
    assert loop.run(gradients) == rows
    assert torch.equal(resumed.weight, layer.weight)


def test_tensorboard_shows_the_log_once_however_often_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0.0)

    def stopping(done: int, total: int) -> None:
        if done == 12:
            raise Interrupted

    loop, _, gradients = a_training(tmp_path, SCHEDULE)
    with pytest.raises(Interrupted):
        loop.run(gradients, advance=stopping)
    loop, _, gradients = a_training(tmp_path, SCHEDULE)
    rows = loop.run(gradients, Look(lambda step: {"recall@5": step / 20}, lambda: None))

    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("loss", "norm", "learning_rate", "recall@5"):
        shown = {float(event.step): event.value for event in board.Scalars(name)}
        logged = {row["step"]: row[name] for row in rows if name in row}
        assert logged and shown == pytest.approx(logged)
        assert len(board.Scalars(name)) == len(logged)


def test_without_tensorboard_there_are_no_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    loop, _, gradients = a_training(tmp_path, SCHEDULE)
    assert loop.run(gradients)
    assert not (tmp_path / "tensorboard").exists()


def test_another_training_in_the_directory_is_refused(tmp_path: Path) -> None:
    loop, _, gradients = a_training(tmp_path, SCHEDULE, {"recipe": 1, "data": 2})
    loop.run(gradients)
    with pytest.raises(TrainingMismatch, match="its data differs"):
        a_training(tmp_path, SCHEDULE, {"recipe": 1, "data": 3})


@pytest.mark.parametrize("damage", ["cut", "empty", "of another form", "a list"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    loop, _, gradients = a_training(tmp_path, SCHEDULE)
    loop.run(gradients)
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    if damage in ("cut", "empty"):
        path.write_bytes(whole[: len(whole) // 2 if damage == "cut" else 0])
    else:
        torch.save([1] if damage == "a list" else {"state": {}, "weights": {}}, path)
    with pytest.raises(TrainingStopped, match=r"checkpoint\.pt is damaged .*: put back a copy"):
        a_training(tmp_path, SCHEDULE)
    path.write_bytes(whole)
    assert a_training(tmp_path, SCHEDULE)[0].state.finished


@pytest.mark.parametrize("text", ["", "[]", "\x00"])
def test_a_damaged_record_may_be_removed_as_it_says(tmp_path: Path, text: str) -> None:
    loop, _, gradients = a_training(tmp_path, SCHEDULE)
    rows = loop.run(gradients)
    path = tmp_path / "training.json"
    whole = path.read_text()
    path.write_text(text)
    with pytest.raises(TrainingStopped, match=r"training\.json is damaged .*: remove it"):
        a_training(tmp_path, SCHEDULE)
    path.unlink()
    # The checkpoint still knows what it is of.
    with pytest.raises(TrainingMismatch, match="its recipe differs"):
        a_training(tmp_path, SCHEDULE, {"recipe": 2})
    assert a_training(tmp_path, SCHEDULE)[0].run(gradients) == rows
    assert path.read_text() == whole


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best(tmp_path: Path) -> None:
    schedule = Schedule(steps=100, look_every=2, patience=2)
    loop, _, gradients = a_training(tmp_path, schedule)
    figures = iter([0.1, 0.3, 0.3, 0.2, 0.9])
    kept: list[int] = []
    look = Look(lambda step: {"recall@5": next(figures)}, lambda: kept.append(loop.state.step))
    rows = loop.run(gradients, look)
    assert [row["recall@5"] for row in rows if "recall@5" in row] == [0.1, 0.3, 0.3, 0.2]
    assert kept == [0, 2]
    assert loop.state.finished and loop.state.step == 6


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_stops_it_and_nothing_is_lost(tmp_path: Path, what: str) -> None:
    loop, layer, gradients = a_training(tmp_path, SCHEDULE)
    weights: list[torch.Tensor] = []

    def spoilt(step: int) -> dict[str, float]:
        if step != 7:
            return gradients(step)
        weights.append(layer.weight.detach().clone())
        losses = gradients(step)
        if what == "loss":
            return {"loss": float("nan")}
        assert layer.weight.grad is not None
        layer.weight.grad[0, 0] = float("inf")
        return losses

    with pytest.raises(TrainingStopped, match=r"step 8: the loss is .* smaller learning_rate"):
        loop.run(spoilt)
    resumed, layer, _ = a_training(tmp_path, SCHEDULE)
    assert resumed.state.step == 7
    assert torch.equal(layer.weight, weights[0])


def test_an_error_in_a_step_keeps_what_was_done(tmp_path: Path) -> None:
    loop, _, gradients = a_training(tmp_path, SCHEDULE)

    def broken(step: int) -> dict[str, float]:
        if step == 4:
            raise Interrupted
        return gradients(step)

    with pytest.raises(Interrupted):
        loop.run(broken)
    assert a_training(tmp_path, SCHEDULE)[0].state.step == 4


FULL = """
import resource, signal, sys
from pathlib import Path
from retriever.errors import TrainingStopped
from retriever.training.loop import loop as module
from tests.unit.retriever.training.loop.test_loop import SCHEDULE, a_training

module.CHECKPOINT_S = 0.0
loop, layer, gradients = a_training(Path(sys.argv[1]), SCHEDULE)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def filling(step):
    if step == 7:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    return gradients(step)

try:
    loop.run(filling)
except TrainingStopped as exc:
    print(exc)
    sys.exit(3)
"""


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    made = in_a_process(FULL, tmp_path)
    assert made.returncode == 3, made.stderr
    assert "checkpoint.pt cannot be written" in made.stdout and "make room" in made.stdout
    assert not list(tmp_path.glob("*.partial"))
    loop, _, gradients = a_training(tmp_path, SCHEDULE)
    assert loop.state.step == 7
    whole, _, own = a_training(tmp_path / "whole", SCHEDULE)
    assert loop.run(gradients) == whole.run(own)
