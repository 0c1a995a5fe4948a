"""The learned candidate stage beside the means, in one index: recall, CPU time, bytes, drift.

python -m benchmarks.search.learned FOLDER SIZE WORK OUT.json [--rows 56] [--queries 30]

FOLDER is one that `benchmarks.search prepare` wrote, with fit.npz: rows of questions on pictures of
vendors that are not among the queries. What is found is held against MaxSim of all passages, of all
queries in one reading of them, CPU times against the engine's own exact scan. A table goes to
OUT.md. An index that is too small to learn by itself learns here.

Shapes: N passages · R rows of all queries · H queries
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.search.data import Rows, fit_queries, passages, queries
from benchmarks.search.engines import DIM, encode, named
from retriever.encoding.ahead import windows
from retriever.engines import candidates as stages
from retriever.engines.learned import LearnedStage, maxima, stage_of
from retriever.index.foreign import Foreign
from retriever.index.passage_index import Fingerprint, Learning, PassageIndex
from retriever.index.search import SearchMode, search_engine
from retriever.index.writing import write_corpus

FITTED = 640  # queries that a stage is fitted on
TOP_K = 10
CANDIDATES = {"learned": (100, 200, 400, 800), "means": (400,)}
_AT_ONCE = 256  # passages

app = typer.Typer(help=__doc__, rich_markup_mode=None)


def build(folder: Path, size: int, location: Path) -> dict[str, float]:
    """Build an index that learns; return the CPU seconds of writing and of finishing.

    One that was stopped goes on, also to another number of passages, and of one that is finished
    nothing is done: the seconds are those of this call.
    """
    made_from = Fingerprint("bench", "c", "bench", "d", passages=size, dim=DIM)
    if location.exists() and PassageIndex.finished(location, made_from):
        return {}
    stages.LEARNED_FROM = min(stages.LEARNED_FROM, size)
    began = time.process_time()
    with PassageIndex.update(location, made_from) as index:
        write_corpus(index, named(passages(folder, size)), encode)
        written = time.process_time()
        index.finish(learning=Learning(fit_queries(folder)))
    return {"write": written - began, "finish": time.process_time() - written}


def best_passages(folder: Path, size: int, asked: list[Rows]) -> list[list[str]]:
    """Return for each query the ids of the passages with the highest MaxSim, as they are kept."""
    rows, starts_H = np.concatenate(asked), np.cumsum([0, *map(len, asked[:-1])])
    ids = np.empty((0, len(asked)), object)
    scores = np.empty((0, len(asked)), np.float32)
    for batch in windows(passages(folder, size), _AT_ONCE):
        kept = [p_PD.astype(np.float16).astype(np.float32) for _, p_PD in batch]
        scores_NH = np.add.reduceat(maxima(rows, kept), starts_H, axis=1)
        names_NH = np.repeat(np.array([[id_] for id_, _ in batch], object), len(asked), axis=1)
        scores, ids = np.concatenate([scores, scores_NH]), np.concatenate([ids, names_NH])
        best = np.argsort(-scores, axis=0, kind="stable")[:TOP_K]
        scores, ids = np.take_along_axis(scores, best, 0), np.take_along_axis(ids, best, 0)
    return [list(column) for column in ids.T]


def searches(
    index: PassageIndex, folder: Path, rows_of: list[int], counts: list[int], skip: int, scans: int
) -> list[dict[str, Any]]:
    """Return recall and CPU milliseconds by rows of a query, stage and number of candidates.

    Args:
        index: a finished one that has learned.
        folder: of the vectors.
        rows_of: how many rows queries have.
        counts: how many queries of each number of rows.
        skip: how many of the queries are passed over.
        scans: how many of them the engine's own exact scan is timed with.
    """
    assert index.built.learned is not None
    ways = {"learned": stage_of(index.built.learned, DIM), "means": None}
    kinds = [
        queries(folder, count, rows, skip=skip) for rows, count in zip(rows_of, counts, strict=True)
    ]
    every = iter(best_passages(folder, index.count, [q_QD for asked in kinds for q_QD in asked]))
    found = []
    for rows, count, asked in zip(rows_of, counts, kinds, strict=True):
        best = [next(every) for _ in asked]
        _, scan_ms = timed(search(index, None, TOP_K, "exact"), asked[:scans])
        for name, stage in ways.items():
            for candidates in sorted({*CANDIDATES[name], index.candidates}):
                chosen, cpu_ms = timed(search(index, stage, candidates), asked)
                shares = [len({*a} & {*b}) / TOP_K for a, b in zip(best, chosen, strict=True)]
                found.append(
                    {
                        "rows": rows,
                        "stage": name,
                        "candidates": candidates,
                        "n": count,
                        "recall": float(np.mean(shares)),
                        "stderr": float(np.std(shares) / count**0.5),
                        "cpu_ms": cpu_ms,
                        "scan_ms": scan_ms,
                    }
                )
                print(json.dumps(found[-1]), flush=True)
    return found


def search(
    index: PassageIndex,
    stage: LearnedStage | None,
    candidates: int,
    mode: SearchMode = "two-stage",
) -> Callable[[Rows], list[str]]:
    """Return what searches an index with a stage of one's choice."""

    def ids(q_QD: Rows) -> list[str]:
        [hits] = search_engine(
            index._engine,
            [q_QD],
            TOP_K,
            dim=DIM,
            conditions=None,
            mode=mode,
            candidates=candidates,
            learned=stage,
            quantized=False,
            foreign=Foreign(index.location),
        )
        return [hit.passage.id for hit in hits]

    return ids


