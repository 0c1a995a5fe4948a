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


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; from pinned memory the copy does not stop the host."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def all_on_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the named tensors on the device."""
    return {name: on_device(tensor, device) for name, tensor in tensors.items()}
