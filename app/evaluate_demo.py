"""Measuring kbvqa-mini on the demo benchmark, and writing down what came out.

One run gives the retrieval figures by kind of picture, the same questions without
their pictures, the answers with and without retrieval, and the threshold for "not sure".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.benchmarks import Benchmark, own_scores, spread
from app.evaluate import ROWS_NAME, evaluate
from app.indexing import Advance, Say
from app.pipeline import Pipeline
from app.resumable import NUMBER, Shape, fits, read_rows
from app.tables import percent, table
from corpus.benchmarks.demo import demo_examples
from corpus.demo import demo_dir
from corpus.types import Example
from generator.extractive.reader import ExtractiveReader

# Of a line of examples.jsonl, what says whether the best passage is right.
_SCORED: Shape = {"hits": [[str | NUMBER]], "scores": {"recall@1": NUMBER}}
FIGURES = ("recall@1", "recall@5", "recall@10", "pseudo_recall@5", "exact_match", "contains")


def evaluate_demo(
    pipeline: Pipeline, out: Path, say: Say, advance: Advance, *, answer: bool, short_n: int = 120
) -> dict[str, dict[str, Any]]:
    """Return the results of every part by its title, and write report.md to `out`.

    Args:
        pipeline: with an index of the demo corpus, and with a generator if `answer`.
        out: a directory; a run that stopped goes on from there.
        say: told which part is running.
        advance: told how far it is.
        answer: whether answers are measured too.
        short_n: how many short-answer questions are asked.

    Raises:
        GeneratorError: the generator would not answer.
        InvalidSettings: `out` holds another run.
        TooManyFailures: so many questions in a row failed that the rest was left.
    """
    if answer and pipeline.generator is not None:
        pipeline.generator.health()  # before all the retrieval, not behind it
    flags = demo_examples("flag", per_picture=2)
    emoji = demo_examples("emoji", per_picture=2)
    parts: dict[str, tuple[Sequence[Example], dict[str, bool]]] = {
        "Flags (Noto, waved, 64 px)": (flags, {"answer": False}),
        "Emoji (Noto)": (emoji, {"answer": False}),
        "Flags, question only": (_without_pictures(flags), {"answer": False}),
        "Emoji, question only": (_without_pictures(emoji), {"answer": False}),
    }
    if answer:
        short = spread(demo_examples("flag", per_picture=1, seed=1, short=True), short_n)
        parts["Short answers, with retrieval"] = (short, {})
        if not isinstance(pipeline.generator, ExtractiveReader):  # which reads passages alone
            parts["Short answers, without retrieval"] = (short, {"retrieval": False})
    results = {}
    for title, (examples, switches) in parts.items():
        say(title)
        folder = out / title.lower().replace(",", "").replace(" ", "-")
        benchmark = Benchmark(f"demo: {title}", examples, own_scores)
        results[title] = evaluate(
            pipeline,
            benchmark,
            demo_dir(),
            folder,
            retrieval=switches.get("retrieval", True),
            answer=switches.get("answer", True),
            advance=advance,
        )
    (out / "report.md").write_text(report(results), encoding="utf-8")
    return results


def calibrate(out: Path) -> dict[str, float]:
    """Return the best-score threshold under which an answer is "not sure", with its quality.

    Of all thresholds, the one at which the share of right top passages kept plus the
    share of wrong ones flagged is greatest, over pictures with their questions and
    questions alone. Reads what `evaluate_demo` wrote.
    """
    scored: list[tuple[float, bool]] = []
    # The short-answer parts ask about the same flags again.
    parts = [p for p in sorted(out.glob(f"*/{ROWS_NAME}")) if "short" not in p.parent.name]
    for path in parts:
        for _, row in read_rows(path):
            if fits(row, _SCORED) and row["hits"]:
                scored.append((row["hits"][0][1], row["scores"]["recall@1"] == 1.0))
    right = sorted(score for score, good in scored if good)
    wrong = sorted(score for score, good in scored if not good)

    def quality(threshold: float) -> float:
        kept = sum(score >= threshold for score in right) / len(right)
        flagged = sum(score < threshold for score in wrong) / len(wrong)
        return kept + flagged

    best = max((score for score, _ in scored), key=quality)
    return {
        "unsure_below": round(best, 3),
        "right_kept": round(sum(s >= best for s in right) / len(right), 4),
        "wrong_flagged": round(sum(s < best for s in wrong) / len(wrong), 4),
        "n_right": len(right),
        "n_wrong": len(wrong),
    }


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table, percent with standard errors."""
    rows = [
        (title, *(percent(result, name) for name in FIGURES), str(result["n"]))
        for title, result in results.items()
    ]
    run = next(iter(results.values()))["run"]
    made = f"{run['checkpoint']} over {run['passages']:,} passages ({run['corpus']})."
    return "\n".join([*table(("pictures", *FIGURES, "n"), rows), made]) + "\n"


def _without_pictures(examples: Sequence[Example]) -> list[Example]:
    return [replace(example, image="") for example in examples]
