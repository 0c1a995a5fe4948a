"""Questions and their pictures to embeddings.

Shapes: B queries, R pictures of a query, L text tokens, Q query rows, D embedding dim, V pooled
width, C channels of the tower's last map.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL.Image import Image
from torch import Tensor

from corpus.pictures.images import as_rgb
from corpus.types import Box, Query
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.arguments import require_unicode
from retriever.encoding.device import all_on_device, on_device
from retriever.encoding.passages import Embedding
from retriever.errors import InvalidQuery
from retriever.inputs.images import crop_regions, middle
from retriever.inputs.text_vision import Known, Sight, TextVision, imagenet_names
from retriever.inputs.tokenization import query_text
from retriever.model.efficientnet import EfficientNetLite0
from retriever.model.vision import EfficientNetVisionEncoder, VisionFeatures

# One of the instructions that PreFLMR was trained with on image-question queries.
INSTRUCTION = "Using the provided image, obtain documents that address the subsequent question"

# How much longer than wide, or wider than long, a picture is whose middle is classified, too.
_LONG = 1.1

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What a classifier sees in a picture.

    Attributes:
        sight: what is named.
        guesses: the likeliest names.
        photographed: what is named instead where the picture is known to be a photograph.
    """

    sight: Sight = Sight()
    guesses: tuple[str, ...] = ()
    photographed: Sight = Sight()


