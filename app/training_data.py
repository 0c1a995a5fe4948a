"""What a generator is trained on: a run of `kbvqa evaluate run`, with the texts of its hits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidSettings
from app.evaluate import ROWS_NAME
from app.resumable import RECORD_NAME, Row, read_rows
from corpus.errors import DatasetNotFound, InvalidRecord
from corpus.image_store import ImageFolder
from generator.passages import passage_text
from generator.training.recipe import ReadExample
from retriever.index import PassageIndex

AT_ONCE = 1000  # passages that the index is asked for


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Questions with what was retrieved for them.

    Attributes:
        examples: those that can be trained on.
        left_out: how many cannot, by reason.
    """

    examples: tuple[ReadExample, ...]
    left_out: dict[str, int]


def read_run(
    run: Path, index: PassageIndex, passages: int, images: Path | None = None
) -> TrainingRun:
    """Return the questions of a run with their best passages.

    Args:
        run: a directory that `kbvqa evaluate run` wrote.
        index: the one that the run searched; it has the texts.
        passages: that are read of each question's hits.
        images: the directory of the pictures, for a model that sees.

    Raises:
        DatasetNotFound: no run, or pictures are missing.
        InvalidRecord: a line that cannot be used.
        InvalidSettings: the run searched another corpus, or found no passages.
    """
    rows = _rows(run)
    _check_corpus(run, index)
    kept, left_out = [], {"it failed": 0, "no answer": 0}
    for row in rows:
        if "hits" not in row:
            left_out["it failed"] += 1
        elif not any(answer.strip() for answer in row["answers"]):
            left_out["no answer"] += 1
        else:
            kept.append(row)
    if not any(row["hits"] for row in kept):
        raise InvalidSettings(
            f"{run} has no question with an answer and passages: {len(rows):,} rows, of which "
            f"{len(kept):,} have an answer. Was it made with --no-retrieval?"
        )
    asked = [row for row in kept if row["hits"]]
    left_out["no passages"] = len(kept) - len(asked)
    texts = _texts(index, asked, passages)
    pictures = _pictures(asked, images) if images is not None else {}
    examples = tuple(_example(row, texts, passages, pictures) for row in asked)
    return TrainingRun(examples, {reason: n for reason, n in left_out.items() if n})


def _rows(run: Path) -> list[Row]:
    path = run / ROWS_NAME
    if not path.is_file():
        raise DatasetNotFound(
            f"{path} does not exist: make it with `kbvqa evaluate run BENCHMARK --split train "
            f"--no-answer --out {run}`"
        )
    rows: dict[str, Row] = {}
    for line, row in read_rows(path):
        for name, kind in (("id", str), ("question", str), ("answers", list), ("failure", str)):
            if not isinstance(row.get(name), kind):
                raise InvalidRecord(path, line, name, f"is not a {kind.__name__}")
        if not isinstance(row.get("hits", []), list) or not (row["failure"] or "hits" in row):
            raise InvalidRecord(path, line, "hits", "is not a list")
        rows[row["id"]] = row  # what was tried again stands further down
    return list(rows.values())


def _check_corpus(run: Path, index: PassageIndex) -> None:
    path = run / RECORD_NAME
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    searched, there = record.get("corpus_sha256"), index.fingerprint.corpus_sha256
    if searched and searched != there:
        raise InvalidSettings(
            f"{run} searched the corpus {record.get('corpus')} ({searched[:12]}), and the index at "
            f"{index.location} has {index.fingerprint.corpus} ({there[:12]}): give that run's "
            "index with --index"
        )


def _texts(index: PassageIndex, rows: Sequence[Row], passages: int) -> dict[str, str]:
    """Return the texts of the passages that are read, by id; the index is asked in batches."""
    wanted = sorted({id_ for row in rows for id_, _ in row["hits"][:passages]})
    texts: dict[str, str] = {}
    missing: list[str] = []
    for start in range(0, len(wanted), AT_ONCE):
        batch = wanted[start : start + AT_ONCE]
        there = index.content_hashes(batch)
        missing += [id_ for id_ in batch if id_ not in there]
        found = index.get([id_ for id_ in batch if id_ in there])
        texts |= {passage.id: passage_text(passage) for passage in found}
    if missing:
        raise InvalidSettings(
            f"the index at {index.location} lacks {len(missing):,} of {len(wanted):,} passages, "
            f"such as {missing[0]}: give the index that the run searched with --index"
        )
    return texts


def _pictures(rows: Sequence[Row], images: Path) -> dict[str, Path]:
    """Return where the pictures lie, by name, found as an evaluation finds them."""
    found = ImageFolder(images).find_all(name for row in rows if (name := row.get("image")))
    if missing := [name for name, path in found.items() if path is None]:
        raise DatasetNotFound(
            f"{len(missing):,} of {len(found):,} pictures are not under {images}, such as "
            f"{missing[0]}: give the pictures' folder by --images"
        )
    return {name: path for name, path in found.items() if path is not None}


def _example(
    row: Row, texts: dict[str, str], passages: int, pictures: dict[str, Path]
) -> ReadExample:
    hits = row["hits"][:passages]
    return ReadExample(
        question=row["question"],
        answers=tuple(row["answers"]),
        passages=tuple(texts[id_] for id_, _ in hits),
        scores=tuple(float(score) for _, score in hits),
        caption=row.get("seen", ""),
        image=pictures.get(row.get("image", "")),
        searched=tuple(row.get("searched") or row["answers"]),
    )
