"""Measuring kbvqa-mini on the demo benchmark, and writing down what came out.

One run gives the retrieval figures by kind of picture, the same questions without
their pictures, the answers with and without retrieval, and the threshold for "not sure".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.errors import InvalidSettings
from app.evaluation.benchmarks.benchmark import own_benchmark
from app.evaluation.benchmarks.catalog import spread
from app.evaluation.files.json_rows import read
from app.evaluation.record import (
    CONDITIONS,
    RETRIEVAL_NAME,
    SCORES_NAME,
    Condition,
    Results,
    RetrievalRow,
    ScoreRow,
)
from app.evaluation.run import Options, evaluate
from app.evaluation.stages.tell import Tell
from app.evaluation.tables import table
from app.evaluation.trust.figures import half_of
from app.pipeline import Pipeline
from corpus.benchmarks.demo import demo_examples
from corpus.demo.data import demo_dir
from corpus.types import Example
from generator.extractive.reader import ExtractiveReader
from retriever.building.build import Say

FIGURES = ("recall@1", "recall@5", "recall@10", "pseudo_recall@5", "exact_match", "contains")


def evaluate_demo(
    pipeline: Pipeline, out: Path, say: Say, tell: Tell, *, answer: bool, short_n: int = 120
) -> dict[str, Results]:
    """Return the results of every part by its title, and write report.md to `out`.

    Args:
        pipeline: with an index of the demo corpus, and with a generator if `answer`.
        out: a directory; a run that stopped goes on from there.
        say: told which part is running.
        tell: told how far it is.
        answer: whether answers are measured too.
        short_n: how many short-answer questions are asked.

    Raises:
        GeneratorError: the generator would not answer.
        InvalidSettings: `out` holds another run.
        TooManyFailures: so many questions in a row failed that the rest was left.
    """
    if answer and pipeline.generator is not None:
        pipeline.generator.health()  # before the parts that are retrieval alone
    flags = demo_examples("flag", per_picture=2)
    emoji = demo_examples("emoji", per_picture=2)
    parts: dict[str, tuple[Sequence[Example], tuple[Condition, ...]]] = {
        "Flags (Noto, waved, 64 px)": (flags, ()),
        "Emoji (Noto)": (emoji, ()),
        "Flags, question only": (_without_pictures(flags), ()),
        "Emoji, question only": (_without_pictures(emoji), ()),
    }
    if answer:
        short = spread(demo_examples("flag", per_picture=1, seed=1, short=True), short_n)
        parts["Short answers, with retrieval"] = (short, ("retrieved",))
        if not isinstance(pipeline.generator, ExtractiveReader):  # which reads passages alone
            parts["Short answers, without retrieval"] = (short, ("none",))
    results = {}
    for title, (examples, conditions) in parts.items():
        folder = out / title.lower().replace(",", "").replace(" ", "-")
        options = Options(conditions=conditions)
        benchmark = own_benchmark(f"demo: {title}", examples)
        result = evaluate(pipeline, benchmark, demo_dir(), folder, options, say=say, tell=tell)
        assert result is not None, "all stages are run"
        results[title] = result
    (out / "report.md").write_text(report(results), encoding="utf-8")
    return results


def calibrate(out: Path) -> dict[str, float]:
    """Return the best-score threshold under which an answer is "not sure", and what it is worth.

    Of all thresholds, the one at which the share of right top passages kept plus the share of
    wrong ones flagged is greatest, over pictures with their questions and questions alone. It is
    chosen on one half of the pictures; what it keeps and flags is counted on the other. Reads what
    `evaluate_demo` wrote.

    Raises:
        InvalidSettings: in one of the halves nothing, or everything, is right.
    """
    halves: tuple[list[tuple[float, bool]], list[tuple[float, bool]]] = ([], [])
    # The short-answer parts ask about the same flags again.
    parts = [p.parent for p in sorted(out.glob(f"*/{SCORES_NAME}")) if "short" not in p.parent.name]
    for part in parts:
        first = {
            row.id: row.hits[0][1] for row in read(part / RETRIEVAL_NAME, RetrievalRow) if row.hits
        }
        for row in read(part / SCORES_NAME, ScoreRow):
            if row.id in first and "recall@1" in row.scores:
                # The id has the picture also where the question is asked without it.
                half = half_of(row.id.rpartition(":")[0], row.id)
                halves[half].append((first[row.id], row.scores["recall@1"] == 1.0))
    (right, wrong), (kept, flagged) = (
        (sorted(s for s, good in half if good), sorted(s for s, good in half if not good))
        for half in halves
    )
    if not (right and wrong and kept and flagged):
        raise InvalidSettings(
            f"{out} has too few examples to calibrate on: both halves of the pictures need right "
            "and wrong top passages"
        )

    def quality(threshold: float) -> float:
        return _share(s >= threshold for s in right) + _share(s < threshold for s in wrong)

    best = max((score for score, _ in halves[0]), key=quality)
    return {
        "unsure_below": round(best, 3),
        "n_fitted": len(halves[0]),
        "right_kept": round(_share(s >= best for s in kept), 4),
        "wrong_flagged": round(_share(s < best for s in flagged), 4),
        "n_right": len(kept),
        "n_wrong": len(flagged),
    }


def _share(flags: Iterable[bool]) -> float:
    found = list(flags)
    return sum(found) / len(found)


def report(results: Mapping[str, Results]) -> str:
    """Return the results as a Markdown table, percent with standard errors."""
    rows = [
        (title, *(_percent(result, name) for name in FIGURES), str(result.n))
        for title, result in results.items()
    ]
    made = next(iter(results.values())).provenance
    corpus, key = made.corpus or {}, made.retrieval or {}
    line = f"{key['checkpoint']} over {corpus['passages']:,} passages ({corpus['name']})."
    return "\n".join([*table(("pictures", *FIGURES, "n"), rows), line]) + "\n"


def _percent(results: Results, metric: str) -> str:
    for condition in CONDITIONS:
        if (figure := results.find(metric, condition)) is not None:
            return f"{100 * figure.value:.1f} ± {100 * figure.stderr:.1f}"
    return "-"


def _without_pictures(examples: Sequence[Example]) -> list[Example]:
    return [replace(example, image="") for example in examples]
