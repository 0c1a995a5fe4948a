"""A training's files: a checkpoint to go on from, and the record of what it is.

Both appear whole or not at all. What was there before stays until the new one is complete.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from retriever.errors import TrainingMismatch, TrainingStopped

RECORD_NAME = "training.json"
CHECKPOINT_NAME = "checkpoint.pt"

# What reading raises of a file that is cut, of other bytes, or of another form.
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, UnpicklingError),
    *(AttributeError, LookupError, TypeError, ValueError),
)

Row = dict[str, float]


@dataclass
class State:
    """How far a training is: all of it but weights and optimizer.

    Attributes:
        step: steps that were taken.
        rows: the log: means of the losses since the row before, and what validation gave.
        sums: of each loss since the last row.
        since: how many steps those are of.
        looked: the step of the last look at validation; -1 for none.
        best: the best figure of validation.
        waited: how many looks did not give a better one.
        finished: whether it is over.
        seconds: of work.
    """

    step: int = 0
    rows: list[Row] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    since: int = 0
    looked: int = -1
    best: float = float("-inf")
    waited: int = 0
    finished: bool = False
    seconds: float = 0.0


def refuse_other(out: Path, record: Mapping[str, Any]) -> None:
    """Raise TrainingMismatch where a directory holds a training that differs in what is given.

    Args:
        out: a directory, which need not exist.
        record: what is trained how, or as much of it as is known, as plain data.

    Raises:
        TrainingMismatch: it does.
        TrainingStopped: its record is damaged.
    """
    path = out / RECORD_NAME
    if not path.exists():
        return
    with undamaged(path, f"remove it, and go on: {CHECKPOINT_NAME} says the same"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    _refuse(path, found, _plain(record))


@contextmanager
def undamaged(path: Path, remedy: str) -> Iterator[None]:
    """Turn into TrainingStopped what a damaged file of a training raises where it is read.

    Args:
        path: of the file.
        remedy: what to do about it.
    """
    try:
        yield
    except _DAMAGED as exc:
        why = f"{type(exc).__name__}: {exc}".splitlines()[0].rstrip(": ")
        raise TrainingStopped(f"{path} is damaged ({why}): {remedy}") from exc


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain


def _refuse(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise TrainingMismatch where what a file says differs from what is wanted."""
    if changed := [name for name in wanted if found.get(name) != wanted[name]]:
        raise TrainingMismatch(
            f"{path.parent} holds another training: its {' and '.join(changed)} differs (see "
            f"{path.name} there). Give another directory with --out, or remove it."
        )


class Files:
    """The files of a training in a directory.

    Args:
        out: made if missing.
        record: what is trained how, as plain data.

    Raises:
        TrainingMismatch: `out` holds another training.
        TrainingStopped: its record is damaged.
    """

    def __init__(self, out: Path, record: Mapping[str, Any]) -> None:
        self.out, self._record = out, _plain(record)
        refuse_other(out, record)

    def load(
        self,
        device: torch.device,
        take: Callable[[Mapping[str, Tensor], dict[str, Any]], object],
    ) -> State | None:
        """Return the state of the last checkpoint, or None where there is none.

        Args:
            device: where its tensors are wanted.
            take: puts the weights and the optimizer's state in their place.

        Raises:
            TrainingMismatch: the checkpoint is of another training.
            TrainingStopped: it is damaged.
        """
        path = self.out / CHECKPOINT_NAME
        if not path.exists():
            return None
        remedy = f"put back a copy of it, or begin anew: remove {self.out}, or give another --out"
        with undamaged(path, remedy):
            saved = torch.load(path, map_location=device, weights_only=True)
            _refuse(path, saved["record"], self._record)
            take(saved["weights"], saved["optimizer"])
            return State(**saved["state"])

    def save(
        self, state: State, weights: Mapping[str, Tensor], optimizer: Mapping[str, Any]
    ) -> None:
        """Write checkpoint and record. Raises TrainingStopped."""
        checkpoint = {
            "record": self._record,
            "state": asdict(state),
            "weights": {name: tensor.detach().cpu() for name, tensor in weights.items()},
            "optimizer": optimizer,
        }

        def write(path: Path) -> None:
            with path.open("wb") as file:
                torch.save(checkpoint, file)

        self.write(CHECKPOINT_NAME, write)
        self.show(state)

    def show(self, state: State) -> None:
        """Write the record, with how far the training is. Raises TrainingStopped."""
        shown = {"steps": state.step, "seconds": round(state.seconds), "finished": state.finished}
        text = json.dumps({**self._record, **shown, "log": state.rows}, indent=1) + "\n"
        self.write(RECORD_NAME, lambda path: path.write_text(text, encoding="utf-8"))

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Make a file whole or not at all.

        Raises:
            TrainingStopped: it cannot be written; the file that was there is as it was.
        """
        partial = self.out / f"{name}.partial"
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            write(partial)
            partial.replace(self.out / name)
        except (OSError, RuntimeError) as exc:  # torch's writer turns the one into the other
            partial.unlink(missing_ok=True)
            raise TrainingStopped(
                f"{self.out / name} cannot be written ({exc}). What was there is whole: make room, "
                "and give the same command again to go on from it."
            ) from exc
