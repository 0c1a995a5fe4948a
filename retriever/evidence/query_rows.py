"""What the rows of an encoded query stand for: words of the question, places in the picture.

Rows come in the order of `model.flmr`: text, then of each picture its prefix rows, then patches.

    question      a word of the question
    seen          a word that text-based vision wrote behind it
    instruction   a word before it, of a checkpoint that does not mask them
    mark          [CLS], [Q] and [SEP]
    padding       [MASK]: reads the question, and scores
    picture       made of the pooled picture: it has no place in it
    patch         a place in the picture

A patch has seen more than its place: the network mixes patches with each other and with the
question. Its row says where a match was found, not that nothing else led to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from corpus.pictures.images import upright_size
from corpus.types import Query
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.encoding.queries import EncodedQuery
from retriever.inputs.images import Area, ImageProcessor
from retriever.inputs.tokenization import Piece
from retriever.model.config import EFFICIENTNET, FLMRConfig

RowKind = Literal["question", "seen", "instruction", "mark", "padding", "picture", "patch"]


@dataclass(frozen=True, slots=True)
class QueryRow:
    """What a row stands for.

    Attributes:
        kind: see the module.
        span: its characters in the question, or in what was seen; None for what is no word.
        word: equal for the rows of one word.
        area: of the upright picture, in pixels: what a "picture" row is of, or where a patch is.
            It reaches outside where the tower is shown black.
    """

    kind: RowKind
    span: tuple[int, int] | None = None
    word: int | None = None
    area: Area | None = None


def query_rows(encoder: Encoder, query: Query, encoded: EncodedQuery) -> tuple[QueryRow, ...]:
    """Return what each row of a query stands for, given what the encoder made of the query."""
    checkpoint = encoder.checkpoint
    config = checkpoint.model.config
    rows = []
    if config.query_concat_output_from_text_encoder:
        seen = f" {encoded.seen}" if encoded.seen else ""
        rows += _text_rows(checkpoint, query.question, encoder.query_text(query, seen), seen)
    parts = encoder.query_parts(query)
    if parts and query.image is not None and config.query_concat_output_from_vision_encoder:
        width, height = upright_size(query.image)
        areas = [part or (0, 0, width, height) for part in parts]
        for area in areas:
            rows += [QueryRow("picture", area=area)] * config.mapping_network_prefix_length
        if config.use_transformer_mapping_network:
            places = patch_areas(checkpoint.image_processor, (width, height), patch_grid(config))
            rows += [QueryRow("patch", area=area) for area in places]
    return tuple(rows)


def patch_grid(config: FLMRConfig) -> tuple[int, int]:
    """Return how many patches a picture has from top to bottom, and from left to right.

    Of EfficientNet-Lite0 the cells of the grid that its maps are pooled to, which overlap a
    little: 7 columns in 4.
    """
    if config.vision_type == EFFICIENTNET:
        side = int(config.vision_config.get("grid", 4))
    else:
        clip = config.clip_vision_config()
        side = clip.image_size // clip.patch_size
    return side, side


def patch_areas(
    processor: ImageProcessor, size: tuple[int, int], grid: tuple[int, int]
) -> Iterator[Area]:
    """Yield where on a picture of this width and height its patches are, row by row.

    >>> wide = ImageProcessor(size=(224, 224), shortest_edge=224)
    >>> [area for area in patch_areas(wide, (400, 200), (1, 2))]
    [(100.0, 0.0, 200.0, 200.0), (200.0, 0.0, 300.0, 200.0)]
    """
    left, upper, right, lower = processor.frame(size)
    rows, columns = grid
    wide, high = (right - left) / columns, (lower - upper) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * wide, upper + row * high
            yield x, y, x + wide, y + high


def _text_rows(checkpoint: Checkpoint, question: str, text: str, seen: str) -> list[QueryRow]:
    """Return what the text rows stand for that are not masked out."""
    tokenizer = checkpoint.query_tokenizer
    pieces = tokenizer.pieces(text)
    begin = text.rindex(question + seen)
    end = begin + len(question)
    rows = [_text_row(piece, begin, end) for piece in pieces]
    rows += [QueryRow("padding")] * (tokenizer.max_length - len(pieces))
    ids = tokenizer.batch([[piece.id for piece in pieces]])["input_ids"]
    kept = checkpoint.model.query_mask(ids)[0].tolist()
    return [row for row, keep in zip(rows, kept, strict=True) if keep]


def _text_row(piece: Piece, begin: int, end: int) -> QueryRow:
    """Return what a token stands for in a text whose question has these ends."""
    if piece.span is None:
        return QueryRow("mark")
    start, after = piece.span
    if start < begin:
        return QueryRow("instruction", piece.span, piece.word)
    if start < end:
        return QueryRow("question", (start - begin, after - begin), piece.word)
    return QueryRow("seen", (start - end, after - end), piece.word)
