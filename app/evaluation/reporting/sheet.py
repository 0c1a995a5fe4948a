"""The sheet of examples of a report: what was asked, found and said, with pictures.

It is JSON in <script> elements that no browser runs. Pictures and passages lie in chunks that are
parsed when they are first shown, so that thousands of examples open at once.
"""

import base64
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from app.evaluation.benchmarks.catalog import spread
from app.evaluation.files.json_rows import json_text
from app.evaluation.record import AnswerRow, Condition, ExampleRow, RetrievalRow
from app.evaluation.reporting.runs import Run, asked_alike
from corpus.errors import KbvqaError
from corpus.pictures.images import load_image
from corpus.pictures.store import ImageFolder
from corpus.types import Passage
from retriever.building.build import Advance

EXAMPLES = 5_000
HITS = 5
PICTURE_BYTES = 24_000_000  # of all thumbnails together, before base64 makes them a third more
PASSAGE_CHARACTERS = 400
_SIDES = (320, 224, 160, 128, 96)  # pixels; the greatest that fits
_CHUNK = 250
_GOLD, _READ, _CITED = 1, 2, 4

Lookup = Callable[[Sequence[str]], Iterable[Passage]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the page shows of examples.

    Attributes:
        data: as the page's script reads it.
        pictures: data URIs, in chunks.
        passages: [id, title, text], in chunks.
        shown: how many examples there are.
        total: how many there were.
        missing: how many pictures could not be shown.
    """

    data: Mapping[str, Any]
    pictures: Sequence[Sequence[str]]
    passages: Sequence[Sequence[tuple[str, str, str]]]
    shown: int
    total: int
    missing: int

    def html(self) -> str:
        """Return the <script> elements that hold it."""
        parts = [_script("sheet", self.data)]
        parts += [_script(f"pictures-{i}", chunk) for i, chunk in enumerate(self.pictures)]
        parts += [_script(f"passages-{i}", chunk) for i, chunk in enumerate(self.passages)]
        return "\n".join(parts)


def make_sheet(
    runs: Sequence[Run],
    folders: Sequence[ImageFolder | None],
    lookup: Lookup | None,
    *,
    limit: int = EXAMPLES,
    advance: Advance = lambda done, total: None,
) -> Sheet:
    """Return the examples of some runs.

    Args:
        runs: an example that several were asked alike is one row.
        folders: where the pictures of each run lie; None for none.
        lookup: gives the passages with some ids; None shows ids alone.
        limit: only so many examples, evenly spread.
        advance: told how many pictures are done.
    """
    rows = _rows(runs)
    chosen = spread(rows, limit)
    passages: dict[str, int] = {}
    views = [(i, condition) for i, run in enumerate(runs) for condition in run.conditions]
    found = [run.found() for run in runs]
    said = [run.said() for run in runs]
    columns = [
        _column(runs[i], condition, found[i], said[i], chosen, i, passages)
        for i, condition in views
    ]
    numbers: dict[tuple[int, str], int] = {}  # of a picture: its run's folder and its name
    for row, of_run in chosen:
        if row.image:
            numbers.setdefault((of_run, row.image), len(numbers))
    drawn = _thumbnails(folders, list(numbers), advance)
    data = {
        "views": [
            {
                "run": runs[i].name,
                "condition": condition,
                "metric": runs[i].results.judged_by or runs[i].results.headline,
            }
            for i, condition in views
        ],
        "rows": [
            [
                row.id,
                row.question,
                list(row.answers[:8]),
                [f"{name}: {value}" for name, value in row.groups.items()],
                numbers[of_run, row.image] if row.image else -1,
                list(row.gold_passage_ids[:8]),
            ]
            for row, of_run in chosen
        ],
        "columns": columns,
        "chunk": _CHUNK,
    }
    return Sheet(
        data=data,
        pictures=_chunks(drawn),
        passages=_chunks(_texts(list(passages), lookup)),
        shown=len(chosen),
        total=len(rows),
        missing=sum(not uri for uri in drawn),
    )


def thumbnail(image: Image.Image, side: int, most_bytes: int) -> bytes:
    """Return a picture as WebP, no side longer than `side` pixels and, if that can be, no more
    than so many bytes.
    """
    small = image.convert("RGB")
    small.thumbnail((side, side))
    data = b""
    for quality in (70, 45, 20):
        written = io.BytesIO()
        small.save(written, "WEBP", quality=quality, method=2)
        data = written.getvalue()
        if len(data) <= most_bytes:
            break
    return data


def embedded(value: object) -> str:
    """Return JSON that ends no <script> element and is no markup, whatever is in it."""
    text = json_text(value)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _script(name: str, value: object) -> str:
    return f'<script type="application/json" id="{name}">{embedded(value)}</script>'


def _rows(runs: Sequence[Run]) -> list[tuple[ExampleRow, int]]:
    """Return the examples of all runs, each with the first run that has it."""
    rows: dict[str, list[tuple[ExampleRow, int]]] = {}
    for i, run in enumerate(runs):
        for row in run.examples.values():
            there = rows.setdefault(row.id, [])
            if not any(asked_alike(row, other) for other, _ in there):
                there.append((row, i))
    return [pair for pairs in rows.values() for pair in pairs]


def _column(
    run: Run,
    condition: Condition,
    found: Mapping[str, RetrievalRow],
    said: Mapping[tuple[Condition, str], AnswerRow],
    chosen: Sequence[tuple[ExampleRow, int]],
    of_run: int,
    passages: dict[str, int],
) -> list[Any]:
    """Return what became of each row under a condition of a run; None where it was not asked."""
    column: list[Any] = []
    metric = run.results.judged_by or run.results.headline
    for row, first in chosen:
        mine = run.examples.get(row.id)
        score = run.scores.get((condition, row.id))
        if mine is None or score is None or (first != of_run and not asked_alike(mine, row)):
            column.append(None)
            continue
        answer = said.get((condition, row.id))
        hits = _hits(condition, mine, found.get(row.id), answer)
        column.append(
            [
                score.fate,
                score.status if answer is not None or score.status == "failed" else "",
                answer.text if answer is not None else "",
                score.scores.get(metric),
                answer.confidence if answer is not None else None,
                score.reason or (answer.reason if answer is not None else ""),
                [[passages.setdefault(id_, len(passages)), s, f] for id_, s, f in hits],
            ]
        )
    return column


def _hits(
    condition: Condition,
    example: ExampleRow,
    found: RetrievalRow | None,
    answer: AnswerRow | None,
) -> list[tuple[str, float | None, int]]:
    """Return (passage id, score, flags) of what was found, or else of what was read."""
    read = answer.read if answer is not None else ()
    cited = answer.citations if answer is not None else ()
    listed: list[tuple[str, float | None]] = [(id_, None) for id_ in read]
    if condition == "retrieved":
        listed = list(found.hits) if found is not None else []
    return [
        (
            id_,
            score,
            _GOLD * (id_ in example.gold_passage_ids)
            | _READ * (id_ in read)
            | _CITED * (id_ in cited),
        )
        for rank, (id_, score) in enumerate(listed)
        # A gold passage further down says where it was lost.
        if rank < HITS or id_ in read or id_ in example.gold_passage_ids
    ][: 2 * HITS]


def _texts(ids: Sequence[str], lookup: Lookup | None) -> list[tuple[str, str, str]]:
    found: dict[str, Passage] = {}
    for start in range(0, len(ids) if lookup is not None else 0, 256):
        assert lookup is not None
        found |= {passage.id: passage for passage in lookup(ids[start : start + 256])}
    rows = []
    for id_ in ids:
        passage = found.get(id_)
        text = passage.text if passage is not None else ""
        if len(text) > PASSAGE_CHARACTERS:
            text = text[:PASSAGE_CHARACTERS].rstrip() + " …"
        rows.append((id_, passage.title if passage is not None else "", text))
    return rows


def _thumbnails(
    folders: Sequence[ImageFolder | None], wanted: Sequence[tuple[int, str]], advance: Advance
) -> list[str]:
    """Return the pictures as data URIs; "" for one that is not there or cannot be read."""
    if not wanted:
        return []
    each = PICTURE_BYTES // len(wanted)
    side = next((s for s in _SIDES if s * s // 7 <= each), _SIDES[-1])

    def draw(name: tuple[int, str]) -> str:
        folder = folders[name[0]]
        path = folder.find(name[1]) if folder is not None else None
        if path is None:
            return ""
        try:
            data = thumbnail(load_image(path), side, each)
        except KbvqaError:
            return ""
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}"

    for folder in folders:
        if folder is not None:
            folder.find_all(name for _, name in wanted)  # iNaturalist's list is read once
    drawn = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, uri in enumerate(pool.map(draw, wanted), start=1):
            drawn.append(uri)
            advance(done, len(wanted))
    return drawn


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]


def images_of(run: Run) -> Path | None:
    """Return where a run's pictures lay, as it recorded; None where it did not."""
    recorded = run.results.provenance.settings.get("images")
    return Path(recorded) if isinstance(recorded, str) else None
