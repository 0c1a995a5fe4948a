"""Evaluation: a file of examples through the pipeline, scored, with standard errors.

Each finished example is one line of examples.jsonl, so that an interrupted run goes
on where it stopped. "Could not be scored" is a failure with its reason, not a zero
that hides: failures count as wrong in every mean and are reported beside it.
"""

import json
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.errors import InvalidSettings
from app.pipeline import Pipeline
from app.report import result_as_json
from corpus.errors import InvalidImage, KbvqaError
from corpus.images import load_image
from corpus.types import Example, Query
from generator.answers import contains, words
from retriever.metrics import mean_and_stderr, pseudo_recall_at_k, recall_at_k

TOP_K = 10
RECALL_AT = (1, 5, 10)
ROWS_NAME = "examples.jsonl"
RESULTS_NAME = "results.json"


def evaluate(
    pipeline: Pipeline,
    examples: Sequence[Example],
    images: Path,
    out: Path,
    *,
    retrieval: bool = True,
    answer: bool = True,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the means of a run, which are also written to results.json.

    Args:
        pipeline: what is measured.
        examples: the benchmark.
        images: the directory that example images are relative to.
        out: where examples.jsonl and results.json go; made if missing.
        retrieval: False measures the generator alone.
        answer: False measures retrieval alone.
        advance: told how many examples are done, and of how many.

    Returns:
        recall@1, recall@5, recall@10 over examples with gold passages; pseudo_recall@5
        over examples with answers; exact_match and contains over examples with answers;
        "<metric>_stderr" beside each; n, failures, and under "run" what was run.
    """
    run = _run_record(pipeline, retrieval, answer)
    out.mkdir(parents=True, exist_ok=True)
    rows = _finished(out, run)
    advance(len(rows), len(examples))
    with (out / ROWS_NAME).open("a", encoding="utf-8") as file:
        for example in examples:
            if example.id in rows:
                continue
            row = _row(pipeline, example, images, retrieval=retrieval, answer=answer)
            rows[example.id] = row
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            advance(len(rows), len(examples))
    results = summarise([rows[example.id] for example in examples]) | {"run": run}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    (out / RESULTS_NAME).write_text(text, encoding="utf-8")
    return results


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean and standard error of each score over the rows it applies to."""
    results: dict[str, Any] = {}
    names = dict.fromkeys(name for row in rows for name in row["scores"])
    for name in names:
        values = [row["scores"][name] for row in rows if name in row["scores"]]
        mean, stderr = mean_and_stderr(values)
        results[name], results[f"{name}_stderr"] = round(mean, 4), round(stderr, 4)
    results["n"] = len(rows)
    results["failures"] = sum(1 for row in rows if row["failure"])
    return results


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 when the prediction has the words of an acceptable answer and no others.

    Case, accents, punctuation and articles do not matter.
    """
    given = _without_articles(prediction)
    return float(any(given == _without_articles(answer) for answer in answers))


def contains_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 when an answer's words stand in the prediction, or the other way round."""
    return float(any(contains(prediction, a) or contains(a, prediction) for a in answers))


def _without_articles(text: str) -> list[str]:
    return [word for word in words(text).split() if word not in ("a", "an", "the")]


def _row(
    pipeline: Pipeline, example: Example, images: Path, *, retrieval: bool, answer: bool
) -> dict[str, Any]:
    outcome: dict[str, Any] = {}
    failure = ""
    ids: list[str] = []
    texts: list[str] = []
    try:
        # An example without a picture measures what the question alone finds.
        image = load_image(images / example.image) if example.image else None
        query = Query(example.question, image)
        result = pipeline.ask(query, TOP_K, retrieval=retrieval, answer=answer)
        ids = [hit.passage.id for hit in result.retrieval.hits]
        texts = [hit.passage.text for hit in result.retrieval.hits]
        outcome = result_as_json(result)
        outcome["hits"] = [[hit["passage_id"], hit["score"]] for hit in outcome["hits"]]
    except (KbvqaError, InvalidImage) as exc:
        failure = str(exc)
    scores: dict[str, float] = {}
    if retrieval and example.gold_passage_ids:
        for k in RECALL_AT:
            scores[f"recall@{k}"] = recall_at_k(ids, example.gold_passage_ids, k)
    if retrieval and example.answers:
        scores["pseudo_recall@5"] = pseudo_recall_at_k(texts, example.answers, 5)
    if answer and example.answers:
        text = outcome.get("answer") or ""
        scores["exact_match"] = exact_match(text, example.answers)
        scores["contains"] = contains_match(text, example.answers) if text else 0.0
    return {
        "id": example.id,
        "question": example.question,
        "answers": list(example.answers),
        "gold_passage_ids": list(example.gold_passage_ids),
        **outcome,
        "scores": scores,
        "failure": failure,
    }


def _finished(out: Path, run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of an interrupted run in `out`, by example id.

    Raises:
        InvalidSettings: the rows are of a run with other components.
    """
    record, path = out / "run.json", out / ROWS_NAME
    started = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if path.exists() and _parts(started) != _parts(run):
        raise InvalidSettings(
            f"{out} holds another run (see run.json there): give another directory with --out"
        )
    record.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    if not path.exists():
        return {}
    rows: dict[str, dict[str, Any]] = {}
    whole = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # a killed run may leave half a line
            whole.append(line)
            row = json.loads(line)
            rows[row["id"]] = row
    path.write_text("".join(whole), encoding="utf-8")
    return rows


def _parts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured: a run record but for the code's revision."""
    return {name: value for name, value in run.items() if name != "git"}


def _run_record(pipeline: Pipeline, retrieval: bool, answer: bool) -> dict[str, Any]:
    """Return what is run: components, code revision and package versions."""
    index = pipeline.index.fingerprint if pipeline.index is not None and retrieval else None
    return {
        "checkpoint": pipeline.encoder.checkpoint.id,
        "corpus": index.corpus if index else None,
        "corpus_sha256": index.corpus_sha256 if index else None,
        "passages": index.passages if index else 0,
        "generator": pipeline.generator.name if pipeline.generator and answer else None,
        "passages_in_prompt": pipeline.passages_in_prompt,
        "kbvqa": version("kbvqa"),
        "git": _git_revision(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def _git_revision() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
