"""MSMARCO's triples, as ColBERT was trained on them: `triples.train.small.tsv`.

    question <tab> passage that answers it <tab> passage that does not

The file has no ids: a text's hash is its id, so that a passage that stands in many lines is one. It
may be compressed as `corpus.files.sources` reads. A blank line is left out; a line with another
number of columns, an empty one, or one that is not UTF-8 is an error.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import InvalidRecord
from corpus.files.sources import Source
from corpus.types import Passage

_COLUMNS = ("question", "positive passage", "negative passage")


@dataclass(frozen=True, slots=True)
class Triple:
    """A question, a passage that answers it, and one that does not."""

    question: str
    positive: Passage
    negative: Passage


def read_triples(path: Path) -> Iterator[Triple]:
    """Yield the triples of a file in order, one line in memory at a time.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: the first line that cannot be used, and why.
        DamagedFile: a compressed file is cut short.
    """
    for number, line in enumerate(Source(path).lines(), start=1):
        if not line.strip():
            continue
        try:
            columns = [text.strip() for text in line.decode().split("\t")]
        except UnicodeDecodeError as exc:
            raise InvalidRecord(path, number, "", "is not UTF-8") from exc
        if len(columns) != len(_COLUMNS):
            problem = f"has {len(columns)} columns, not {len(_COLUMNS)}: {', '.join(_COLUMNS)}"
            raise InvalidRecord(path, number, "", problem)
        if "" in columns:
            raise InvalidRecord(path, number, _COLUMNS[columns.index("")], "empty")
        question, positive, negative = columns
        yield Triple(question, _passage(positive), _passage(negative))


def _passage(text: str) -> Passage:
    return Passage(hashlib.sha256(text.encode()).hexdigest()[:16], "", text)
