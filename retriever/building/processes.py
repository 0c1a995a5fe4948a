"""The processes of `accelerate launch` (or torchrun), when several of them index one corpus.

They talk through torch.distributed with gloo: what is passed is text and arrays in main memory.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from corpus.types import Passage

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

# The first process reads the whole corpus before the others have anything to do. One that dies is
# noticed at once, as its connections close.
_PATIENCE = timedelta(days=30)


class TorchProcesses:
    """This process among all."""

    def __init__(self) -> None:
        self.number, self.size = dist.get_rank(), dist.get_world_size()

    def told(self, value: _T) -> _T:
        """Return, in all processes, the value of the first."""
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def scatter(self, parts: Sequence[list[Passage] | None] | None) -> list[Passage] | None:
        """Return this process's part of what the first one gives; None at the end."""
        received: list[list[Passage] | None] = [None]
        dist.scatter_object_list(received, list(parts) if parts is not None else None, src=0)
        return received[0]

    def gather(self, given: _T) -> list[_T] | None:
        """Return, in the first process, what each gives."""
        received = [given] * self.size if self.number == 0 else None
        dist.gather_object(given, received, dst=0)
        return received

    def collect(self, items: list[Any]) -> list[Any]:
        """Return, in the first process, what all of them give, end to end; nothing in others."""
        received: list[list[Any]] | None = [[]] * self.size if self.number == 0 else None
        dist.gather_object(items, received, dst=0)
        return [item for part in received or [] for item in part]


@contextmanager
def joined() -> Iterator[TorchProcesses | None]:
    """Yield the processes that were launched together; None if this one is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # Accelerate sets the port where several processes were asked for.
        if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ:
            logger.warning(
                "`accelerate launch --cpu` has started one process only: leave out --cpu and give "
                "--multi_gpu, or use torchrun --nproc-per-node, which start several on a CPU too"
            )
        yield None
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield TorchProcesses()
    finally:
        dist.destroy_process_group()
