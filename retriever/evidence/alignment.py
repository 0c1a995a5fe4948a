"""How a query matched a passage: the alignment behind a MaxSim score, in words and places.

    score = sum over the query's rows of the similarity with the nearest passage row

Each row of the query is nearest to one token of the passage, and adds its similarity to the score:
that is the token's share. A word's share is that of its tokens.

Shapes: Q query rows · P passage rows · D embedding dim · W words · G patches
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpus.types import Passage, Query
from retriever.encoding.encoder import Encoder
from retriever.encoding.queries import EncodedQuery
from retriever.errors import IndexNotReady
from retriever.evidence.query_rows import QueryRow, RowKind, patch_grid, query_rows
from retriever.inputs.images import Area
from retriever.inputs.tokenization import Piece
from retriever.scoring import alignment

Span = tuple[int, int]
NO_WORD = -1


@dataclass(frozen=True, slots=True)
class Match:
    """A word of the question, and the word of the passage that its rows are nearest to.

    Attributes:
        span: its characters in the question.
        word: which of the passage's words; NO_WORD for a marker.
        similarity: the highest of its rows: that of a word in pieces reads better than their mean.
    """

    span: Span
    word: int
    similarity: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the rows of a query matched those of a passage.

    Attributes:
        rows: what the query's rows stand for, [Q].
        words: the characters of each word in the passage's text, [W].
        word_P: which word each row of the passage belongs to; NO_WORD for a marker.
        similarity_QP: of every row with every row.
        nearest_Q: the passage row that each query row is nearest to.
        grid: patches from top to bottom and from left to right; (0, 0) without patches.
    """

    rows: tuple[QueryRow, ...]
    words: tuple[Span, ...]
    word_P: NDArray[np.int64]
    similarity_QP: NDArray[np.float32]
    nearest_Q: NDArray[np.int64]
    grid: tuple[int, int] = (0, 0)

    @cached_property
    def best_Q(self) -> NDArray[np.float32]:
        """Return what each row of the query adds to the score."""
        return self.similarity_QP[np.arange(len(self.nearest_Q)), self.nearest_Q]

    @property
    def score(self) -> float:
        """Return the MaxSim score."""
        return float(self.best_Q.sum())

    @cached_property
    def gained_W(self) -> NDArray[np.float64]:
        """Return what of the score was found at each word."""
        return self.gained_by(get_args(RowKind))

    def gained_by(self, kinds: Sequence[RowKind]) -> NDArray[np.float64]:
        """Return what of the score rows of some kinds found at each word, [W]."""
        words_Q = self.word_P[self.nearest_Q]
        ours_Q = np.array([row.kind in kinds for row in self.rows], dtype=bool)
        found_Q = ours_Q & (words_Q != NO_WORD)
        gained_W = np.zeros(len(self.words))
        np.add.at(gained_W, words_Q[found_Q], self.best_Q[found_Q])
        return gained_W

    def by_kind(self) -> dict[RowKind, float]:
        """Return what of the score comes from each kind of row."""
        parts: dict[RowKind, float] = {}
        for row, best in zip(self.rows, self.best_Q.tolist(), strict=True):
            parts[row.kind] = parts.get(row.kind, 0.0) + best
        return parts

    def matches(self) -> list[Match]:
        """Return the words of the question, in order, with what they are nearest to."""
        strongest: dict[int, int] = {}
        spans: dict[int, Span] = {}
        for q, row in enumerate(self.rows):
            if row.kind != "question" or row.word is None or row.span is None:
                continue
            begin, end = spans.get(row.word, row.span)
            spans[row.word] = min(begin, row.span[0]), max(end, row.span[1])
            before = strongest.get(row.word)
            if before is None or self.best_Q[q] > self.best_Q[before]:
                strongest[row.word] = q
        return [
            Match(spans[w], int(self.word_P[self.nearest_Q[q]]), float(self.best_Q[q]))
            for w, q in strongest.items()
        ]

    @property
    def patches(self) -> list[int]:
        """Return which of the query's rows are places in the picture, row by row."""
        return [q for q, row in enumerate(self.rows) if row.kind == "patch"]

    @property
    def frame(self) -> Area | None:
        """Return what the patches cover of the upright picture, in pixels; None without any."""
        areas = [self.rows[q].area for q in self.patches]
        known = [area for area in areas if area is not None]
        if not known:
            return None
        return (
            min(area[0] for area in known),
            min(area[1] for area in known),
            max(area[2] for area in known),
            max(area[3] for area in known),
        )

    def heat_G(self) -> NDArray[np.float32]:
        """Return the similarity of each patch with what it is nearest to in the passage."""
        return self.best_Q[self.patches]

    def heat_WG(self) -> NDArray[np.float32]:
        """Return the similarity of each patch with each word: the highest of the word's tokens."""
        similarity_GP = self.similarity_QP[self.patches]
        heat_WG = np.full((len(self.words), len(similarity_GP)), -np.inf, dtype=np.float32)
        for p, word in enumerate(self.word_P.tolist()):
            if word != NO_WORD:
                np.maximum(heat_WG[word], similarity_GP[:, p], out=heat_WG[word])
        return heat_WG


