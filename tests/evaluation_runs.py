"""Finished runs as `kbvqa evaluate run` leaves them, of made-up rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from app.evaluation.figures import CostTally, Tally
from app.evaluation.files.json_rows import as_json, json_text
from app.evaluation.record import (
    ANSWERS_NAME,
    EXAMPLES_NAME,
    RESULTS_NAME,
    RETRIEVAL_NAME,
    SCORES_NAME,
    AnswerRow,
    ExampleRow,
    Provenance,
    Results,
    RetrievalRow,
    ScoreRow,
    StageRecord,
)

HOSTILE = '</script><img src=x onerror="window.hurt=1"><b>&amp;'
_FATES = ("right", "not retrieved", "retrieved and not read", "read and scored wrong")


def examples(n: int, pictures: int = 0) -> list[ExampleRow]:
    """Return questions about numbered things, each with one gold passage."""
    return [
        ExampleRow(
            id=f"q{i}",
            image=f"{i % pictures}.png" if pictures else "",
            question=f"What is thing {i} called?",
            answers=(f"thing {i}",),
            searched=(f"thing {i}",),
            gold_passage_ids=(f"p{i}",),
            groups={"question_type": ("templated", "automatic")[i % 2]},
        )
        for i in range(n)
    ]


def write_run(
    folder: Path,
    rows: Sequence[ExampleRow],
    right: Sequence[float],
    *,
    benchmark: str = "mine",
    settings: Mapping[str, object] | None = None,
    generator: str = "reader",
    confidence: bool = True,
    passages: int = 8_500,
    answers: bool = True,
) -> Path:
    """Write a run in which each example scores what `right` says; return its folder."""
    found, said, scored = [], [], []
    for i, (row, value) in enumerate(zip(rows, right, strict=True)):
        fate = "right" if value >= 0.5 else _FATES[1 + i % 3]
        hits = [("other", 20.5), (row.gold_passage_ids[0], 19.0), ("third", 18.0)]
        if fate == "not retrieved":
            hits.pop(1)
        found.append(RetrievalRow(row.id, "k", tuple(hits), "exact", encode_ms=3.0, search_ms=1.5))
        scores = {f"recall@{k}": float(fate != "not retrieved" and k > 1) for k in (1, 5, 10)}
        if answers:
            scores["exact_match"] = value
            read = () if fate == "retrieved and not read" else (row.gold_passage_ids[0],)
            text = row.answers[0] if value >= 0.5 else "something else"
            sure = round(0.35 + 0.5 * value + 0.1 * (i % 3), 4) if confidence else None
            said.append(
                AnswerRow(
                    row.id,
                    "retrieved",
                    "k",
                    text,
                    confidence=sure,
                    read=read,
                    citations=read,
                    prompt_tokens=300,
                    completion_tokens=4,
                    seconds=0.2 + i % 7 / 50,
                )
            )
        else:
            fate = "retrieved" if fate != "not retrieved" else fate
        scored.append(ScoreRow(row.id, "retrieved", "k", scores, fate))
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        EXAMPLES_NAME: rows, RETRIEVAL_NAME: found, ANSWERS_NAME: said, SCORES_NAME: scored,
    }  # fmt: skip
    for name, listed in files.items():
        text = "".join(json_text(as_json(row)) + "\n" for row in listed)
        (folder / name).write_text(text, encoding="utf-8")
    judged_by = "exact_match" if answers else ""
    tally, costs = Tally({row.id: row.groups for row in rows}, judged_by), CostTally()
    for score in scored:
        tally.add(score)
    for hit in found:
        costs.add_found(hit)
    for answer in said:
        costs.add_said(answer)
    stage = StageRecord(
        "2026-01-01T00:00:00", 2.0, len(rows), len(rows) / 2, "kbvqa evaluate run", "abc",
        {"torch": "2"}, "AMD EPYC, 2 cores", (),
    )  # fmt: skip
    results = Results(
        benchmark=benchmark,
        headline=judged_by or "recall@5",
        judged_by=judged_by,
        n=len(rows),
        figures=tally.figures(0),
        outcomes=tally.outcomes({}),
        cost=costs.costs(),
        search={"exact": len(rows)},
        gold_not_in_corpus=0,
        missing_images=0,
        summary={},
        notes=("made up",),
        provenance=Provenance(
            retrieval={"checkpoint": "mini@1"},
            index=None,
            corpus={"name": "passages", "sha256": "ab", "passages": passages},
            answers={"generator": {"name": generator}, "plan": {"strategy": "concat"}},
            prompts={"concat-v1": "12"},
            server="",
            judging=None,
            scoring="exact_match",
            settings=settings or {},
            seeds={"bootstrap": 0},
            stages={"retrieve": stage, "answer": stage} if answers else {"retrieve": stage},
        ),
    )
    (folder / RESULTS_NAME).write_text(json_text(as_json(results)), encoding="utf-8")
    return folder


def draw_pictures(folder: Path, n: int, side: int = 240) -> Path:
    """Draw coloured pictures with some texture, 0.png and so on; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        small = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(
            folder / f"{i}.png"
        )
    return folder
