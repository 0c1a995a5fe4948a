"""Evaluation: a benchmark through the pipeline, scored, with standard errors.

Each finished example is one line of examples.jsonl, so that an interrupted run goes on where it
stopped, and tries again what failed; `app.resumable` says what has to be the same. What the
generator said is scored, as official scores are, whether or not it was withheld from a user. Where
the generator failed, what was found still counts. Whatever has no score is counted with its reason.
"""

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from app.benchmarks import Benchmark
from app.indexing import Advance
from app.pipeline import Pipeline, Result
from app.report import result_as_json
from app.resumable import (
    NUMBER,
    Breaker,
    ResumableRows,
    Row,
    Shape,
    answering_record,
    capabilities,
    digest,
    file_sha256,
    generator_record,
    git_revision,
    index_record,
    write_json,
)
from corpus.errors import InvalidImage, KbvqaError, Unscorable
from corpus.image_store import ImageCache, ImageFolder, black_image, check_images
from corpus.images import load_image
from corpus.types import Example, Query
from generator.errors import EmptyCompletion, GeneratorUnavailable
from retriever.metrics import mean_and_stderr, pseudo_recall_at_k, recall_at_k

DEPTH = 10
RECALL_AT = (1, 5, 10, 20, 50, 100, 500)
ROWS_NAME = "examples.jsonl"
RESULTS_NAME = "results.json"
MISSING_NAME = "missing-images.txt"

# A line of examples.jsonl, as far as it is read again.
ROW: Shape = {
    **dict.fromkeys(("id", "example", "failure", "search", "scoring"), str),
    "scores": {str: NUMBER},
    "hits?": [[str | NUMBER]],
    **dict.fromkeys(("prediction?", "verdict?", "unscored?", "empty?"), str),
    "lost?": [str],
}

_OF_RETRIEVAL = ("recall@", "pseudo_recall@")


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
        the benchmark's answer scores, and with "_shown" those with withheld answers as wrong,
        where answers are withheld; "<metric>_stderr" and "<metric>_n" beside each, and
        "<metric>_failures_wrong" where the generator failed; "n", "unscored" and
        "unscored_reasons"; "empty", the answers without a word; "gold_not_in_corpus", the
        examples none of whose gold passages the index has; "summary" where the benchmark has
        one; "search", how many were searched how; "notes"; and under "run" what was run, with
        the corpus by name. "headline" names the score that papers report.

    Raises:
        DatasetNotFound: not one picture is there.
        GeneratorError: the generator would not answer even the first.
        InvalidSettings: `out` holds another run.
        TooManyFailures: so many in a row failed that the rest was left.
    """
    answer = answer and benchmark.answer_scores is not None
    key = _key(pipeline, benchmark.name, retrieval, answer, depth)
    notes = _notes(pipeline, retrieval)
    measure = _Measure(pipeline, benchmark, ImageFolder(images), cache, retrieval, answer, depth)
    examples = benchmark.examples
    with ResumableRows(out / ROWS_NAME, key, shape=ROW, notes=notes) as rows:
        missing = check_images(measure.images, examples, out / MISSING_NAME)
        _measure_all(measure, examples, rows, advance)
        finished = [rows[example.id] for example in examples]
    results: dict[str, Any] = {"benchmark": benchmark.name, "corpus": notes["corpus"]}
    results |= {"headline": benchmark.headline, **summarise(finished)}
    if missing:
        results["missing_images"] = len(missing)
    if retrieval:
        results["gold_not_in_corpus"] = _gold_not_in_corpus(pipeline, examples)
        results["search"] = dict(Counter(row["search"] for row in finished if "hits" in row))
    if answer and benchmark.summary is not None:
        given = {row["id"]: row["prediction"] for row in finished if "prediction" in row}
        results["summary"] = benchmark.summary(given, examples)
    results |= {"notes": list(benchmark.notes), "run": {**key, **notes}}
    write_json(out / RESULTS_NAME, results)
    return results


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the mean, standard error and count of each score over the rows that have it."""
    results: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row["scores"]):
        values = [row["scores"][name] for row in rows if name in row["scores"]]
        mean, stderr = mean_and_stderr(values)
        results[name], results[f"{name}_stderr"] = round(mean, 4), round(stderr, 4)
        results[f"{name}_n"] = len(values)
        if lost := sum(name in row.get("lost", ()) for row in rows):
            results[f"{name}_failures_wrong"] = round(sum(values) / (len(values) + lost), 4)
    reasons = [reason for row in rows if (reason := row["failure"] or row.get("unscored"))]
    results["n"] = len(rows)
    results["unscored"] = len(reasons)
    kinds = Counter(reason.partition(": ")[0] for reason in reasons)
    results["unscored_reasons"] = dict(kinds.most_common())
    results["empty"] = sum(row.get("prediction") == "" for row in rows)
    return results


