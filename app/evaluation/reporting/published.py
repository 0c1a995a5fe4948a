"""Published figures, each put only beside a figure of ours that was measured the same way.

published.json has them with their source and grade. A protocol is the benchmark and split, which of
its questions, what the generator was given, and the knowledge base. Of a figure that is measured
otherwise `published_beside` says what differs.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from app.evaluation.record import Condition, Figure, Results

# Where a figure was read: the authors' own README or the text of a paper stand as they are; a note
# of a third party and a leaderboard are second-hand.
Grade = Literal["readme", "paper", "third-party", "leaderboard"]
_GRADES: Mapping[Grade, str] = {
    "readme": "authors' README",
    "paper": "paper",
    "third-party": "second-hand: third party",
    "leaderboard": "second-hand: leaderboard",
}
_NAME = re.compile(r"(?P<benchmark>[^/]+)/(?P<split>[^:+\[]+)(?P<subset>.*)")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a figure was measured.

    Attributes:
        benchmark: its name here.
        split: of it.
        subset: which of its questions; "" for all.
        group: of the figure, such as "split=val_unseen_entity"; "" for all.
        condition: what the generator was given.
        questions: how many; None where that is not stated.
        knowledge_base: in words.
        passages: between how many it has; None where it is not known which it is.
    """

    benchmark: str
    split: str
    subset: str
    group: str
    condition: Condition
    questions: int | None
    knowledge_base: str
    passages: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A published figure.

    Attributes:
        system: what was measured.
        grade: what kind of source it has.
        source: where it stands.
        protocol: how it was measured.
        metric: by its official name.
        value: in percent.
        note: what else a reader must know; "" for nothing.
    """

    system: str
    grade: Grade
    source: str
    protocol: Protocol
    metric: str
    value: float
    note: str

    @property
    def source_text(self) -> str:
        """Return the source and its grade; whatever is not first-hand says so."""
        return f"{self.source} ({_GRADES[self.grade]})"


@dataclass(frozen=True, slots=True)
class Beside:
    """A published figure beside ours of the same protocol."""

    ours: Figure
    mark: Mark


@dataclass(frozen=True, slots=True)
class Apart:
    """A published figure on the same benchmark that is not comparable, and why."""

    mark: Mark
    reasons: tuple[str, ...]


@cache
def published() -> tuple[Mark, ...]:
    """Return all figures of published.json."""
    data = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
    protocols = {name: _protocol(found) for name, found in data["protocols"].items()}
    return tuple(Mark(**{**m, "protocol": protocols[m["protocol"]]}) for m in data["marks"])


def published_beside(results: Results) -> tuple[list[Beside], list[Apart]]:
    """Return the published figures on a run's benchmark: the comparable ones, and the others.

    Args:
        results: of a run.
    """
    beside: list[Beside] = []
    apart: list[Apart] = []
    name = _NAME.fullmatch(results.benchmark)
    for mark in published():
        if name is None or mark.protocol.benchmark != name["benchmark"]:
            continue
        ours = results.find(mark.metric, mark.protocol.condition, mark.protocol.group)
        reasons = tuple(_reasons(results, mark, name, ours))
        if reasons or ours is None:
            apart.append(Apart(mark, reasons))
        else:
            beside.append(Beside(ours, mark))
    return beside, apart


def _reasons(
    results: Results, mark: Mark, name: re.Match[str], ours: Figure | None
) -> Iterator[str]:
    """Yield what differs between a published figure and a run."""
    theirs = mark.protocol
    if name["split"] != theirs.split:
        yield f"split {theirs.split}, not {name['split']}"
    if theirs.subset:
        yield f"of {theirs.subset}"
    if name["subset"] and not theirs.subset:
        yield f"of all questions, not {name['subset']}"
    elif ours is not None and _other_number(theirs.questions, ours.n):
        yield f"{theirs.questions:,} questions, not {ours.n:,}"
    if ours is None:
        given = "" if theirs.condition == "retrieved" else f" under {theirs.condition!r}"
        yield f"this run has no {mark.metric}{given}"
    if theirs.condition == "none":
        return
    if theirs.passages is None:
        yield f"knowledge base: {theirs.knowledge_base}"
        return
    corpus = results.provenance.corpus or {}
    count, low, high = corpus.get("passages"), *theirs.passages
    if count is None:
        yield f"knowledge base: {theirs.knowledge_base}, not none"
    elif not low <= count <= high:
        yield f"knowledge base: {theirs.knowledge_base}, not {count:,} passages"


def _other_number(theirs: int | None, ours: int) -> bool:
    # A few questions have no answer that can be looked for.
    return theirs is not None and abs(ours - theirs) > theirs // 100


def _protocol(found: Mapping[str, Any]) -> Protocol:
    passages = found["passages"]
    return Protocol(**{**found, "passages": passages and tuple(passages)})
