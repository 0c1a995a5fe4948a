"""Running an evaluation in a test, and reading what it left."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.components import build_index, open_index
from app.evaluation.benchmarks.benchmark import Benchmark, own_benchmark
from app.evaluation.files.json_rows import read
from app.evaluation.record import AnswerRow, Results, RetrievalRow, ScoreRow
from app.evaluation.run import Options, evaluate
from app.pipeline import Pipeline
from corpus.files.passages import write_passages
from corpus.passages.corpora import open_corpus
from corpus.passages.policy import PassagePolicy
from corpus.pictures.store import ImageCache
from corpus.types import Example
from generator.answers.answering import Answering
from generator.answers.confidence import Calibration
from generator.answers.plan import AnswerPlan
from generator.errors import GeneratorTimeout
from generator.prompts import Prompt
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from tests.scripted import ScriptedGenerator


def run(
    pipeline: Pipeline | None,
    benchmark: Benchmark,
    images: Path,
    out: Path,
    *,
    cache: ImageCache | None = None,
    **options: Any,
) -> Results:
    """Return the results of a run in which the last stage takes part."""
    if benchmark.answer_scores is None:
        options.setdefault("conditions", ())
    results = evaluate(pipeline, benchmark, images, out, Options(**options), cache=cache)
    assert results is not None
    return results


def said(out: Path, condition: str = "retrieved") -> dict[str, AnswerRow]:
    rows = read(out / "answers.jsonl", AnswerRow)
    return {row.id: row for row in rows if row.condition == condition}


def found(out: Path) -> dict[str, RetrievalRow]:
    return {row.id: row for row in read(out / "retrieval.jsonl", RetrievalRow)}


def scored(out: Path, condition: str = "retrieved") -> dict[str, ScoreRow]:
    rows = read(out / "scores.jsonl", ScoreRow)
    return {row.id: row for row in rows if row.condition == condition}


def answered(results: Results, metric: str) -> tuple[float | None, int]:
    """Return the mean over the examples that were answered, and how many those are."""
    figure = results.figure(metric)
    return figure.answered, figure.answered_n


def failures(results: Results) -> int:
    """Return how many examples were not answered or could not be scored."""
    return sum(results.outcomes["retrieved"].failures.values())


def example(name: str, image: str = "a.png", gold: tuple[str, ...] = ("p:paris",)) -> Example:
    return Example(name, image, "What is the capital of France?", ("Paris",), gold)


def asked(*examples: Example) -> Benchmark:
    return own_benchmark("mine", examples)


def failing_on(word: str) -> Callable[[Prompt], tuple[str, float]]:
    """What is written to every prompt but those with a word: they are too slow."""

    def write(prompt: Prompt) -> tuple[str, float]:
        if word in prompt.text:
            raise GeneratorTimeout("too slow.")
        return "Paris [1]", -0.1

    return write


def pipeline_over(
    corpus: Path, folder: Path, checkpoint: Checkpoint, generator: ScriptedGenerator, **policy: Any
) -> Iterator[Pipeline]:
    passages = folder / f"{open_corpus(corpus).name.replace('/', '-')}.jsonl"
    made = open_corpus(corpus, policy=PassagePolicy(**policy) if policy else None)
    write_passages(passages, made.read())
    build_index(passages, folder / "index", checkpoint, lambda done, total: None)
    with open_index(folder / "index", checkpoint) as index:
        answering = Answering(generator, AnswerPlan("concat", passages=2), Calibration())
        yield Pipeline(Encoder(checkpoint), index, answering)
