"""Hits and gold passages as trec_eval, pytrec_eval and ranx read them.

    run.trec      query Q0 passage rank score tag
    qrels.trec    query 0 passage 1

Fields are separated by spaces, so that white space, "%" and what is no ASCII are written within an
id as %20 and so on. trec_eval goes by the scores alone, which it keeps as float32, and turns equal
ones round: where scores are equal, or rise, the later one is written the least bit smaller.
"""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np

from app.evaluation.record import RetrievalRow
from app.machine.directories import writing
from corpus.types import Example

_PRINTABLE = "".join(chr(c) for c in range(33, 127) if chr(c) != "%")


def trec_id(id_: str) -> str:
    """Return an id of printable ASCII alone: all else in it, and "%", is written as %20 and so on.

    >>> trec_id("en/noto/ke.png:Capital city"), trec_id("https://a#3"), trec_id("Zürich")
    ('en/noto/ke.png:Capital%20city', 'https://a#3', 'Z%C3%BCrich')
    """
    return quote(id_, safe=_PRINTABLE)


def write_run(path: Path, rows: Iterable[RetrievalRow], tag: str) -> None:
    """Write what was found. Rows that failed have no line, and count as nothing found."""
    with writing(path), path.open("w", encoding="utf-8") as file:
        for row in rows:
            last = np.float32(np.inf)
            for rank, (passage, score) in enumerate(row.hits, start=1):
                last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
                file.write(
                    f"{trec_id(row.id)} Q0 {trec_id(passage)} {rank} {float(last)!r} {tag}\n"
                )


def write_qrels(path: Path, examples: Iterable[Example]) -> None:
    """Write the gold passages of the examples that have some."""
    with writing(path), path.open("w", encoding="utf-8") as file:
        for example in examples:
            for passage in dict.fromkeys(example.gold_passage_ids):
                file.write(f"{trec_id(example.id)} 0 {trec_id(passage)} 1\n")
