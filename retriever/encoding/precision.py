"""In which numbers passages are encoded on a CPU: bfloat16 where that was measured to be faster.

Processors with bfloat16 units (Intel's AMX, AVX-512 BF16) multiply it two to seven times as
fast as float32; all others ten times slower. What a processor says of itself does not tell
which, so a layer of the model's own size is timed, for some milliseconds. Queries stay in
float32: there is little to gain, and their scores are compared with calibrated thresholds.
"""

import statistics
import time

import torch
from torch import nn

from retriever.encoding.onednn import OneDNNLinear
from retriever.numbers import Precision

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
# Attention, norms and the linear layers' conversions gain nothing: less is not worth a rounding.
WORTH_IT = 1.5
_ROWS, _REPEATS = 512, 7


def fastest_on_cpu(width: int, wider: int) -> Precision:
    """Return the precision in which this machine is fastest by a clear margin.

    Args:
        width: the text encoder's hidden size.
        wider: its intermediate size.
    """
    times = linear_seconds(width, wider)
    return "bfloat16" if times["bfloat16"] * WORTH_IT < times["float32"] else "float32"


@torch.inference_mode()
def linear_seconds(width: int, wider: int) -> dict[Precision, float]:
    """Return the CPU seconds of one linear layer on 512 rows and one thread, by precision."""
    layers: dict[Precision, nn.Linear] = {
        "float32": OneDNNLinear(width, wider),
        "bfloat16": nn.Linear(width, wider).to(torch.bfloat16),
    }
    rows = {name: torch.ones(_ROWS, width, dtype=DTYPES[name]) for name in layers}
    times: dict[Precision, list[float]] = {name: [] for name in layers}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the encoder's workers have
    try:
        # They take turns, so that whatever else the machine does disturbs both alike.
        for _ in range(_REPEATS):
            for name, layer in layers.items():
                started = time.thread_time()
                layer(rows[name])
                times[name].append(time.thread_time() - started)
    finally:
        torch.set_num_threads(threads)
    # The first one pays for what is set up.
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}
