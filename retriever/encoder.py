"""Queries and passages to late-interaction embeddings, in batches.

Shapes: B queries, R pictures of a query, L text tokens, Q query rows, P passage rows,
D embedding dim.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL.Image import Image
from torch import Tensor

from corpus.types import Passage, Query
from retriever.ahead import WINDOW, ahead, map_ahead, windows
from retriever.arguments import list_of
from retriever.checkpoint import Checkpoint, load_checkpoint
from retriever.compiling import Compiled
from retriever.efficientnet import EfficientNetLite0
from retriever.errors import InvalidQuery
from retriever.images import crop_regions
from retriever.index_record import Precision
from retriever.microbatch import MicroBatcher
from retriever.mini import NAME as MINI
from retriever.mini import assemble
from retriever.onednn import use_onednn
from retriever.precision import DTYPES, fastest_on_cpu
from retriever.text_vision import TextVision
from retriever.tokenization import query_text
from retriever.vision import EfficientNetVisionEncoder, VisionFeatures

# Tokens in a batch of passages, padding included, by device: what fills it (benchmarks/encode.py).
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65_536}

Embedding = NDArray[np.float32]  # [rows, D], unit rows
PassagePrecision = Literal["float32", "bfloat16", "fastest"]
OnCut = Callable[[Passage, int], None]

logger = logging.getLogger(__name__)
_setting_threads = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class EncodedQuery:
    """A query's embedding; numpy takes it as its rows.

    Attributes:
        rows_QD: unit rows [Q, D], without those that are masked out.
        seen: what text-based vision wrote behind the question; "" for nothing.
        cut: tokens at the question's end that did not fit into the query; 0 when all did.
    """

    rows_QD: Embedding
    seen: str
    cut: int

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        return np.array(self.rows_QD, dtype=dtype, copy=copy)


def best_device() -> torch.device:
    """Return the GPU where there is one (this process's own under `accelerate launch`), or CPU."""
    if torch.cuda.is_available():
        own = int(os.environ.get("LOCAL_RANK", "0"))
        return torch.device("cuda", own % torch.cuda.device_count())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


class Encoder:
    """A checkpoint on a device. Threads may share one.

    Args:
        checkpoint: what `load_checkpoint` returned; its model moves to the device.
        device: default `best_device()`.
        dtype: of weights and activations; default float16 on CUDA, else float32. Rows are
            normalised in float32 whatever it is.
        instruction: put before every question, with a separator, for checkpoints
            trained with instructions (PreFLMR); None for the checkpoint's habit.
        regions: pictures of a query that has boxes, the whole one among them: others are
            left out, and the last is repeated where there are fewer (FLMR was measured
            with 10). None takes what each query has.
        compile_model: whether torch compiles the passage encoder first, where it can: minutes
            once, then faster on GPUs.
        passage_precision: of the products of matrices when passages are encoded on a CPU;
            "fastest" measures what this machine does best (`retriever.precision`). Elsewhere
            it is that of `dtype`.

    Raises:
        ValueError: the checkpoint masks instructions, and `instruction` is "".
    """

    # One of the instructions that PreFLMR was trained with on image-question queries.
    INSTRUCTION = "Using the provided image, obtain documents that address the subsequent question"

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device | None = None,
        instruction: str | None = None,
        *,
        dtype: torch.dtype | None = None,
        regions: int | None = None,
        compile_model: bool = False,
        passage_precision: PassagePrecision = "float32",
    ) -> None:
        self.checkpoint = checkpoint
        self.device = device or best_device()
        self.dtype = dtype or (torch.float16 if self.device.type == "cuda" else torch.float32)
        self.model = checkpoint.model.to(self.device, self.dtype)
        if self.device.type == "cpu":
            use_onednn(self.model)
        self.passage_precision = self._precision(passage_precision)
        self.regions = regions
        self._separator = self.model.config.mask_instruction_token
        if self._separator is not None and instruction is not None and not instruction.strip():
            raise ValueError(
                f"this checkpoint masks all up to {self._separator!r}: give an instruction, or "
                "None for the default one"
            )
        default = self.INSTRUCTION if self._separator is not None else ""
        self._instruction = default if instruction is None else instruction
        plain = self.model.encode_passage
        self._encode_passage = Compiled(plain) if compile_model else plain
        self._batcher = MicroBatcher(self.encode_queries)
        self._threads = ThreadPoolExecutor(thread_name_prefix="pictures")

    @classmethod
    def from_pretrained(
        cls, location: Path | str, revision: str | None = None, **options: Any
    ) -> Self:
        """Return the encoder of a checkpoint.

        Args:
            location: "kbvqa-mini", which comes along and is assembled once under the cache
                directory; a checkpoint directory; or the id of a hub repository.
            revision: of the hub repository; None for the newest.
            options: the arguments of the class.

        Raises:
            InvalidCheckpoint: no such checkpoint, another architecture, unusable weights.
        """
        if location == MINI:
            location = assemble()
        return cls(load_checkpoint(location, revision), **options)

    def _precision(self, wanted: PassagePrecision) -> Precision:
        """Return what passages are encoded in on this device."""
        if self.device.type != "cpu" or self.dtype != torch.float32:
            return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)
        if wanted != "fastest":
            return wanted
        text = self.model.config.bert_config()
        return fastest_on_cpu(text.hidden_size, text.intermediate_size)

    @property
    def dim(self) -> int:
        """Return D."""
        return self.model.config.dim

    @property
    def takes_regions(self) -> bool:
        """Return whether queries may have boxes: FLMR's may, PreFLMR's may not."""
        config = self.model.config
        return config.use_vision_encoder and not config.use_transformer_mapping_network

    def encode_query(self, query: Query) -> EncodedQuery:
        """Return a query's embedding, made together with those other threads ask for just now.

        Raises:
            InvalidQuery, TypeError: as for `encode_queries`.
        """
        return self._batcher(query)

    @torch.inference_mode()
    def encode_queries(self, queries: Iterable[Query]) -> list[EncodedQuery]:
        """Return the queries' embeddings, without the rows that are masked out.

        Queries with and without a picture, or with several regions of one, may be mixed.

        Raises:
            InvalidQuery: an instruction leaves no room for the question; boxes that are not
                in the picture, or that this checkpoint cannot take.
            TypeError: something is no query, or its image no picture.
        """
        queries = list_of(Query, queries)
        pictures = [self._pictures(query) for query in queries]
        results: dict[int, EncodedQuery] = {}
        for count in sorted({len(p) for p in pictures}):
            chosen = [i for i, p in enumerate(pictures) if len(p) == count]
            rows = self._encode_alike([queries[i] for i in chosen], [pictures[i] for i in chosen])
            results.update(zip(chosen, rows, strict=True))
        return [results[i] for i in range(len(queries))]

    def _pictures(self, query: Query) -> list[Image]:
        """Return the query's pictures: the whole one, then its regions."""
        if query.image is not None and not isinstance(query.image, Image):
            raise TypeError(
                f"a query's image is a PIL picture, of PIL.Image.open, not {query.image!r:.80}"
            )
        if query.image is None or not self.model.config.use_vision_encoder:
            return []
        pictures = [query.image, *crop_regions(query.image, query.boxes)]
        if query.boxes and self.regions is not None:
            pictures = pictures[: self.regions]
            pictures += [pictures[-1]] * (self.regions - len(pictures))
        if len(pictures) > 1 and not self.takes_regions:
            raise InvalidQuery(
                f"{len(query.boxes)} boxes: this checkpoint takes one picture a query. Ask "
                "without boxes, or use an FLMR checkpoint."
            )
        return pictures

    def _encode_alike(
        self, queries: Sequence[Query], pictures: Sequence[Sequence[Image]]
    ) -> list[EncodedQuery]:
        """Encode queries that have the same number of pictures."""
        vision, seen = self._see(pictures) if pictures[0] else (None, [""] * len(queries))
        texts = [self._text(q, s) for q, s in zip(queries, seen, strict=True)]
        rows = self.checkpoint.query_tokenizer.tokenize(texts)
        cut = [self._overflow(query, row) for query, row in zip(queries, rows, strict=True)]
        tokens = self._moved(self.checkpoint.query_tokenizer.batch(rows))
        text_BLH = self.model.query_text_encoder(tokens["input_ids"], tokens["attention_mask"])
        rows_BQD = self.model.embed_query(tokens["input_ids"], text_BLH, vision).cpu()
        for query, row in zip(queries, rows_BQD, strict=True):
            if not row.isfinite().all():
                raise InvalidQuery(
                    f"the checkpoint makes no finite numbers of the question {query.question!r} "
                    "and its picture: its weights are damaged, or too large for half precision"
                )
        return [
            EncodedQuery(_drop_zero_rows(row), sentence.strip(), lost)
            for row, sentence, lost in zip(rows_BQD, seen, cut, strict=True)
        ]

    def _see(self, pictures: Sequence[Sequence[Image]]) -> tuple[VisionFeatures, list[str]]:
        """Return the features of the pictures [B, (R,) V], and what a classifier names."""
        flat = [picture for own in pictures for picture in own]
        pixels = self._to_device(self.checkpoint.image_processor(flat, self._threads)).to(
            self.dtype
        )
        tower, settings = self.model.query_vision_encoder, self.checkpoint.text_vision
        seen = [""] * len(pictures)
        if isinstance(tower, EfficientNetVisionEncoder):
            maps = tower.vision_model(pixels)
            vision = tower.neck(tower.grid_features(maps))
            if settings is not None:
                seen = describe(tower.vision_model, maps[-1], settings)
        else:
            vision = tower(pixels)
        if len(pictures[0]) > 1:
            shape = len(pictures), len(pictures[0])
            vision = VisionFeatures(*(f.reshape(*shape, *f.shape[1:]) for f in vision))
        return vision, seen

    def _text(self, query: Query, seen: str) -> str:
        """Return a query's text: its own instruction counts where the checkpoint masks one."""
        question = query.question + seen
        if self._separator is None:
            return query_text(self._instruction, question) if self._instruction else question
        return query_text(query.instruction or self._instruction, question, self._separator)

    def _overflow(self, query: Query, ids: list[int]) -> int:
        """Return how many tokens of a question are cut off, and say so."""
        tokenizer, separator = self.checkpoint.query_tokenizer, self.model.separator_id
        limit = tokenizer.max_length
        if len(ids) <= limit:
            return 0
        if separator is not None and separator not in ids[: limit - 2]:
            raise InvalidQuery(
                f"the instruction {query.instruction or self._instruction!r} fills all {limit} "
                "tokens of a query, and the question is lost: give a shorter instruction"
            )
        # What a classifier saw stands last, and may be lost in silence.
        lost = max(len(tokenizer.tokenize([self._text(query, "")])[0]) - limit, 0)
        if lost:
            logger.warning(
                "%d tokens at the end of the question %r were cut: it shares %d with the "
                "instruction and markers. Ask shorter, or give a shorter instruction.",
                *(lost, query.question, limit),
            )
        return lost

    def encode_passages(self, passages: Iterable[Passage]) -> list[Embedding]:
        """Return the passages' embeddings [P, D], in their order.

        Masked rows (padding, punctuation) are removed. A text that is longer than the tokenizer's
        limit is cut there, with a warning. For more than fit into memory: `encode_corpus`.

        Raises:
            TypeError: something is no passage.
        """
        passages = list_of(Passage, passages)

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
        """Yield passages with their embeddings [P, D], batch by batch, in the order of length.

        Within a window of reading order, short ones come first. Masked rows (padding,
        punctuation) are removed. The next window is read and tokenised meanwhile. On a CPU
        each core has a batch of its own: threads that share one wait for each other, which
        on cores that are busy with something else too made it five times slower.

        Args:
            passages: any number; a window of them is in memory.
            on_cut: told of each text that is longer than the tokenizer's limit and cut
                there, with its number of tokens. Default: a warning.
        """
        workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        with ThreadPoolExecutor(workers, "passages", _one_thread, (self.device,)) as pool:
            for window, batches in ahead(self._tokenized(iter(passages), on_cut or _warn)):
                tokens = (tokens for _, tokens in batches)
                encoded = map_ahead(pool, self._encode_batch, tokens, depth=workers + 1)
                for (positions, _), embeddings in zip(batches, encoded, strict=True):
                    yield [window[i] for i in positions], embeddings

    def _tokenized(
        self, source: Iterator[Passage], on_cut: OnCut
    ) -> Iterator[tuple[list[Passage], list[tuple[list[int], dict[str, Tensor]]]]]:
        """Yield windows of passages with the batches they are encoded in."""
        tokenizer = self.checkpoint.passage_tokenizer
        budget = TOKENS_PER_BATCH.get(self.device.type, TOKENS_PER_BATCH["cpu"])
        # Sorted by length within a window, a batch holds equals and little padding.
        for window in windows(source, WINDOW):
            rows = tokenizer.tokenize([p.text for p in window])
            for passage, row in zip(window, rows, strict=True):
                if len(row) > tokenizer.max_length:
                    on_cut(passage, len(row))
            rows = [tokenizer.cut(row) for row in rows]
            lengths = [len(row) for row in rows]
            order = sorted(range(len(rows)), key=lengths.__getitem__)
            yield (
                window,
                [
                    (positions, tokenizer.pad([rows[i] for i in positions]))
                    for positions in batches_by_length(order, lengths, budget)
                ],
            )

    @torch.inference_mode()
    def _encode_batch(self, tokens: dict[str, Tensor]) -> list[Embedding]:
        halved = self.device.type == "cpu" and self.passage_precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            rows_BPD, mask_BP = self._encode_passage(**self._moved(tokens))
        pairs = zip(rows_BPD.cpu(), mask_BP.cpu(), strict=True)
        return [row[mask].numpy() for row, mask in pairs]

    def _moved(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: self._to_device(tensor) for name, tensor in tokens.items()}

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Return the tensor on the device; from pinned memory the copy does not stop the host."""
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


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


def describe(tower: EfficientNetLite0, head: Tensor, settings: TextVision) -> list[str]:
    """Return one sentence a picture, from the tower's last feature map [B, C, H, W]."""
    best = tower.classify(head).softmax(-1).topk(settings.max_names)
    return [
        settings.describe(probabilities, ids)
        for probabilities, ids in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _drop_zero_rows(rows_QD: Tensor) -> Embedding:
    kept: Embedding = rows_QD[rows_QD.abs().sum(-1) > 0].numpy()
    return kept


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
