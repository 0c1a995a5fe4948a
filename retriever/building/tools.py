"""Looking after finished indexes: copying one to another home, and checking one.

Shapes: P passage tokens · D embedding dim
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from corpus.files.text_set import TextSet
from corpus.progress import Advance
from corpus.types import Passage
from retriever.engines.connection import DEFAULT_CONNECTION, QdrantConnection, is_url
from retriever.engines.directory import build_command
from retriever.engines.interface import MEAN, TOKENS, Point, Vector
from retriever.engines.learned import LearnedStage, stage_of
from retriever.engines.record import Storage, content_hash
from retriever.errors import ForeignPoint, IndexNotReady, IndexUnavailable
from retriever.index.builds import directory_of
from retriever.index.passage_index import PassageIndex
from retriever.index.points import CONTENT, CORPUS, ROWS, passage_of
from retriever.index.rows import MAX_ELEMENTS

# How far the norm of a row may be from 1, and a number of it from what was written.
_UNIT_TOLERANCE = {"float32": 1e-2, "float16": 1e-2, "turbo4": 0.2}
_TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "turbo4": 0.25}
# Least squares magnify what a stored row is off.
_MISLED = 0.9
_COPIED_AT_ONCE = 256
_MAX_PROBLEMS = 20


def copy_index(
    source: PassageIndex,
    target: Path | str,
    connection: QdrantConnection = DEFAULT_CONNECTION,
    storage: Storage | None = None,
    advance: Advance = lambda done, total: None,
) -> None:
    """Copy a finished index with its vectors, and compare what arrived with what was there.

    Stopped, the same call goes on.

    Args:
        source: open for searching.
        target: a free place, or the place of a copy that was stopped.
        connection: of the target, if it is on a server.
        storage: how the copy is kept; None for as the source is.
        advance: told how many passages are copied, and of how many.

    Raises:
        ValueError: if the target is the source, or one lies in the other.
        IndexNotReady: if something else is at the target.
        IndexUnavailable: if the source is damaged, or the copy is not the same.
    """
    if _place(target) == _place(source.location):
        raise ValueError(f"{target} is the source itself: name another place")
    if not is_url(target) and not is_url(source.location):
        ours, theirs = Path(_place(source.location)), Path(_place(target))
        if ours in theirs.parents or theirs in ours.parents:
            raise ValueError(f"{target} and the source lie in each other: name another place")
    storage = storage or source.storage
    total = source.count
    try:
        copy = PassageIndex.create_or_resume(
            target,
            source.built.fingerprint,
            storage,
            connection,
            precisions=source.built.precisions,
            namespace=source.built.ids_of,
            learned=source.built.learned,
            added=source.built.others,
        )
    except IndexNotReady as exc:
        raise IndexNotReady(f"{_another(target)} ({exc})") from exc
    with copy:
        there_already = copy.complete
        if not copy.complete:
            for done, points in _pages(source):
                passages = [_whole(source, point, target) for point in points]
                present = copy.content_hashes([passage.id for passage in passages])
                missing = [
                    (passage, point)
                    for passage, point in zip(passages, points, strict=True)
                    if present.get(passage.id) != point.payload[CONTENT]
                ]
                copy.upsert(
                    [passage for passage, _ in missing],
                    [_unit(point.vectors[TOKENS]) for _, point in missing],
                    [point.payload.get(CORPUS, "") for _, point in missing],
                )
                advance(done, total)
            copy.finish(skipped=source.built.skipped, kept=source.built.kept)
        try:
            _compare(source, copy)
        except IndexUnavailable as exc:
            if there_already:
                raise IndexNotReady(_another(target)) from exc
            raise


def _whole(source: PassageIndex, point: Point, target: Path | str) -> Passage:
    """Return the passage of a point that is as it was written.

    Raises:
        IndexUnavailable: it is damaged.
        ForeignPoint: something else has written it, on a server.
    """
    try:
        passage = passage_of(point)
        problem = _problem(point, source.fingerprint.dim, _UNIT_TOLERANCE[source.storage.tokens])
        wrong = f"passage {passage.id!r} {problem}" if problem else ""
    except ForeignPoint:
        if is_url(source.location):
            raise
        wrong = f"the point {point.id} has lost its passage"
    if wrong:
        built = source.built
        anew = build_command(source.location, built.fingerprint, source.storage, swap=True)
        raise IndexUnavailable(
            f"the index at {source.location} is damaged: {wrong}. `kbvqa index verify` says what "
            f"else is. Take a backup in its place, or build it anew with {anew}; remove {target}, "
            "which is a part of a copy"
        )
    return passage


def verify_index(index: PassageIndex, advance: Advance = lambda done, total: None) -> list[str]:
    """Return what is wrong with an index, at most twenty problems; nothing if all is well.

    A server must have optimised it. Every point is read: its rows must be a matrix of the index's
    dim with unit norms, its mean theirs, its payload a passage with the hash and the number of rows
    that it states. Passages must be as many as the record says, each once.
    """
    problems = [problem for problem in [index.state] if problem]
    ids, total = TextSet(), index.built.passages
    tolerance = _UNIT_TOLERANCE[index.storage.tokens]
    learned = index.built.learned
    stage = None if learned is None else stage_of(learned, index.fingerprint.dim)
    done = 0
    for done, point in enumerate(index.points(), start=1):
        if wrong := _wrong(point, ids, index.fingerprint.dim, tolerance, stage):
            problems.append(wrong)
        if len(problems) == _MAX_PROBLEMS:
            return problems
        if done % 1000 == 0:
            advance(done, total)
    advance(done, total)
    if done != total:
        problems.append(f"it holds {done:,} passages, but its record says {total:,}")
    if index.count != done:
        problems.append(f"it counts {index.count:,} passages, but {done:,} can be read")
    return problems


def _wrong(
    point: Point, ids: TextSet, dim: int, tolerance: float, stage: LearnedStage | None
) -> str:
    """Return what is wrong with a point, as a sentence that names it, or ""; notes its id."""
    try:
        passage = passage_of(point)
    except ForeignPoint as exc:
        return str(exc)
    problem = _problem(point, dim, tolerance) or _misled(point, stage)
    if not problem and not ids.add(passage.id):
        problem = "is there twice"
    return f"passage {passage.id!r} (point {point.id}) {problem}" if problem else ""


def _problem(point: Point, dim: int, tolerance: float) -> str:
    """Return what is wrong with a point, or ""."""
    p_PD, mean = point.vectors.get(TOKENS), point.vectors.get(MEAN)
    if p_PD is None or p_PD.ndim != 2 or p_PD.shape[1] != dim or p_PD.size >= MAX_ELEMENTS:
        return f"has rows of shape {None if p_PD is None else p_PD.shape}, expected [P, {dim}]"
    off = np.abs(np.linalg.norm(p_PD, axis=1) - 1)
    if not (off <= tolerance).all():
        return f"has a row of norm {np.linalg.norm(p_PD, axis=1)[off.argmax()]:.3f}, expected 1"
    if mean is None or mean.shape != (dim,):
        return "has no mean"
    expected = p_PD.mean(axis=0)
    cosine = float(mean @ expected) / float(np.linalg.norm(mean) * np.linalg.norm(expected) + 1e-9)
    if cosine < 1 - tolerance:
        return f"has a mean that is not the mean of its rows (cosine {cosine:.3f})"
    if point.payload.get(ROWS) != len(p_PD):
        return f"has {len(p_PD)} rows, but says that it has {point.payload.get(ROWS)}"
    if point.payload.get(CONTENT) != content_hash(passage_of(point)):
        return "has another text than its hash says"
    return ""


def _misled(point: Point, stage: LearnedStage | None) -> str:
    """Return what is wrong with a point's learned vector, or ""."""
    if stage is None:
        return ""
    vector = point.vectors.get(stage.using)
    [expected] = stage.passage_vectors([point.vectors[TOKENS]])
    if vector is None or vector.shape != expected.shape:
        return "has no learned vector: searches do not find it"
    norms = float(np.linalg.norm(vector) * np.linalg.norm(expected))
    cosine = float(vector @ expected) / max(norms, 1e-9)
    if not cosine >= _MISLED:
        return f"has a learned vector that is not its own (cosine {cosine:.3f})"
    return ""


