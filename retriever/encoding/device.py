"""Where a model computes, and how tensors get there."""

import os

import torch
from torch import Tensor


def best_device() -> torch.device:
    """Return the GPU where there is one (this process's own under `accelerate launch`), or CPU."""
    if torch.cuda.is_available():
        own = int(os.environ.get("LOCAL_RANK", "0"))
        return torch.device("cuda", own % torch.cuda.device_count())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def device_of(given: torch.device | str | None) -> torch.device:
    """Return the device that is asked for; None for `best_device()`.

    Raises:
        ValueError: torch knows none of this name, or it is not here.
    """
    if given is None:
        return best_device()
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError) as exc:
        raise ValueError(f"device: torch knows no {given!r:.80}; here {_devices()}") from exc
    try:
        torch.zeros(1).to(device).cpu()
    except (RuntimeError, AssertionError) as exc:
        raise ValueError(f"device: {str(given)!r:.80} is not here; here {_devices()}") from exc
    return device


def _devices() -> str:
    """Return which devices there are, as a sentence ends."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return f"there is {', '.join(['cpu', *gpus, *['mps'] * torch.backends.mps.is_available()])}"


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; from pinned memory the copy does not stop the host."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def all_on_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the named tensors on the device."""
    return {name: on_device(tensor, device) for name, tensor in tensors.items()}
