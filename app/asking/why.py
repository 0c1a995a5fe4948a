"""Why passages were found: the alignments behind their scores, as plain data for people.

    why = explain(pipeline, query, result.retrieval)      # a few milliseconds
    why.passages[0].words[0]                              # a word, and its share of the score

The rows of the passages come from the index, as they were scored there: encoding five passages
again takes as long as half an answer.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.flow.events import Retrieval
from app.flow.retrieval import Finder
from corpus.pictures.images import upright_size
from corpus.types import Query
from retriever.encoding.arguments import require
from retriever.evidence.alignment import NO_WORD, Alignment, align
from retriever.evidence.query_rows import RowKind
from retriever.inputs.images import Area

# What people are told of a row, from what it stands for.
Part = str
PARTS: dict[RowKind, Part] = {
    "question": "words of the question",
    "padding": "the question as a whole",
    "mark": "the question as a whole",
    "instruction": "the question as a whole",
    "seen": "what was recognised",
    "picture": "the picture as a whole",
    "patch": "places in the picture",
}
OF_PICTURE: tuple[RowKind, ...] = ("picture", "patch")


@dataclass(frozen=True, slots=True)
class WordShare:
    """A word of a passage that rows of the query are nearest to.

    Attributes:
        number: of the word in the passage, from 0.
        start: its first character in the passage's text.
        end: the one after its last.
        share: of the score.
        of_picture: what of that share comes from the picture.
    """

    number: int
    start: int
    end: int
    share: float
    of_picture: float


@dataclass(frozen=True, slots=True)
class Matched:
    """A word of the question and what it is nearest to.

    Attributes:
        text: the word.
        number: of the word in the passage, from 0; None where it is nearest to no word.
        similarity: -1 to 1.
    """

    text: str
    number: int | None
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class PassageWhy:
    """Why one passage was found.

    Attributes:
        passage_id: of the passage.
        text: of the passage.
        score: what all rows of the query add up to.
        by_itself: what the picture by itself, and pictures like it, took from that; None where
            they have no say.
        parts: what of the score comes from where, by PARTS.
        spans: the characters of every word in the passage's text.
        words: those with a share, the greatest first.
        matches: the words of the question, in order.
        heat: similarity of each place in the picture with the passage [G]; empty without places.
        word_heat: the same with each word [W, G].
    """

    passage_id: str
    text: str
    score: float
    by_itself: float | None
    parts: dict[Part, float]
    spans: tuple[tuple[int, int], ...]
    words: tuple[WordShare, ...]
    matches: tuple[Matched, ...]
    heat: NDArray[np.float32]
    word_heat: NDArray[np.float32]

    def word(self, number: int) -> str:
        """Return a word of the passage."""
        return self.text[slice(*self.spans[number])]


@dataclass(frozen=True, slots=True, eq=False)
class Why:
    """Why the passages of a result were found.

    Attributes:
        passages: as the hits.
        frame: what the places cover of the upright picture, as shares of its width and height;
            it may reach outside. None without places.
        grid: places from top to bottom and from left to right.
        no_map: why there is no map of the picture; "" where there is one.
    """

    passages: tuple[PassageWhy, ...]
    frame: Area | None
    grid: tuple[int, int]
    no_map: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; words without a share are left out."""
        return {
            "frame": None if self.frame is None else [round(edge, 4) for edge in self.frame],
            "grid": list(self.grid),
            "no_map": self.no_map,
            "passages": [_passage_json(passage, self.grid) for passage in self.passages],
        }