def align(
    encoder: Encoder,
    query: Query,
    encoded: EncodedQuery,
    passages: Sequence[Passage],
    embeddings: Sequence[ArrayLike],
) -> list[Alignment]:
    """Return how a query matched each of some passages.

    Args:
        encoder: made the embeddings.
        query: as it was encoded.
        encoded: what came of it.
        passages: their texts say which words the rows are of.
        embeddings: for each its rows [P, D], without masked ones: from an index, or the encoder.

    Raises:
        IndexNotReady: the rows of a passage are not those of its text.
        ValueError: those of the query are not of this query.
    """
    rows = query_rows(encoder, query, encoded)
    if len(rows) != len(encoded.rows_QD):
        raise ValueError(f"{len(encoded.rows_QD)} rows are not of a query that makes {len(rows)}")
    config = encoder.checkpoint.model.config
    grid = patch_grid(config) if any(row.kind == "patch" for row in rows) else (0, 0)
    found = []
    for passage, p_PD in zip(passages, embeddings, strict=True):
        words, word_P = _words(_scored(encoder, passage))
        similarity_QP, nearest_Q = alignment(encoded.rows_QD, p_PD)
        if len(word_P) != similarity_QP.shape[1]:
            raise IndexNotReady(
                f"the passage {passage.id!r} has {similarity_QP.shape[1]} rows, and its text makes "
                f"{len(word_P)}: build the index anew with `kbvqa index build --swap`"
            )
        found.append(Alignment(rows, words, word_P, similarity_QP.numpy(), nearest_Q.numpy(), grid))
    return found


def _scored(encoder: Encoder, passage: Passage) -> list[Piece]:
    """Return the tokens of a passage that have rows."""
    model, tokenizer = encoder.checkpoint.model, encoder.checkpoint.passage_tokenizer
    pieces = tokenizer.pieces(passage.text)
    ids = tokenizer.pad([[piece.id for piece in pieces]])["input_ids"]
    kept = model.passage_mask(ids)[0].tolist()
    return [piece for piece, keep in zip(pieces, kept, strict=True) if keep]


def _words(pieces: Sequence[Piece]) -> tuple[tuple[Span, ...], NDArray[np.int64]]:
    """Return the words that tokens make up, and which of them each token belongs to."""
    spans: dict[int, Span] = {}
    place: dict[int, int] = {}
    word_P = np.full(len(pieces), NO_WORD, dtype=np.int64)
    for p, piece in enumerate(pieces):
        if piece.span is None or piece.word is None:
            continue
        word = place.setdefault(piece.word, len(place))
        begin, end = spans.get(word, piece.span)
        spans[word] = min(begin, piece.span[0]), max(end, piece.span[1])
        word_P[p] = word
    return tuple(spans[word] for word in range(len(place))), word_P
