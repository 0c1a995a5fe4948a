"""Evaluation: a benchmark through the pipeline, scored, with standard errors.

Each finished example is one line of examples.jsonl, so that an interrupted run goes
on where it stopped, and tries again what failed. An example that could not be scored (its
picture is missing, the generator failed) is counted and its reason told; it is in no mean.
"""

import json
import platform
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from app.benchmarks import Benchmark
from app.errors import InvalidSettings
from app.pipeline import Pipeline
from app.report import result_as_json
from corpus.errors import InvalidImage, KbvqaError
from corpus.image_store import ImageCache, ImageFolder, black_image, check_images
from corpus.images import load_image
from corpus.types import Example, Query
from retriever.metrics import mean_and_stderr, pseudo_recall_at_k, recall_at_k

DEPTH = 10
RECALL_AT = (1, 5, 10, 20, 50, 100, 500)
ROWS_NAME = "examples.jsonl"
RESULTS_NAME = "results.json"
MISSING_NAME = "missing-images.txt"

Advance = Callable[[int, int], None]


def evaluate(
    pipeline: Pipeline,
    benchmark: Benchmark,
    images: Path,
    out: Path,
    *,
    retrieval: bool = True,
    answer: bool = True,
    depth: int = DEPTH,
    cache: ImageCache | None = None,
    advance: Advance = lambda done, total: None,
) -> dict[str, Any]:
    """Return the means of a run, which are also written to results.json.

    Args:
        pipeline: what is measured.
        benchmark: what it is measured on.
        images: the directory that picture names are relative to.
        out: where examples.jsonl and results.json go; made if missing.
        retrieval: False measures the generator alone.
        answer: False measures retrieval alone, as do benchmarks without answer scores.
        depth: passages to find; recall is given at 1, 5, 10, ... up to it.
        cache: of prepared pictures; only where no generator looks at them.
        advance: told how many examples are done, and of how many.

    Returns:
        recall@K over examples with gold passages, pseudo_recall@K over examples with answers,
        the benchmark's answer scores; "<metric>_stderr" and "<metric>_n" beside each; "n",
        "unscored" and "unscored_reasons"; "gold_not_in_corpus", the examples none of whose gold
        passages the index has; "summary" where the benchmark has one; "notes"; and under "run"
        what was run, with the corpus by name. "headline" names the score that papers report.

    Raises:
        DatasetNotFound: not one picture is there.
        InvalidSettings: `out` holds another run.
    """
    answer = answer and benchmark.answer_scores is not None
    run = _run_record(pipeline, benchmark.name, retrieval, answer, depth)
    out.mkdir(parents=True, exist_ok=True)
    rows = _finished(out, run)
    measure = _Measure(pipeline, benchmark, ImageFolder(images), cache, retrieval, answer, depth)
    missing = check_images(measure.images, benchmark.examples, out / MISSING_NAME)
    examples = benchmark.examples
    done = sum(not row["failure"] for row in rows.values())
    advance(done, len(examples))
    with (out / ROWS_NAME).open("a", encoding="utf-8") as file:
        for example in examples:
            if example.id in rows and not rows[example.id]["failure"]:
                continue
            row = rows[example.id] = measure.row(example)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            done += 1
            advance(done, len(examples))
    finished = [rows[example.id] for example in examples]
    results: dict[str, Any] = {"benchmark": benchmark.name, "corpus": run["corpus"]}
    results |= {"headline": benchmark.headline, **summarise(finished)}
    if missing:
        results["missing_images"] = len(missing)
    if retrieval:
        results["gold_not_in_corpus"] = _gold_not_in_corpus(pipeline, examples)
    if answer and benchmark.summary is not None:
        given = {row["id"]: row["answer"] for row in finished if not row["failure"]}
        results["summary"] = benchmark.summary(given, examples)
    results |= {"notes": list(benchmark.notes), "run": run}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    (out / RESULTS_NAME).write_text(text, encoding="utf-8")
    return results


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean, standard error and count of each score over the rows that have it."""
    results: dict[str, Any] = {}
    scored = [row for row in rows if not row["failure"]]
    for name in dict.fromkeys(name for row in scored for name in row["scores"]):
        values = [row["scores"][name] for row in scored if name in row["scores"]]
        mean, stderr = mean_and_stderr(values)
        results[name], results[f"{name}_stderr"] = round(mean, 4), round(stderr, 4)
        results[f"{name}_n"] = len(values)
    results["n"] = len(rows)
    results["unscored"] = len(rows) - len(scored)
    reasons = Counter(row["failure"].partition(": ")[0] for row in rows if row["failure"])
    results["unscored_reasons"] = dict(reasons.most_common())
    return results


class _Measure:
    """Turns examples into rows."""

    def __init__(
        self,
        pipeline: Pipeline,
        benchmark: Benchmark,
        images: ImageFolder,
        cache: ImageCache | None,
        retrieval: bool,
        answer: bool,
        depth: int,
    ) -> None:
        self._pipeline, self._answer_scores = pipeline, benchmark.answer_scores
        self.images, self._cache = images, cache
        self._retrieval, self._answer, self._depth = retrieval, answer, depth

    def row(self, example: Example) -> dict[str, Any]:
        """Return an example's outcome and scores, or why it has none."""
        outcome: dict[str, Any] = {}
        scores: dict[str, float] = {}
        failure = ""
        try:
            query = Query(example.question, self._picture(example), example.instruction)
            result = self._pipeline.ask(
                query, self._depth, retrieval=self._retrieval, answer=self._answer
            )
            if result.failure is not None:
                raise result.failure
            outcome = result_as_json(result)
            outcome["hits"] = [[hit["passage_id"], hit["score"]] for hit in outcome["hits"]]
            if self._retrieval:
                hits = result.retrieval.hits
                ids, texts = [h.passage.id for h in hits], [h.passage.text for h in hits]
                scores |= self._retrieval_scores(example, ids, texts)
            if self._answer and self._answer_scores is not None and example.answers:
                scores |= self._answer_scores(example, outcome["answer"] or "")
        except KbvqaError as exc:
            failure = f"{type(exc).__name__}: {exc}"
        return {
            "id": example.id,
            "image": example.image,
            "question": example.question,
            "answers": list(example.answers),
            "gold_passage_ids": list(example.gold_passage_ids),
            **outcome,
            "scores": {} if failure else scores,
            "failure": failure,
        }

    def _retrieval_scores(
        self, example: Example, ids: Sequence[str], texts: Sequence[str]
    ) -> dict[str, float]:
        scores: dict[str, float] = {}
        # An empty answer is in every passage: it would count each of them as right.
        answers = [answer for answer in example.answers if answer.strip()]
        for k in (k for k in RECALL_AT if k <= self._depth):
            if example.gold_passage_ids:
                scores[f"recall@{k}"] = recall_at_k(ids, example.gold_passage_ids, k)
            if answers:
                scores[f"pseudo_recall@{k}"] = pseudo_recall_at_k(texts, answers, k)
        return scores

    def _picture(self, example: Example) -> Image.Image | None:
        if not example.image:
            # Without a picture, what the question alone finds is measured.
            return black_image() if example.black_image else None
        path = self.images.find(example.image)
        if path is None:
            raise InvalidImage(f"{self.images.root / example.image} does not exist")
        return self._cache.load(path) if self._cache is not None else load_image(path)


def _gold_not_in_corpus(pipeline: Pipeline, examples: Iterable[Example]) -> int:
    """Return how many examples can never be right, because the index has no gold passage."""
    if pipeline.index is None:
        return 0
    present = pipeline.index.passage_ids()
    with_gold = (example for example in examples if example.gold_passage_ids)
    return sum(present.isdisjoint(example.gold_passage_ids) for example in with_gold)


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


def _run_record(
    pipeline: Pipeline, benchmark: str, retrieval: bool, answer: bool, depth: int
) -> dict[str, Any]:
    """Return what is run: components, code revision and package versions."""
    index = pipeline.index.fingerprint if pipeline.index is not None and retrieval else None
    return {
        "benchmark": benchmark,
        "checkpoint": pipeline.encoder.checkpoint.id,
        "corpus": index.corpus if index else None,
        "corpus_sha256": index.corpus_sha256 if index else None,
        "passages": index.passages if index else 0,
        "depth": depth,
        "search": "exact" if pipeline.exact is not None else "two-stage",
        "candidates": pipeline.candidates if retrieval and pipeline.exact is None else None,
        "generator": pipeline.generator.name if pipeline.generator and answer else None,
        "answering": asdict(pipeline.answering.plan) if pipeline.answering and answer else None,
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
