"""What a training stops at: numbers that are none, and files that are damaged."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from generator.errors import TrainingStopped

_REMEDY = "Try a smaller learning rate, with another --out."
# What reading raises of a file that is cut, of other bytes, or of another form.
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, UnpicklingError),
    *(AttributeError, LookupError, TypeError, ValueError),
)


def norm_of(gradients: Iterable[Tensor]) -> float:
    """Return the norm of all gradients together; no number where one of them has none."""
    norms = [gradient.float().norm() for gradient in gradients]
    return float(torch.stack(norms).norm()) if norms else 0.0


def require_numbers(
    step: int, loss: float, norm: float, out: Path, save: Callable[[], object]
) -> None:
    """Save, and raise TrainingStopped, where a loss or its gradient's norm is no finite number."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        save()
        raise TrainingStopped(
            f"step {step}: the loss is {loss}, its gradient's norm {norm}. Nothing of this step "
            f"was taken over; {out} holds the training up to there. {_REMEDY}"
        )


def require_sound(step: int, weights: Iterable[Tensor], validation: float, out: Path) -> None:
    """Raise TrainingStopped where what was trained is not worth to be written.

    Args:
        step: the last one that was taken.
        weights: what would be written.
        validation: its loss; 0 without validation.
        out: where the training is.
    """
    if not math.isfinite(validation):
        wrong = f"the validation loss is {validation}"
    elif not finite(weights):
        wrong = "there are weights beyond what float16 holds, or that are no numbers"
    else:
        return
    raise TrainingStopped(f"step {step}: {wrong}. Its weights were not written to {out}. {_REMEDY}")


def finite(weights: Iterable[Tensor]) -> bool:
    """Return whether all weights are numbers that float16 holds, in which readers are kept."""
    return all(bool(tensor.half().isfinite().all()) for tensor in weights)


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn into TrainingStopped what a damaged file of a training raises where it is read."""
    try:
        yield
    except _DAMAGED as exc:
        why = f"{type(exc).__name__}: {exc}".splitlines()[0].rstrip(": ")
        raise TrainingStopped(
            f"{path} is damaged ({why}): put back a copy of it, or begin anew: remove "
            f"{path.parent}, or give another --out"
        ) from exc
