"""The rows of a run to its results, with how they came about."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.figures import CostTally, Tally
from app.evaluation.files.json_rows import examples_sha256
from app.evaluation.files.resumable import ResumableRows, read_record
from app.evaluation.record import (
    ANSWERS_NAME,
    RETRIEVAL_NAME,
    SCORES_NAME,
    AnswerRow,
    Condition,
    Provenance,
    Results,
    RetrievalRow,
    ScoreRow,
    StageRecord,
)
from corpus.types import Example

# What stands elsewhere in the results, and what only says which rows will do.
_NO_SETTINGS = ("stages", "seed", "search")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a run's stages; None where there is no such stage."""

    found: ResumableRows[RetrievalRow] | None
    said: ResumableRows[AnswerRow] | None
    scored: ResumableRows[ScoreRow]


def groups_of(example: Example) -> dict[str, str]:
    """Return what figures are also given by: the example's question type, split and kind."""
    names = {"question_type": "question_type", "data_split": "split", "kind": "kind"}
    return {
        group: str(value) for name, group in names.items() if (value := getattr(example, name, ""))
    }


def results_of(
    benchmark: Benchmark, out: Path, rows: Rows, *, settings: Mapping[str, Any], missing: int
) -> Results:
    """Return the results of a run whose last stage is done.

    Args:
        benchmark: what was measured on.
        out: the directory of the run.
        rows: of its stages.
        settings: how it was run, as JSON.
        missing: pictures that are not there.
    """
    groups = {e.id: names for e in benchmark.examples if (names := groups_of(e))}
    tally, costs = Tally(groups, benchmark.judged_by), CostTally()
    for scored in rows.scored.values():
        tally.add(scored)
    search: Counter[str] = Counter()
    absent = 0
    for example in benchmark.examples if rows.found is not None else ():
        if rows.found is not None and (found := rows.found.get(example.id)) is not None:
            costs.add_found(found)
            search.update([found.search] if found.search else [])
            absent += bool(example.gold_passage_ids and not found.gold_in_corpus)
    empty: Counter[Condition] = Counter()
    predictions: dict[str, str] = {}
    wanted = ((c, e.id) for c in settings["conditions"] for e in benchmark.examples)
    for name in wanted if rows.said is not None else ():
        # Answers that are not asked for now stand in the file too.
        if rows.said is None or (said := rows.said.get(name)) is None:
            continue
        costs.add_said(said)
        if said.status != "failed":
            empty[said.condition] += not said.text
            if benchmark.summary and said.condition == settings["conditions"][0]:
                predictions[said.id] = said.text
    summary: Mapping[str, Any] = {}
    if rows.said is not None and benchmark.summary is not None:
        summary = benchmark.summary(predictions, benchmark.examples)
    return Results(
        benchmark=benchmark.name,
        headline=benchmark.headline,
        judged_by=benchmark.judged_by if rows.said is not None else "",
        n=len(benchmark.examples),
        figures=tally.figures(settings["seed"]),
        outcomes=tally.outcomes(empty),
        cost=costs.costs(),
        search=dict(search),
        gold_not_in_corpus=absent,
        missing_images=missing,
        summary=summary,
        notes=benchmark.notes,
        provenance=provenance_of(benchmark, out, rows, settings, search),
        examples_sha256=examples_sha256(out),
    )


def provenance_of(
    benchmark: Benchmark,
    out: Path,
    rows: Rows,
    settings: Mapping[str, Any],
    search: Iterable[str],
) -> Provenance:
    """Return how figures came about, as run.json has it of each stage; as for `results_of`.

    Args:
        search: the ways in which rows were searched, as they say.
    """
    found = read_record(out / RETRIEVAL_NAME) if rows.found is not None else {}
    if searched := " and ".join(sorted(search)):
        found["search"] = searched
    said = read_record(out / ANSWERS_NAME) if rows.said is not None else {}
    sections = {"retrieve": found, "answer": said, "score": read_record(out / SCORES_NAME)}
    stages: dict[str, StageRecord] = {}
    for name, section in sections.items():
        if (record := section.pop("stage", None)) is not None:
            stages[name] = StageRecord(**{**record, "gpus": tuple(record["gpus"])})
    return Provenance(
        index=found.pop("index", None),
        corpus=found.pop("corpus", None),
        retrieval=found or None,
        prompts=said.pop("prompts", {}),
        server=said.pop("server", ""),
        judging=said.pop("judging", None),
        answers=said or None,
        scoring=benchmark.scoring or benchmark.headline,
        settings={k: v for k, v in settings.items() if k not in _NO_SETTINGS},
        seeds={"bootstrap": settings["seed"]},
        stages=stages,
    )