NOTHING = Seen()


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the vision tower makes of a picture, which `encode` then need not look at again.

    Attributes:
        picture: this very object.
        features: of it alone, pooled [V] and patches [N, W].
        seen: what a classifier sees in it.
    """

    picture: Image
    features: VisionFeatures
    seen: Seen

    def as_photograph(self) -> "Look":
        """Return the look with what is named of a picture that is known to be a photograph."""
        return replace(self, seen=self.seen._replace(sight=self.seen.photographed))


@dataclass(frozen=True, slots=True, eq=False)
class EncodedQuery:
    """A query's embedding; numpy takes it as its rows.

    Attributes:
        rows_QD: unit rows [Q, D], without those that are masked out.
        seen: what text-based vision wrote behind the question; "" for nothing.
        cut: tokens at the question's end that did not fit into the query; 0 when all did.
        guesses: the names of the classes that the classifier takes the picture for most easily,
            however unsure it is; () without text-based vision.
        picture_V: the unit vector by which the picture is compared with others; None without one.
        named: the titles of passages that the classifier takes the picture for, and how likely
            each is; {} where nobody says what passages there are.
        sight: what the classifier sees, whatever passages are called.
    """

    rows_QD: Embedding
    seen: str
    cut: int
    picture_V: Embedding | None = None
    guesses: tuple[str, ...] = ()
    named: Mapping[str, float] = field(default_factory=dict)
    sight: Sight = field(default_factory=Sight)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        return np.array(self.rows_QD, dtype=dtype, copy=copy)


class QueryEncoder:
    """A checkpoint whose model is on a device already, for queries.

    Args: as of `encoder.Encoder`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        dtype: torch.dtype,
        instruction: str | None,
        regions: int | None,
    ) -> None:
        self._checkpoint, self._model = checkpoint, checkpoint.model
        self._device, self._dtype, self._regions = device, dtype, regions
        self._separator = self._model.config.mask_instruction_token
        if self._separator is not None and instruction is not None and not instruction.strip():
            raise ValueError(
                f"this checkpoint masks all up to {self._separator!r}: give an instruction, or "
                "None for the default one"
            )
        default = INSTRUCTION if self._separator is not None else ""
        self._instruction = default if instruction is None else instruction
        self._threads = ThreadPoolExecutor(thread_name_prefix="pictures")

    @property
    def takes_regions(self) -> bool:
        """Return whether queries may have boxes."""
        config = self._model.config
        return config.use_vision_encoder and not config.use_transformer_mapping_network

    @torch.inference_mode()
    def encode(
        self,
        queries: Sequence[Query],
        looks: Sequence[Look] = (),
        known: Sequence[Known | None] | None = None,
    ) -> list[EncodedQuery]:
        """Return the queries' embeddings; arguments and errors as of `Encoder.encode_queries`.

        `known` is of each query by itself.
        """
        known = [None] * len(queries) if known is None else known
        for query in queries:
            require_unicode(query.question, query.instruction)
        pictures = [self._pictures(query) for query in queries]
        results: dict[int, EncodedQuery] = {}
        for count in sorted({len(p) for p in pictures}):
            chosen = [i for i, p in enumerate(pictures) if len(p) == count]
            some, own = [queries[i] for i in chosen], [pictures[i] for i in chosen]
            rows = self._encode_alike(some, own, looks, [known[i] for i in chosen])
            results.update(zip(chosen, rows, strict=True))
        return [results[i] for i in range(len(queries))]

    def parts(self, query: Query) -> list[Box | None]:
        """Return what is looked at of a query's picture, None for the whole; [] for nothing."""
        if query.image is None or not self._model.config.use_vision_encoder:
            return []
        return self._numbered([None, *query.boxes])

    def _pictures(self, query: Query) -> list[Image]:
        """Return the query's pictures: the whole one, then its regions."""
        if query.image is None or not self._model.config.use_vision_encoder:
            return []
        pictures = self._numbered([query.image, *crop_regions(query.image, query.boxes)])
        if len(pictures) > 1 and not self.takes_regions:
            raise InvalidQuery(
                f"{len(query.boxes)} boxes: this checkpoint takes one picture a query. Ask "
                "without boxes, or use an FLMR checkpoint."
            )
        return pictures

    def _numbered(self, parts: list[T]) -> list[T]:
        """Return the whole picture and its parts, as many as are looked at."""
        if len(parts) == 1 or self._regions is None:
            return parts
        return parts[: self._regions] + [parts[-1]] * (self._regions - len(parts))

    def _encode_alike(
        self,
        queries: Sequence[Query],
        pictures: Sequence[Sequence[Image]],
        looks: Sequence[Look],
        known: Sequence[Known | None],
    ) -> list[EncodedQuery]:
        """Encode queries that have the same number of pictures."""
        vision, seen = None, [NOTHING] * len(queries)
        if pictures[0]:
            vision, seen = self.see(pictures, looks)
        written = [s.sight.sentence(k) for s, k in zip(seen, known, strict=True)]
        texts = [
            self.text(query, sentence) for query, sentence in zip(queries, written, strict=True)
        ]
        rows = self._checkpoint.query_tokenizer.tokenize(texts)
        cut = [self._overflow(query, row) for query, row in zip(queries, rows, strict=True)]
        tokens = all_on_device(self._checkpoint.query_tokenizer.batch(rows), self._device)
        text_BLH = self._model.query_text_encoder(tokens["input_ids"], tokens["attention_mask"])
        rows_BQD = self._model(tokens["input_ids"], text_BLH, vision).cpu()
        for query, row in zip(queries, rows_BQD, strict=True):
            if not row.isfinite().all():
                raise InvalidQuery(
                    f"the embedding of the question {query.question!r} and its picture is not "
                    "finite: the checkpoint's weights are damaged, or too large for half precision"
                )
        alike: Sequence[Embedding | None] = [None] * len(queries)
        if vision is not None:
            alike = self._likeness(vision)
        return [
            EncodedQuery(
                _drop_zero_rows(row),
                sentence.strip(),
                lost,
                vector,
                s.guesses,
                s.sight.titles(k),
                s.sight,
            )
            for row, sentence, lost, vector, s, k in zip(
                rows_BQD, written, cut, alike, seen, known, strict=True
            )
        ]

    @torch.inference_mode()
    def encode_pictures(self, pictures: Sequence[Image]) -> list[Embedding]:
        """Return the pictures' unit vectors; errors as of `Encoder.encode_pictures`."""
        if not self._model.config.use_vision_encoder:
            raise ValueError("this checkpoint has no vision encoder: it sees no pictures")
        return self.compared(self.look(pictures))

    @torch.inference_mode()
    def compared(self, looks: Sequence[Look]) -> list[Embedding]:
        """Return the unit vectors of pictures that were looked at."""
        if not looks:
            return []
        each = zip(*(look.features for look in looks), strict=True)
        return self._likeness(VisionFeatures(*map(torch.stack, each)))

    def _likeness(self, vision: VisionFeatures) -> list[Embedding]:
        """Return the vector of each query's whole picture, which comes first."""
        several = vision.pooled_BV.dim() == 3
        whole = VisionFeatures(*(x[:, 0] for x in vision)) if several else vision
        return list(self._model.query_vision_encoder.likeness(whole).cpu().numpy())

    def see(
        self, pictures: Sequence[Sequence[Image]], looks: Sequence[Look] = ()
    ) -> tuple[VisionFeatures, list[Seen]]:
        """Return the features of the pictures [B, (R,) V], and what a classifier sees.

        Those that there are looks at are not looked at again.
        """
        flat = [picture for own in pictures for picture in own]
        known = {id(look.picture): look for look in looks}
        # A picture that several queries ask about is looked at once.
        once = list({id(p): p for p in flat if id(p) not in known}.values())
        known |= {id(look.picture): look for look in self.look(once)}
        features = [known[id(picture)].features for picture in flat]
        vision = VisionFeatures(*(torch.stack(each) for each in zip(*features, strict=True)))
        if len(pictures[0]) > 1:
            shape = len(pictures), len(pictures[0])
            vision = VisionFeatures(*(f.reshape(*shape, *f.shape[1:]) for f in vision))
        return vision, [known[id(own[0])].seen for own in pictures]

    def look(self, pictures: Sequence[Image]) -> list[Look]:
        """Return what the vision tower makes of pictures, looked at in one batch.

        Training goes through here: there are gradients unless the caller asks for none.
        """
        if not pictures:
            return []
        opaque = list(self._threads.map(as_rgb, pictures))
        prepared = self._checkpoint.image_processor(opaque, self._threads)
        pixels = on_device(prepared, self._device).to(self._dtype)
        tower, settings = self._model.query_vision_encoder, self._checkpoint.text_vision
        seen = [NOTHING] * len(pictures)
        if isinstance(tower, EfficientNetVisionEncoder):
            maps = tower.vision_model(pixels)
            vision = tower.neck(tower.grid_features(maps))
            if settings is not None:
                probabilities_BC = self._classes(opaque, tower.vision_model, maps[-1])
                seen = [described(own, settings) for own in probabilities_BC.tolist()]
        else:
            vision = tower(pixels)
        features = map(VisionFeatures, *vision)
        return [Look(*each) for each in zip(pictures, features, seen, strict=True)]

    @torch.no_grad()
    def _classes(
        self, pictures: Sequence[Image], tower: EfficientNetLite0, head_BCHW: Tensor
    ) -> Tensor:
        """Return the probabilities [B, 1000] of ImageNet's classes.

        A classifier takes the things of a picture that was squeezed into a square for others: of
        what is longer than wide, or wider than long, it is the mean with the picture's middle.
        """
        probabilities_BC = tower.classify(head_BCHW).softmax(-1)
        long = [
            n for n, picture in enumerate(pictures) if max(picture.size) > _LONG * min(picture.size)
        ]
        if long:
            middles = [middle(pictures[n]) for n in long]
            pixels = self._checkpoint.image_processor(middles, self._threads)
            heads_BCHW = tower(on_device(pixels, self._device).to(self._dtype))[-1]
            of_middles_BC = tower.classify(heads_BCHW).softmax(-1)
            probabilities_BC[long] = (probabilities_BC[long] + of_middles_BC) / 2
        return probabilities_BC

    def text(self, query: Query, seen: str) -> str:
        """Return a query's text: its own instruction counts where the checkpoint masks one."""
        require_unicode(query.question, query.instruction)
        question = query.question + seen
        if self._separator is None:
            return query_text(self._instruction, question) if self._instruction else question
        return query_text(query.instruction or self._instruction, question, self._separator)

    def _overflow(self, query: Query, ids: list[int]) -> int:
        """Return how many tokens of a question are cut off."""
        tokenizer, separator = self._checkpoint.query_tokenizer, self._model.separator_id
        limit = tokenizer.max_length
        if len(ids) <= limit:
            return 0
        if separator is not None and separator not in ids[: limit - 2]:
            raise InvalidQuery(
                f"the instruction {query.instruction or self._instruction!r} fills all {limit} "
                "tokens of a query, and the question is lost: give a shorter instruction"
            )
        # What a classifier saw stands last, and may be lost in silence.
        return self.overflow(query)

    def overflow(self, query: Query) -> int:
        """Return how many tokens at the end of a question there is no room for."""
        tokenizer = self._checkpoint.query_tokenizer
        return max(len(tokenizer.tokenize([self.text(query, "")])[0]) - tokenizer.max_length, 0)

    def say_cut(self, query: Query, encoded: EncodedQuery) -> None:
        """Log what was cut of a question; for its caller to do, whose request the line is of."""
        if not encoded.cut:
            return
        logger.warning(
            "%d tokens at the end of a question were cut: it shares %d with the instruction "
            "and markers. Ask shorter, or give a shorter instruction.",
            *(encoded.cut, self._checkpoint.query_tokenizer.max_length),
        )
        # What people ask is theirs: it is in no log that is kept without being asked for.
        logger.debug("the question that was cut: %r", query.question)


def described(probabilities: Sequence[float], settings: TextVision) -> Seen:
    """Return what a classifier sees in a picture that it takes for the classes by so much each."""
    likeliest = sorted(range(len(probabilities)), key=lambda c: -probabilities[c])
    return Seen(
        settings.sight(probabilities),
        tuple(imagenet_names()[c] for c in likeliest[: settings.max_names]),
        settings.of_photographs().sight(probabilities),
    )


def _drop_zero_rows(rows_QD: Tensor) -> Embedding:
    kept: Embedding = rows_QD[rows_QD.abs().sum(-1) > 0].numpy()
    return kept