def timed(
    function: Callable[[Rows], list[str]], asked: list[Rows]
) -> tuple[list[list[str]], float]:
    """Return the answers to queries asked one by one, and the median of their CPU milliseconds."""
    answers, spent = [], []
    for q_QD in asked:
        began = time.process_time()
        answers.append(function(q_QD))
        spent.append(1000 * (time.process_time() - began))
    return answers, statistics.median(spent)


def table(result: dict[str, Any]) -> str:
    """Return the searches as a Markdown table."""
    head = "query rows", "stage", "candidates", "recall@10", "CPU ms", "of the scan", "n"
    lines = [f"| {' | '.join(head)} |", f"| ---: | --- |{' ---: |' * 5}"]
    for s in result["searches"]:
        default = " (default)" * (s["stage"] == "learned" and s["candidates"] == result["default"])
        cells = (
            *(s["rows"], s["stage"], f"{s['candidates']}{default}"),
            f"{s['recall']:.3f} ± {s['stderr']:.3f}",
            *(f"{s['cpu_ms']:.1f}", f"1/{s['scan_ms'] / s['cpu_ms']:.0f}", s["n"]),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


@app.command()
def main(
    folder: Path,
    size: int,
    work: Path,
    out: Path,
    rows: Annotated[list[int], typer.Option(help="Of a query.")] = [56, 113, 320],  # noqa: B006
    asked: Annotated[list[int], typer.Option("--queries", help="For each --rows.")] = [30],  # noqa: B006
    skip: Annotated[int, typer.Option(help="Queries that chose something before.")] = 0,
    scans: Annotated[int, typer.Option(help="Queries for the engine's exact scan.")] = 3,
) -> None:
    """Build what is not built, measure, write JSON and a table."""
    torch.set_num_threads(1)
    location = work / f"learned-{size}"
    seconds = build(folder, size, location)
    with PassageIndex.open(location) as index:
        learned = index.built.learned
        assert learned is not None
        told = {"seconds": seconds, "curve": learned.recall, "n": learned.queries}
        print(json.dumps(told), flush=True)
        result: dict[str, Any] = {"size": size, **told, "default": index.candidates}
        counts = asked * len(rows) if len(asked) == 1 else asked
        result["searches"] = searches(index, folder, rows, counts, skip, scans)
    out.write_text(json.dumps(result, indent=1) + "\n")
    out.with_suffix(".md").write_text(table(result))


if __name__ == "__main__":
    app()