def _compare(source: PassageIndex, copy: PassageIndex) -> None:
    """Raise IndexUnavailable where a copy differs from its source."""
    tolerance = _TOLERANCE[copy.storage.tokens]
    for ours, theirs in zip(source.points(), copy.points(), strict=False):
        same = ours.id == theirs.id and ours.payload == theirs.payload
        rows, copied = _unit(ours.vectors[TOKENS]), theirs.vectors[TOKENS]
        if not same or rows.shape != copied.shape or np.abs(rows - copied).max() > tolerance:
            raise IndexUnavailable(
                f"the copy at {copy.location} differs at passage {passage_of(ours).id!r}: "
                "remove it and copy again"
            )
    if source.count != copy.count:
        raise IndexUnavailable(
            f"the copy at {copy.location} has {copy.count:,} of {source.count:,} passages: "
            "run the same command again"
        )


def _another(target: Path | str) -> str:
    return f"{target} holds another index, which stays as it is: give a free place for the copy"


def _place(location: Path | str) -> str:
    return str(location).rstrip("/") if is_url(location) else str(directory_of(location).resolve())


def _unit(p_PD: Vector) -> Vector:
    """Return rows at norm 1 again: the less precise they are stored, the more they are off."""
    rows: Vector = p_PD / np.linalg.norm(p_PD, axis=1, keepdims=True)
    return rows


def _pages(index: PassageIndex) -> Iterator[tuple[int, list[Point]]]:
    """Yield points in lists, with the number of points so far."""
    page: list[Point] = []
    done = 0
    for done, point in enumerate(index.points(), start=1):
        page.append(point)
        if len(page) == _COPIED_AT_ONCE:
            yield done, page
            page = []
    if page:
        yield done, page
