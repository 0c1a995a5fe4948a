"""Passages to embeddings: in windows, in batches of one length, a batch to each core.

Shapes: B passages, L text tokens, P passage rows, D embedding dim.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from corpus.types import Passage
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.ahead import WINDOW, ahead, map_ahead, windows
from retriever.encoding.compiling import CompiledFunction
from retriever.encoding.device import all_on_device
from retriever.numbers import Precision

_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# Tokens in a batch of passages, padding included, by device: what fills it (benchmarks/encode.py).
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65_536}

Embedding = NDArray[np.float32]  # [rows, D], unit rows
OnCut = Callable[[Passage, int], None]

logger = logging.getLogger(__name__)
_setting_threads = threading.Lock()


class PassageEncoder:
    """A checkpoint whose model is on a device already, for passages.

    Args:
        checkpoint: as of `encoder.Encoder`.
        device: where the model is.
        precision: of the products of matrices.
        compile_model: as of `encoder.Encoder`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        precision: Precision,
        compile_model: bool,
    ) -> None:
        self._tokenizer, self._device = checkpoint.passage_tokenizer, device
        self._halved = device.type == "cpu" and precision == "bfloat16"
        plain = checkpoint.model.encode_passage
        self._encode = CompiledFunction(plain) if compile_model else plain

    def encode(self, passages: Sequence[Passage]) -> list[Embedding]:
        """Return the passages' embeddings [P, D], in their order."""

        def cut(numbered: Passage, tokens: int) -> None:
            _warn(passages[int(numbered.id)], tokens)

        # Ids need not be unique here, or there at all.
        numbered = [replace(passage, id=str(i)) for i, passage in enumerate(passages)]
        found: dict[str, Embedding] = {}
        for batch, embeddings in self.encode_corpus(numbered, cut):
            found.update(zip((passage.id for passage in batch), embeddings, strict=True))
        return [found[passage.id] for passage in numbered]

    def encode_corpus(
        self, passages: Iterable[Passage], on_cut: OnCut | None = None
    ) -> Iterator[tuple[list[Passage], list[Embedding]]]:
        """Yield batches of passages with their embeddings, as `Encoder.encode_corpus` says."""
        workers = torch.get_num_threads() if self._device.type == "cpu" else 1
        with ThreadPoolExecutor(workers, "passages", _one_thread, (self._device,)) as pool:
            for window, batches in ahead(self._tokenized(iter(passages), on_cut or _warn)):
                tokens = (tokens for _, tokens in batches)
                encoded = map_ahead(pool, self.encode_batch, tokens, depth=workers + 1)
                for (positions, _), embeddings in zip(batches, encoded, strict=True):
                    yield [window[i] for i in positions], embeddings

    def _tokenized(
        self, source: Iterator[Passage], on_cut: OnCut
    ) -> Iterator[tuple[list[Passage], list[tuple[list[int], dict[str, Tensor]]]]]:
        """Yield windows of passages with the batches they are encoded in."""
        budget = TOKENS_PER_BATCH.get(self._device.type, TOKENS_PER_BATCH["cpu"])
        # Sorted by length within a window, a batch holds equals and little padding.
        for window in windows(source, WINDOW):
            rows = self._tokenizer.tokenize([p.text for p in window])
            for passage, row in zip(window, rows, strict=True):
                if len(row) > self._tokenizer.max_length:
                    on_cut(passage, len(row))
            rows = [self._tokenizer.cut(row) for row in rows]
            lengths = [len(row) for row in rows]
            order = sorted(range(len(rows)), key=lengths.__getitem__)
            yield (
                window,
                [
                    (positions, self._tokenizer.pad([rows[i] for i in positions]))
                    for positions in batches_by_length(order, lengths, budget)
                ],
            )

    @torch.inference_mode()
    def encode_batch(self, tokens: dict[str, Tensor]) -> list[Embedding]:
        """Return the embeddings of a batch of tokens [B, L], without masked rows."""
        halved = torch.autocast("cpu", torch.bfloat16, enabled=self._halved)
        # cuDNN's attention makes a plan for each new shape, and these batches are of many: an H100
        # read 2.5 times as many passages without it.
        attention = sdpa_kernel(_ATTENTION) if self._device.type == "cuda" else nullcontext()
        with halved, attention:
            rows_BPD, mask_BP = self._encode(**all_on_device(tokens, self._device))
        pairs = zip(rows_BPD.cpu(), mask_BP.cpu(), strict=True)
        return [row[mask].numpy() for row, mask in pairs]


def _one_thread(device: torch.device) -> None:
    """Let this worker of the pool compute alone, and every other thread as it did.

    `torch.set_num_threads` is for the calling thread, and for all that first use torch later: a
    page that was started after a build would answer on one core. So it is set back, by a thread
    that ends at once, as this one has its own number by then.
    """
    if device.type == "cpu":
        with _setting_threads:
            before = torch.get_num_threads()
            torch.set_num_threads(1)
            restoring = threading.Thread(target=torch.set_num_threads, args=(before,))
            restoring.start()
            restoring.join()


def _warn(passage: Passage, tokens: int) -> None:
    logger.warning("passage %r has %d tokens: the last ones are not read", passage.id, tokens)


def batches_by_length(
    order: Sequence[int], lengths: Sequence[int], tokens: int
) -> Iterator[list[int]]:
    """Split indices, sorted by length, into batches of at most `tokens` with padding."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[i] > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
