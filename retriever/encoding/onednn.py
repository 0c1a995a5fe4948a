"""Linear layers through oneDNN, where that is faster than the BLAS that torch calls.

torch hands float32 matrix products to MKL, which does not use the AVX-512 units of
processors that are not Intel's; oneDNN, which torch ships too, does. On such a CPU
BERT-base takes about half the time (benchmarks/encode.py); embeddings agree to 1e-5.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Not public, but what torch.compile itself emits for CPUs; without it nothing changes.
_AVAILABLE = bool(torch.backends.mkldnn.is_available()) and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)


class OneDNNLinear(nn.Linear):
    """A linear layer whose forward pass runs in oneDNN when no gradient is asked for."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input W^T + b."""
        plain = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        plain = plain or torch.compiler.is_compiling()  # it chooses by itself
        if plain or input.device.type != "cpu" or input.dtype != torch.float32:
            return F.linear(input, self.weight, self.bias)
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            input, self.weight, self.bias, "none", [], ""
        )
        return output


def use_onednn(model: nn.Module) -> None:
    """Let the model's linear layers run in oneDNN; parameters and their names stay."""
    for module in model.modules():
        if _AVAILABLE and type(module) is nn.Linear:
            module.__class__ = OneDNNLinear