def explain(finder: Finder, query: Query, found: Retrieval) -> Why | None:
    """Return why hits were found; None where nothing was looked for.

    Args:
        finder: that found them, just now: it has the query's rows and the index the passages'.
        query: the question and its picture; where it was made to stand alone, that one counts.
        found: what it found.

    Raises:
        IndexNotReady: the index does not hold the passages as they were.
        TypeError: it is no finder, or not what one found.
    """
    require(finder, Finder, "finder", home="app.flow.retrieval")
    if not isinstance(found, Retrieval):
        raise TypeError(f"found: the retrieval of a kbvqa.Result is expected, not {found!r:.80}")
    if found.asked is None or finder.index is None:
        return None
    query = replace(query, question=found.asked_as or query.question, boxes=found.boxes)
    if found.pictureless:
        query = replace(query, image=None, boxes=())
    looked = finder.looked_at(query)
    passages = [hit.passage for hit in found.hits]
    rows = finder.index.rows([passage.id for passage in passages])
    aligned = align(finder.encoder, looked, found.asked, passages, rows)
    weighed = bool(finder.encoder.checkpoint.picture_weight) and query.image is not None
    weighed = weighed or bool(found.similar or found.recognised)
    whys = tuple(
        _why(query, alignment, hit.passage.id, hit.passage.text, hit.score if weighed else None)
        for alignment, hit in zip(aligned, found.hits, strict=True)
    )
    frame, grid = _frame(query, looked, aligned)
    return Why(whys, frame, grid, "" if frame else _no_map(query))


def _no_map(query: Query) -> str:
    if query.image is None:
        return "There is no picture to show it in."
    return (
        "This checkpoint keeps no places of a picture, only rows of it as a whole: there is "
        "nothing to show in it."
    )


def _frame(
    query: Query, looked: Query, aligned: list[Alignment]
) -> tuple[Area | None, tuple[int, int]]:
    """Return where the places are as shares of the whole picture, though a part was looked at."""
    frame = aligned[0].frame if aligned else None
    if frame is None or query.image is None:
        return None, (0, 0)
    x, y = query.boxes[0][:2] if query.boxes and not looked.boxes else (0, 0)
    width, height = upright_size(query.image)
    left, upper, right, lower = frame
    shares = ((left + x) / width, (upper + y) / height, (right + x) / width, (lower + y) / height)
    return shares, aligned[0].grid


def _why(
    query: Query, found: Alignment, passage_id: str, text: str, weighed: float | None
) -> PassageWhy:
    score = found.score
    parts: dict[Part, float] = {}
    for kind, value in found.by_kind().items():
        parts[PARTS[kind]] = parts.get(PARTS[kind], 0.0) + value
    gained_W, of_picture_W = found.gained_W, found.gained_by(OF_PICTURE)
    order = [int(w) for w in np.argsort(-gained_W, kind="stable") if gained_W[w] > 0]
    total = float(found.best_Q.clip(min=0).sum())  # rows that match nothing may take a little
    words = tuple(
        WordShare(w, *found.words[w], float(gained_W[w]) / total, float(of_picture_W[w]) / total)
        for w in order
    )
    matches = tuple(
        Matched(
            query.question[slice(*match.span)],
            None if match.word == NO_WORD else match.word,
            match.similarity,
        )
        for match in found.matches()
        if any(map(str.isalnum, query.question[slice(*match.span)]))
    )
    by_itself = None if weighed is None else weighed - score
    heat, word_heat = found.heat_G(), found.heat_WG()
    return PassageWhy(
        passage_id, text, score, by_itself, parts, found.words, words, matches, heat, word_heat
    )


def _passage_json(why: PassageWhy, grid: tuple[int, int]) -> dict[str, Any]:
    return {
        "passage_id": why.passage_id,
        "score": round(why.score, 4),
        "picture_by_itself": None if why.by_itself is None else round(why.by_itself, 4),
        "parts": {name: round(value, 4) for name, value in why.parts.items()},
        "words": [
            {
                "text": why.word(word.number),
                "start": word.start,
                "end": word.end,
                "share": round(word.share, 4),
                "of_picture": round(word.of_picture, 4),
            }
            for word in why.words
        ],
        "matches": [
            {
                "question": match.text,
                "passage": None if match.number is None else why.word(match.number),
                "similarity": round(match.similarity, 4),
            }
            for match in why.matches
        ],
        "heat": np.round(why.heat.reshape(grid), 4).tolist() if why.heat.size else [],
    }
