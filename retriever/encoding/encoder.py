"""Queries and passages to late-interaction embeddings: a checkpoint on a device.

`queries` and `passages` do the work. Shapes: Q query rows, P passage rows, D embedding dim.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self, get_args

import torch
from PIL.Image import Image

from corpus.types import Box, Passage, Query
from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.encoding.arguments import list_of, require, require_place
from retriever.encoding.device import device_of
from retriever.encoding.microbatch import MicroBatcher
from retriever.encoding.onednn import use_onednn
from retriever.encoding.passages import Embedding, OnCut, PassageEncoder
from retriever.encoding.precision import DTYPES, fastest_on_cpu
from retriever.encoding.queries import EncodedQuery, Look, QueryEncoder
from retriever.inputs.text_vision import Known
from retriever.numbers import PassagePrecision, Precision

# Queries, and looks at pictures of theirs.
_Asked = tuple[list[Query], Sequence[Look], Known | None]


class Encoder:
    """A checkpoint on a device. Threads may share one.

    Args:
        checkpoint: what `load_checkpoint` returned; its model moves to the device.
        device: such as "cpu" or "cuda:1"; default `best_device()`.
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
            "fastest" measures what this machine does best (`precision`). Elsewhere
            it is that of `dtype`.

    Raises:
        TypeError: it is no checkpoint, or the instruction no text.
        ValueError: the checkpoint masks instructions, and `instruction` is ""; there is no such
            device or precision, or `regions` is not positive.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device | str | None = None,
        instruction: str | None = None,
        *,
        dtype: torch.dtype | None = None,
        regions: int | None = None,
        compile_model: bool = False,
        passage_precision: PassagePrecision = "float32",
    ) -> None:
        require(checkpoint, Checkpoint, "checkpoint", home="retriever.checkpoint.loading")
        require(instruction, str, "instruction", optional=True)
        if passage_precision not in (known := get_args(PassagePrecision)):
            raise ValueError(
                f"passage_precision must be one of {', '.join(known)}, got {passage_precision!r}"
            )
        if regions is not None and regions < 1:
            raise ValueError(f"regions must be >= 1 or None, got {regions!r}")
        self.checkpoint = checkpoint
        self.device = device_of(device)
        self.dtype = dtype or (torch.float16 if self.device.type == "cuda" else torch.float32)
        self.model = checkpoint.model.to(self.device, self.dtype)
        if self.device.type == "cpu":
            use_onednn(self.model)
        self.passage_precision = self._precision(passage_precision)
        self._queries = QueryEncoder(checkpoint, self.device, self.dtype, instruction, regions)
        self._passages = PassageEncoder(
            checkpoint, self.device, self.passage_precision, compile_model
        )
        self._batcher: MicroBatcher[_Asked, list[EncodedQuery]] = MicroBatcher(self._share)
        self._batches: Counter[int] = Counter()
        self._counting = threading.Lock()

    @property
    def batch_sizes(self) -> dict[int, int]:
        """{n: batches that the queries of n callers shared}, of `encode_together`."""
        with self._counting:
            return dict(self._batches)

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
            TypeError: the location is no path and no text.
        """
        require_place(location, "location")
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
        return self._queries.takes_regions

    def encode_query(self, query: Query) -> EncodedQuery:
        """Return a query's embedding, made together with those other threads ask for just now.

        Raises:
            InvalidQuery, TypeError: as for `encode_queries`.
        """
        return self.encode_together([query])[0]

    def encode_together(
        self, queries: Iterable[Query], looks: Sequence[Look] = (), known: Known | None = None
    ) -> list[EncodedQuery]:
        """Return the embeddings of a few queries, as `encode_queries`, in a batch that is shared.

        What other threads ask for just now is in it too, which takes less of the processor than
        each by itself; a query that fails costs its own caller alone.
        """
        listed = list_of(Query, queries)
        return self._told(listed, self._batcher((listed, looks, known))) if listed else []

    def fits(self, query: Query) -> bool:
        """Return whether there is room for all of a question: nothing at its end is cut off."""
        return not self._queries.overflow(query)

    def encode_queries(
        self, queries: Iterable[Query], looks: Sequence[Look] = (), known: Known | None = None
    ) -> list[EncodedQuery]:
        """Return the queries' embeddings, without the rows that are masked out.

        Queries with and without a picture, or with several regions of one, may be mixed.

        Args:
            queries: what is asked.
            looks: what `look` returned of pictures of theirs, which are not looked at again.
            known: whether there are passages that are called so, by which what a picture shows is
                named; None where nobody knows.

        Raises:
            InvalidQuery: an instruction leaves no room for the question; a text is not Unicode;
                boxes that are not in the picture, or that this checkpoint cannot take.
            TypeError: something is no query, its question no text, or its image no picture.
        """
        listed = list_of(Query, queries)
        return self._told(listed, self._queries.encode(listed, looks, [known] * len(listed)))

    def _told(self, queries: list[Query], made: list[EncodedQuery]) -> list[EncodedQuery]:
        """Return what was made of queries, what was cut of them logged in the caller's thread."""
        for query, encoded in zip(queries, made, strict=True):
            self._queries.say_cut(query, encoded)
        return made

    def _share(self, callers: Sequence[_Asked]) -> list[list[EncodedQuery]]:
        """Return the embeddings of each caller's queries, made in one batch."""
        with self._counting:
            self._batches[len(callers)] += 1
        queries = [query for own, _, _ in callers for query in own]
        looks = [look for _, own, _ in callers for look in own]
        known = [known for own, _, known in callers for _ in own]
        made = iter(self._queries.encode(queries, looks, known))
        return [list(islice(made, len(own))) for own, _, _ in callers]

    @torch.inference_mode()
    def look(self, pictures: Sequence[Image]) -> list[Look]:
        """Return what the vision tower makes of pictures, for queries to be encoded with.

        To choose among pictures, or parts of one, before a question is asked about the best.
        """
        return self._queries.look(list_of(Image, pictures))

    def compared(self, looks: Sequence[Look]) -> list[Embedding]:
        """Return the unit vectors [V] by which pictures are compared that were looked at."""
        return self._queries.compared(looks)

    def encode_pictures(self, pictures: Sequence[Image]) -> list[Embedding]:
        """Return the unit vectors [V] by which pictures are compared, in their order.

        Raises:
            ValueError: the checkpoint sees no pictures.
            TypeError: something is no picture.
        """
        return self._queries.encode_pictures(list_of(Image, pictures))

    @property
    def picture_width(self) -> int:
        """Return how many numbers a vector of `encode_pictures` has; 0 where it sees none."""
        return self.checkpoint.picture_width

    def query_text(self, query: Query, seen: str = "") -> str:
        """Return the text of a query as it is tokenised: instruction, question, what is seen."""
        return self._queries.text(query, seen)

    def query_parts(self, query: Query) -> list[Box | None]:
        """Return what is looked at of a query's picture, None for the whole; [] for nothing."""
        return self._queries.parts(query)

    def encode_passages(self, passages: Iterable[Passage]) -> list[Embedding]:
        """Return the passages' embeddings [P, D], in their order.

        Masked rows (padding, punctuation) are removed. A text that is longer than the tokenizer's
        limit is cut there, with a warning. For more than fit into memory: `encode_corpus`.

        Raises:
            TypeError: something is no passage.
        """
        return self._passages.encode(list_of(Passage, passages))

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
        return self._passages.encode_corpus(passages, on_cut)