def _measure_all(
    measure: "_Measure", examples: Sequence[Example], rows: ResumableRows, advance: Advance
) -> None:
    """Add the rows that are not there yet, failed, or are of an example that has changed since.

    Raises:
        GeneratorError, TooManyFailures: as for `evaluate`.
    """
    kept = {example.id: measure.kept(rows.get(example.id), example) for example in examples}
    if not any(row and row.get("prediction") for row in kept.values()):
        # Where nothing was ever written something was wrong, which by now may be right.
        kept = {id_: None if row and "empty" in row else row for id_, row in kept.items()}
    todo = [example for example in examples if not measure.is_scored(kept[example.id])]
    if any(kept[example.id] is None for example in todo):
        measure.check_generator()
    breaker = Breaker(len(examples))
    done = len(examples) - len(todo)
    advance(done, len(examples))
    for example in todo:
        if (row := kept[example.id]) is not None:
            rows.add(measure.scored(row, example))
        else:
            row = rows.add(measure.row(example))
            if not row["failure"].startswith(InvalidImage.__name__):
                breaker.count(row["failure"], row.get("empty", ""))
        done += 1
        advance(done, len(examples))


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
        self._scoring = benchmark.scoring or benchmark.headline
        self.images, self._cache = images, cache
        self._retrieval, self._answer, self._depth = retrieval, answer, depth
        self._capabilities, self._withholds = None, False
        if answer and pipeline.answering is not None:
            self._capabilities = capabilities(pipeline.answering.generator)
            self._withholds = not pipeline.answering.uncalibrated

    def kept(self, row: Row | None, example: Example) -> Row | None:
        """Return an earlier row if it is this example's, on the same picture, and did not fail."""
        if row is None or row["failure"] or row["example"] != digest(asdict(example)):
            return None
        # A picture that is gone has not changed: its answer may still be scored otherwise.
        return row if self._picture_sha256(example) in ("", row.get("picture_sha256")) else None

    def is_scored(self, row: Row | None) -> bool:
        """Return whether a row that is kept is scored as it is to be."""
        return row is not None and row["scoring"] == self._scoring

    def check_generator(self) -> None:
        """Ask the generator whether it would answer. Raises GeneratorError if not."""
        if self._answer and self._pipeline.generator is not None:
            self._pipeline.generator.health()

    def row(self, example: Example) -> Row:
        """Return an example's outcome and scores, or why it has none."""
        row: Row = {
            "id": example.id,
            "image": example.image,
            "question": example.question,
            "answers": list(example.targets),
            "searched": list(example.searched),
            "gold_passage_ids": list(example.gold_passage_ids),
            "example": digest(asdict(example)),
            "picture_sha256": self._picture_sha256(example),
            "search": "exact" if self._pipeline.exact is not None else "two-stage",
            "failure": "",
        }
        scores: dict[str, float] = {}
        try:
            query = Query(example.question, self._picture(example), example.instruction)
            result = self._pipeline.ask(
                query, self._depth, retrieval=self._retrieval, answer=self._answer
            )
            if result.outcome is not None:
                self._check_capabilities()
            row |= _outcome(result)
            if self._retrieval:
                scores = self._retrieval_scores(example, result)
        except KbvqaError as exc:
            row["failure"] = f"{type(exc).__name__}: {exc}"
        return self.scored(row | {"scores": scores}, example)

    def scored(self, row: Row, example: Example) -> Row:
        """Return a row with the benchmark's answer scores, or with why it has none."""
        scores = {n: s for n, s in row["scores"].items() if n.startswith(_OF_RETRIEVAL)}
        row = row | {"scores": scores, "scoring": self._scoring, "unscored": "", "lost": []}
        if not self._answer or self._answer_scores is None:
            return row
        try:
            found = self._answer_scores(example, row.get("prediction", ""))
        except Unscorable as exc:
            return row | {"unscored": f"{type(exc).__name__}: {exc}"}
        if row["failure"]:
            return row | {"lost": list(found)}
        if self._withholds:
            given = float(row.get("verdict") != "withheld")
            found |= {f"{name}_shown": given * score for name, score in found.items()}
        return row | {"scores": scores | found}

    def _retrieval_scores(self, example: Example, result: Result) -> dict[str, float]:
        scores: dict[str, float] = {}
        hits = result.retrieval.hits
        ids, texts = [hit.passage.id for hit in hits], [hit.passage.text for hit in hits]
        # An empty answer is in every passage: it would count each of them as right.
        answers = [answer for answer in example.searched if answer.strip()]
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

    def _picture_sha256(self, example: Example) -> str:
        """Return the SHA-256 of an example's picture file; "" where none can be read."""
        path = self.images.find(example.image) if example.image else None
        try:
            return "" if path is None else file_sha256(path)
        except OSError:  # load_image says what is wrong
            return ""

    def _check_capabilities(self) -> None:
        """Raise GeneratorUnavailable where it can no longer do what it could at the start."""
        assert self._pipeline.generator is not None
        if (now := capabilities(self._pipeline.generator)) != self._capabilities:
            raise GeneratorUnavailable(
                f"{self._pipeline.generator.name} can do other things than when the run began: "
                f"{now}, not {self._capabilities}. Begin the run again in another directory."
            )


