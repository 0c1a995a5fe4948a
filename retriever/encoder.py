"""Queries and passages to late-interaction embeddings, in batches.

Shapes: B queries, L text tokens, Q query rows, P passage rows, D embedding dim.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corpus.types import Passage, Query
from retriever.checkpoint import Checkpoint
from retriever.efficientnet import EfficientNetLite0
from retriever.text_vision import TextVision
from retriever.vision import EfficientNetVisionEncoder

# Passages are sorted by length within a window, so that a batch holds equals and little padding.
WINDOW = 1024
TOKENS_PER_BATCH = 4096

Embedding = NDArray[np.float32]  # [rows, D], unit rows


class EncodedQuery(NamedTuple):
    """A query's embedding [Q, D], and what text-based vision wrote behind its question."""

    rows_QD: Embedding
    seen: str


def best_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


class Encoder:
    """A checkpoint on a device.

    Args:
        checkpoint: what `load_checkpoint` returned.
        device: default `best_device()`.
        instruction: put before every question, with a separator, for checkpoints
            trained with instructions (PreFLMR); None for the checkpoint's habit.
    """

    # One of the instructions that PreFLMR was trained with on image-question queries.
    INSTRUCTION = "Using the provided image, obtain documents that address the subsequent question"

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device | None = None,
        instruction: str | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.device = device or best_device()
        self.model = checkpoint.model.to(self.device)
        separator = self.model.config.mask_instruction_token
        if instruction is None and separator is not None:
            instruction = self.INSTRUCTION
        self._separator = separator
        self.prefix = _prefix(instruction, separator) if instruction else ""

    @property
    def dim(self) -> int:
        """Return D."""
        return self.model.config.dim

    @torch.inference_mode()
    def encode_queries(self, queries: Sequence[Query]) -> list[EncodedQuery]:
        """Return the queries' embeddings, without the rows that are masked out.

        Queries with and without a picture may be mixed.
        """
        results: dict[int, EncodedQuery] = {}
        for has_image in (True, False):
            chosen = [i for i, q in enumerate(queries) if (q.image is not None) == has_image]
            if chosen:
                rows = self._encode_alike([queries[i] for i in chosen])
                results.update(zip(chosen, rows, strict=True))
        return [results[i] for i in range(len(queries))]

    def _encode_alike(self, queries: Sequence[Query]) -> list[EncodedQuery]:
        """Encode queries that all have a picture, or all have none."""
        pixels, seen = None, [""] * len(queries)
        images = [q.image for q in queries if q.image is not None]
        vision = None
        if images and self.model.config.use_vision_encoder:
            pixels = self.checkpoint.image_processor(images).to(self.device)
            tower = self.model.query_vision_encoder
            if isinstance(tower, EfficientNetVisionEncoder):
                maps = tower.vision_model(pixels)
                vision = tower.neck(tower.grid_features(maps))
                if self.checkpoint.text_vision is not None:
                    seen = describe(tower.vision_model, maps[-1], self.checkpoint.text_vision)
            else:
                vision = tower(pixels)
        texts = [self._text(q) + s for q, s in zip(queries, seen, strict=True)]
        tokens = {k: v.to(self.device) for k, v in self.checkpoint.query_tokenizer(texts).items()}
        text_BLH = self.model.query_text_encoder(tokens["input_ids"], tokens["attention_mask"])
        rows_BQD = self.model.embed_query(tokens["input_ids"], text_BLH, vision)
        return [
            EncodedQuery(_drop_zero_rows(row.float().cpu()), sentence.strip())
            for row, sentence in zip(rows_BQD, seen, strict=True)
        ]

    def _text(self, query: Query) -> str:
        """Return a query's text: its own instruction counts where the checkpoint masks one."""
        own = query.instruction and self._separator is not None
        prefix = _prefix(query.instruction, self._separator) if own else self.prefix
        return prefix + query.question

    def encode_passages(
        self, passages: Iterable[Passage]
    ) -> Iterator[tuple[list[Passage], list[Embedding]]]:
        """Yield passages with their embeddings [P, D], batch by batch.

        Within a window of reading order, short ones come first. Masked rows (padding,
        punctuation) are removed. A text longer than the tokenizer's limit is cut there.
        """
        source = iter(passages)
        while window := list(islice(source, WINDOW)):
            rows = self.checkpoint.passage_tokenizer.encode([p.text for p in window])
            order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
            for batch in batches_by_length(order, [len(row) for row in rows]):
                embeddings = self._encode_rows([rows[i] for i in batch])
                yield [window[i] for i in batch], embeddings

    @torch.inference_mode()
    def _encode_rows(self, rows: Sequence[list[int]]) -> list[Embedding]:
        tokens = self.checkpoint.passage_tokenizer.pad(rows)
        ids, attention = tokens["input_ids"], tokens["attention_mask"]
        rows_BPD, mask_BP = self.model.encode_passage(
            ids.to(self.device), attention.to(self.device)
        )
        pairs = zip(rows_BPD.float().cpu(), mask_BP.cpu(), strict=True)
        return [row[mask].numpy() for row, mask in pairs]


def describe(tower: EfficientNetLite0, head: Tensor, settings: TextVision) -> list[str]:
    """Return one sentence a picture, from the tower's last feature map [B, C, H, W]."""
    best = tower.classify(head).softmax(-1).topk(settings.max_names)
    return [
        settings.describe(probabilities, ids)
        for probabilities, ids in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _prefix(instruction: str, separator: str | None) -> str:
    """Return an instruction with the separator that ends it, as the released evaluator does."""
    return f"{instruction.strip().rstrip(':')}{separator or ':'} "


def _drop_zero_rows(rows_QD: Tensor) -> Embedding:
    kept: Embedding = rows_QD[rows_QD.abs().sum(-1) > 0].numpy()
    return kept


def batches_by_length(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Split indices, sorted by length, into batches of at most TOKENS_PER_BATCH with padding."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[i] > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
