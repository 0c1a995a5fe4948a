"""The extractive reader as everything here uses it: where there is no GPU, on oneDNN's layers."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from generator.extractive.model import SHIPPED
from generator.extractive.reader import ExtractiveReader
from retriever.encoding.arguments import require_place
from retriever.encoding.device import device_of
from retriever.encoding.onednn import use_onednn


class Reader(ExtractiveReader):
    """Answers with words of a passage, and says how sure it is. Threads may share one."""

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str = SHIPPED,
        device: str | None = None,
        prepare: Callable[[nn.Module], None] = use_onednn,
    ) -> ExtractiveReader:
        """Return the reader that comes along, or another that `kbvqa train reader` wrote.

        Args:
            path: reader.safetensors.
            device: where it computes; None for the GPU where there is one, or the CPU.
            prepare: changes the model on a CPU in place, for example to compute faster.

        Raises:
            GeneratorUnavailable: the file, or MiniLM's package, is missing or damaged.
            ValueError: there is no such device.
            TypeError: it is no path and no text.
        """
        require_place(path, "path")
        return super().from_pretrained(path, str(device_of(device)), prepare)