def _outcome(result: Result) -> Row:
    """Return what of a result is kept: "prediction" is what the generator said, shown or not."""
    row = result_as_json(result)
    row["hits"] = [[hit["passage_id"], hit["score"]] for hit in row["hits"]]
    row["failure"] = ""
    if result.outcome is not None:
        row["prediction"] = result.outcome.reply.answer.text
    elif isinstance(result.failure, EmptyCompletion):
        row |= {"prediction": "", "empty": str(result.failure)}
    elif result.failure is not None:
        row["failure"] = f"{type(result.failure).__name__}: {result.failure}"
    return row


def _gold_not_in_corpus(pipeline: Pipeline, examples: Iterable[Example]) -> int:
    """Return how many examples can never be right, because the index has no gold passage."""
    if pipeline.index is None:
        return 0
    present = pipeline.index.passage_ids()
    with_gold = (example for example in examples if example.gold_passage_ids)
    return sum(present.isdisjoint(example.gold_passage_ids) for example in with_gold)


def _key(
    pipeline: Pipeline, benchmark: str, retrieval: bool, answer: bool, depth: int
) -> dict[str, Any]:
    """Return what the rows of a run depend on, beside the example of each.

    How the corpus is searched is not in it: that depends on the memory that is free, and stands
    in each row.
    """
    answering = pipeline.answering if answer else None
    return {
        "benchmark": benchmark,
        "checkpoint_sha256": pipeline.encoder.checkpoint.revision,
        "retrieval": index_record(pipeline.index) if retrieval and pipeline.index else None,
        "candidates": pipeline.candidates if retrieval else None,
        "depth": depth,
        "generator": generator_record(answering.generator) if answering else None,
        "answering": answering_record(answering) if answering else None,
        "kbvqa": version("kbvqa"),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def _notes(pipeline: Pipeline, retrieval: bool) -> dict[str, Any]:
    """Return what is told of a run by name."""
    index = pipeline.index.fingerprint if pipeline.index is not None and retrieval else None
    return {
        "checkpoint": pipeline.encoder.checkpoint.id,
        "corpus": index.corpus if index else None,
        "corpus_sha256": index.corpus_sha256 if index else None,
        "passages": index.passages if index else 0,
        "git": git_revision(),
    }
