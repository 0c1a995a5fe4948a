"""A benchmark through the pipeline, in three stages with files between them.

    retrieve    examples -> retrieval.jsonl          app.evaluation.stages.retrieve
    answer      retrieval.jsonl -> answers.jsonl     app.evaluation.stages.answer
    score       both -> scores.jsonl, results.json   app.evaluation.stages.score

An interrupted stage goes on where it stopped, a stage that is run alone takes what the ones before
it left, and a directory whose rows are of another checkpoint, index or generator is refused.
`app.evaluation.record` says what is in the files.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from app.errors import InvalidSettings
from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.files import trec
from app.evaluation.files.earlier import check_search, has_rows, take_over
from app.evaluation.files.json_rows import as_json, json_text
from app.evaluation.files.resumable import (
    ResumableRows,
    read_record,
    write_json,
    write_record,
    write_text,
)
from app.evaluation.provenance import (
    Stopwatch,
    answers_key,
    judging_record,
    prompt_record,
    retrieval_key,
    server_version,
)
from app.evaluation.record import (
    ANSWERS_NAME,
    EXAMPLES_NAME,
    MISSING_NAME,
    QRELS_NAME,
    RESULTS_NAME,
    RETRIEVAL_NAME,
    RUN_TREC_NAME,
    SCORES_NAME,
    TABLE_NAME,
    AnswerRow,
    Condition,
    ExampleRow,
    Results,
    RetrievalRow,
    ScoreRow,
)
from app.evaluation.results import Rows, groups_of, results_of
from app.evaluation.stages.answer import Jobs, answer, row_name
from app.evaluation.stages.pictures import Pictures
from app.evaluation.stages.retrieve import retrieve
from app.evaluation.stages.score import Scorer, score_name
from app.evaluation.stages.tell import Tell, silent
from app.evaluation.summary import pictures_missing, summary_text
from app.machine.directories import writing
from app.pipeline import Pipeline
from corpus.pictures.store import ImageCache, check_images
from corpus.types import Example
from generator.answers.selection import WEIGHED
from generator.extractive.reader import ExtractiveReader
from generator.server.client import OpenAIGenerator
from retriever.building.build import Say

log = logging.getLogger(__name__)

Stage = Literal["retrieve", "answer", "score"]
STAGES: tuple[Stage, ...] = ("retrieve", "answer", "score")
DEPTH = 10
CONCURRENCY = 64
_LOOKED_UP = 256  # examples whose gold passages are looked up at once


@dataclass(frozen=True, slots=True)
class Options:
    """How a benchmark is run.

    Attributes:
        stages: those that are run, in their order.
        conditions: under which examples are answered; none measures retrieval alone, and "none"
            alone the generator without retrieval.
        depth: passages to find; recall is given at 1, 5, 10, ... up to it, and at it.
        batch: examples encoded at once.
        concurrency: questions on their way to a server at once.
        only_missing: leave alone what failed before, instead of trying it again.
        seed: of the bootstrap.
        search: how the corpus has to be searched; None takes rows of either way.
    """

    stages: tuple[Stage, ...] = STAGES
    conditions: tuple[Condition, ...] = ("retrieved",)
    depth: int = DEPTH
    batch: int = 16
    concurrency: int = CONCURRENCY
    only_missing: bool = False
    seed: int = 0
    search: Literal["exact", "two-stage"] | None = None

    @property
    def retrieval(self) -> bool:
        """Return whether passages are found."""
        return self.conditions != ("none",)


def evaluate(
    pipeline: Pipeline | None,
    benchmark: Benchmark,
    images: Path,
    out: Path,
    options: Options = Options(),
    *,
    cache: ImageCache | None = None,
    retrieval_from: Path | None = None,
    say: Say = lambda what: None,
    tell: Tell = silent,
) -> Results | None:
    """Return the results of a run, which are also written to results.json and table.md.

    Args:
        pipeline: what is measured; None to score alone what is there.
        benchmark: what it is measured on.
        images: the directory that picture names are relative to.
        out: where files go; made if missing.
        options: what is done.
        cache: of prepared pictures; only where no generator looks at them.
        retrieval_from: the directory of a run whose hits are taken over, where `out` has none.
        say: told which stage is running.
        tell: told how far it is.

    Returns:
        None where nothing is scored.

    Raises:
        DatasetNotFound: not one picture is there.
        GeneratorError: the generator would not answer even the first.
        InvalidSettings: `out` or `retrieval_from` holds another run, or what is asked for cannot
            be done.
        TooManyFailures: so many in a row failed that the rest was left.
    """
    if benchmark.answer_scores is None and options.conditions:
        raise ValueError(f"{benchmark.name} has no scores for answers")
    _check_conditions(pipeline, options)
    asks = options.conditions and "answer" in options.stages
    if asks and pipeline is not None and pipeline.generator is not None:
        pipeline.generator.health()  # before all the retrieval, not behind it
    out.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(images, cache)
    if options.retrieval and "retrieve" in options.stages:
        _warn_of_absent_gold(pipeline, benchmark.examples)
    run = _Run(pipeline, benchmark, pictures, out, options, say, tell)
    with ExitStack() as stack:
        run.open(stack, retrieval_from)
        # Only now: what is refused changes nothing of the run that is there.
        missing = check_images(pictures.folder, benchmark.examples, out / MISSING_NAME)
        if missing:
            named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            said = pictures_missing(len(missing))
            log.warning("%s under %s: %s (%s)", said, images, named, out / MISSING_NAME)
        _write_examples(out / EXAMPLES_NAME, benchmark.examples)
        for stage in options.stages:
            run.stage(stage)
        return run.results(len(missing)) if "score" in options.stages else None


class _Run:
    """The stages of a run, over files that are open."""

    def __init__(
        self,
        pipeline: Pipeline | None,
        benchmark: Benchmark,
        pictures: Pictures,
        out: Path,
        options: Options,
        say: Say,
        tell: Tell,
    ) -> None:
        self._pipeline, self._benchmark, self._pictures = pipeline, benchmark, pictures
        self._out, self._options, self._say, self._tell = out, options, say, tell
        self._found: ResumableRows[RetrievalRow] | None = None
        self._said: ResumableRows[AnswerRow] | None = None
        self._scored: ResumableRows[ScoreRow]

    def open(self, stack: ExitStack, retrieval_from: Path | None) -> None:
        """Open the files of rows. Raises InvalidSettings where they are of another run."""
        options, pipeline = self._options, self._pipeline
        key: dict[str, Any] = {"benchmark": self._benchmark.name}
        if options.retrieval:
            if pipeline is not None:
                key |= retrieval_key(pipeline, max(options.depth, WEIGHED))
            notes = _index_notes(pipeline)
            path = self._out / RETRIEVAL_NAME
            if retrieval_from is not None:
                take_over(retrieval_from, self._out, key, options.search)
            check_search(path, options.search, "give another directory with --out")
            wanted = key if pipeline is not None or has_rows(path) else None
            self._found = stack.enter_context(
                ResumableRows(path, RetrievalRow, wanted, notes=notes)
            )
        if options.conditions:
            key, notes = {"benchmark": self._benchmark.name}, {}
            answers = pipeline is not None and pipeline.answering is not None
            if pipeline is not None and answers:  # the retrieval alone may be asked for
                key |= answers_key(pipeline)
                notes = _answer_notes(pipeline)
            path = self._out / ANSWERS_NAME
            wanted = key if answers or has_rows(path) else None
            self._said = stack.enter_context(
                ResumableRows(path, AnswerRow, wanted, name=row_name, notes=notes)
            )
        self._scored = stack.enter_context(
            ResumableRows(self._out / SCORES_NAME, ScoreRow, None, name=score_name)
        )

    def stage(self, stage: Stage) -> None:
        """Run a stage and leave its rows in order; what ends it is recorded too."""
        run = {"retrieve": self._retrieve, "answer": self._answer, "score": self._score}[stage]
        run()

    def _retrieve(self) -> None:
        if self._found is None:
            return
        assert self._pipeline is not None
        options, examples = self._options, self._benchmark.examples
        self._say(f"Retrieving for {self._benchmark.name}")
        with _timed(self._found) as count:
            count.made = retrieve(
                self._pipeline,
                examples,
                self._pictures,
                self._found,
                found=max(options.depth, WEIGHED),
                batch=options.batch,
                only_missing=options.only_missing,
                tell=self._tell,
            )
        self._found.arrange((example.id for example in examples), keep=True)

    def _answer(self) -> None:
        if self._said is None:
            return
        assert self._pipeline is not None and self._pipeline.answering is not None
        options = self._options
        self._say(f"Answering {self._benchmark.name}")
        jobs = Jobs(
            self._benchmark.examples,
            options.conditions,
            self._pictures,
            self._pipeline.index if options.retrieval else None,
            self._found,
            self._pipeline.answering.plan.passages,
        )
        served = isinstance(self._pipeline.answering.generator, OpenAIGenerator)
        with _timed(self._said) as count:
            count.made = answer(
                self._pipeline,
                jobs,
                self._pictures,
                self._said,
                concurrency=options.concurrency if served else 1,
                only_missing=options.only_missing,
                tell=self._tell,
            )
        self._said.arrange(jobs.names(), keep=True)

    def _score(self) -> None:
        self._say(f"Scoring {self._benchmark.name}")
        if self._depth < self._options.depth:
            log.warning(
                "%s has %d passages for each question: recall is given up to there, not up to %d",
                *(self._out / RETRIEVAL_NAME, self._depth, self._options.depth),
            )
        scorer = Scorer(self._benchmark, self._pictures, self._found, self._said, self._depth)
        with _timed(self._scored) as count:
            count.made = scorer.all(self._scored_under, self._scored, self._tell)
        self._scored.arrange(scorer.names(self._scored_under))

    @property
    def _depth(self) -> int:
        """Return how deep figures go: no deeper than was searched, whoever scores it."""
        found = None if self._found is None else read_record(self._found.path).get("found")
        return min(self._options.depth, found) if found else self._options.depth

    @property
    def _scored_under(self) -> tuple[Condition, ...]:
        return self._options.conditions or ("retrieved",)

    def results(self, missing: int) -> Results:
        """Return the results, and write them."""
        results = results_of(
            self._benchmark,
            self._out,
            Rows(self._found, self._said, self._scored),
            settings={
                **json.loads(json_text(asdict(replace(self._options, depth=self._depth)))),
                "images": str(self._pictures.folder.root.resolve()),
            },
            missing=missing,
        )
        write_json(self._out / RESULTS_NAME, as_json(results))
        write_text(self._out / TABLE_NAME, summary_text(results))
        if self._found is not None:
            tag = self._benchmark.name.replace(" ", "-")
            ids = (example.id for example in self._benchmark.examples)
            rows = (row for id_ in ids if (row := self._found.get(id_)) is not None)
            trec.write_run(self._out / RUN_TREC_NAME, rows, tag)
            trec.write_qrels(self._out / QRELS_NAME, self._benchmark.examples)
        return results


class _Count:
    """How many rows a stage made."""

    made = 0


class _timed:
    """Records in run.json where and how long a stage ran, also where it was ended."""

    def __init__(self, rows: ResumableRows[Any]) -> None:
        self._rows, self._count, self._before = rows, _Count(), len(rows)
        self._watch = Stopwatch(read_record(rows.path).get("stage", {}))

    def __enter__(self) -> _Count:
        return self._count

    def __exit__(self, *exc_info: object) -> None:
        made = self._count.made or len(self._rows) - self._before
        section = read_record(self._rows.path)
        write_record(self._rows.path, {**section, "stage": self._watch.record(made)})


# Examples that are named, of those in whose way something stands.
_NAMED = 3


def _warn_of_absent_gold(pipeline: Pipeline | None, examples: Sequence[Example]) -> None:
    """Say before the run, not behind it, that examples can never be right with this index."""
    if pipeline is None or pipeline.index is None:
        return
    # Looked up some at a time: neither the index's ids nor all of these are in memory.
    counted = absent = 0
    first: list[str] = []
    with_gold = (example for example in examples if example.gold_passage_ids)
    while some := list(islice(with_gold, _LOOKED_UP)):
        wanted = sorted({id_ for example in some for id_ in example.gold_passage_ids})
        present = pipeline.index.content_hashes(wanted).keys()
        counted += len(some)
        without = [e for e in some if present.isdisjoint(e.gold_passage_ids)]
        absent += len(without)
        named = (f"{e.id} ({', '.join(e.gold_passage_ids[:2])})" for e in without)
        first += islice(named, _NAMED - len(first))
    if absent:
        log.warning(
            "%d of %d examples have no gold passage in the corpus %r: is it the right one? "
            "Such as, with what each would need: %s",
            *(absent, counted, pipeline.index.fingerprint.corpus, "; ".join(first)),
        )


def _check_conditions(pipeline: Pipeline | None, options: Options) -> None:
    needed = {"retrieve", "answer"}.intersection(options.stages)
    if pipeline is None:
        if needed:
            raise ValueError(f"{min(needed)!r} needs a pipeline")
        return
    if not options.conditions or pipeline.answering is None:
        return
    if "none" in options.conditions and isinstance(pipeline.answering.generator, ExtractiveReader):
        raise InvalidSettings(
            f"{pipeline.answering.generator.name} reads passages alone, and cannot answer without: "
            'leave out "none" and --no-retrieval, or set KBVQA_READER or KBVQA_GENERATOR_URL to '
            "something that writes"
        )


def _index_notes(pipeline: Pipeline | None) -> dict[str, Any]:
    """Return what is told of a pipeline's index by name."""
    if pipeline is None or pipeline.index is None:
        return {}
    made = pipeline.index.fingerprint
    return {
        "checkpoint": pipeline.encoder.checkpoint.id,
        "index": {"location": pipeline.index.location, **asdict(made)},
        "corpus": {
            "name": made.corpus,
            "sha256": made.corpus_sha256,
            "passages": pipeline.index.count,
        },
        **({"pictures": pipeline.pictures.file} if pipeline.pictures else {}),
    }


def _answer_notes(pipeline: Pipeline) -> dict[str, Any]:
    assert pipeline.answering is not None
    plan = pipeline.answering.plan
    return {
        "checkpoint": pipeline.encoder.checkpoint.id,
        "prompts": prompt_record(plan.strategy, plan.style),
        "server": server_version(pipeline.answering.generator),
        "judging": judging_record(pipeline.answering),
    }


def _write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write what is asked, for whoever reads the rows."""

    def lines() -> Iterator[str]:
        for example in examples:
            row = ExampleRow(
                id=example.id,
                image=example.image,
                question=example.question,
                answers=example.targets,
                searched=example.searched,
                gold_passage_ids=example.gold_passage_ids,
                groups=groups_of(example),
            )
            yield json_text(as_json(row)) + "\n"

    partial = path.with_name(f"{path.name}.partial")
    with writing(path), partial.open("w", encoding="utf-8") as file:
        file.writelines(lines())
    partial.replace(path)
