"""What the configurations of the text and the vision tower have in common."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F


def quick_gelu(x: Tensor) -> Tensor:
    """Return x sigmoid(1.702 x), OpenAI's GELU."""
    return x * torch.sigmoid(1.702 * x)


# The tanh forms differ by a rounding.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class TowerConfig:
    """Reads and checks a config.json; a subclass is a dataclass of the fields that it computes by.

    No dataclass itself, so that a subclass's fields keep the order in which they are saved.
    """

    __slots__ = ()

    hidden_size: int
    num_attention_heads: int
    hidden_act: str

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads, "
                f"{self.num_attention_heads}"
            )
        if self.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"hidden_act {self.hidden_act!r} is not known; known are {known}")

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration in a config.json, whatever else stands in that."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})  # type: ignore[arg-type]
