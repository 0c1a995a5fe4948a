"""What a run of an evaluation leaves behind, as types: the rows of its stages and its results.

    examples.jsonl     ExampleRow    what was asked, in the order of the benchmark
    retrieval.jsonl    RetrievalRow  what was found for it
    answers.jsonl      AnswerRow     what was said, under each condition
    scores.jsonl       ScoreRow      what that scores, and what went wrong
    results.json       Results       the figures, and how they came about
    table.md                         the figures to read
    run.trec, qrels.trec             hits and gold passages, as trec_eval takes them

A finished stage has one row for each example (and condition), in the order of the benchmark. A
row's `key` is a hash of all that it depends on: a row with another key is made again. Behind them
in retrieval.jsonl and answers.jsonl stand rows that an earlier run of another choice of examples or
conditions made; they are in no figure. `files.json_rows` reads and writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

EXAMPLES_NAME = "examples.jsonl"
RETRIEVAL_NAME = "retrieval.jsonl"
ANSWERS_NAME = "answers.jsonl"
SCORES_NAME = "scores.jsonl"
RESULTS_NAME = "results.json"
TABLE_NAME = "table.md"
RUN_TREC_NAME, QRELS_NAME = "run.trec", "qrels.trec"
MISSING_NAME = "missing-images.txt"

# What the generator is given: what was found; nothing; the gold passages; passages that were
# found for another question.
Condition = Literal["retrieved", "none", "gold", "distractors"]
CONDITIONS: tuple[Condition, ...] = ("retrieved", "none", "gold", "distractors")
# As people are shown them, everywhere.
CONDITION_NAMES: dict[str, str] = {
    "retrieved": "as retrieved",
    "none": "without passages",
    "gold": "with the gold passages",
    "distractors": "with another question's passages",
}
# "given", "unsure" and "withheld" as a user would get it; "failed" where there is no answer.
Status = Literal["given", "unsure", "withheld", "failed"]
# What became of an example under a condition: see ScoreRow.
Fate = Literal[
    "right",
    "not retrieved",
    "retrieved and not read",
    "read and scored wrong",
    "wrong",
    "not answered",
    "not scored",
    "retrieved",
]


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """An example as it was asked.

    Attributes:
        id: unique in the run.
        image: the picture's name under the image directory; "" for none.
        question: the question.
        answers: that count as right, as somebody would write them.
        searched: texts of which a passage that proves an answer contains one.
        gold_passage_ids: passages that prove an answer.
        groups: what figures are also given by, such as {"question_type": "templated"}.
    """

    id: str
    image: str
    question: str
    answers: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    gold_passage_ids: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    """What was found for an example.

    Attributes:
        id: of the example.
        key: of the picture, question, instruction, checkpoint, index and depth.
        hits: (passage id, score), the best first; none where it failed.
        search: "exact" where every passage was scored, else "two-stage".
        answer_rank: rank from 1 of the first hit whose text contains an answer; 0 for none.
        gold_in_corpus: how many of the example's gold passages the index has.
        judged: of the answers and gold passages that the two were found by.
        seen: what text-based vision wrote behind the question.
        cut: tokens at the question's end that the checkpoint has no room for.
        encode_ms: milliseconds of wall time for the query, its part of a batch.
        search_ms: likewise for the search.
        failure: why nothing was searched: "InvalidImage: ..."; "" where it was.
        similar: (image, entity, similarity) of pictures of entities that had a say.
    """

    id: str
    key: str
    hits: tuple[tuple[str, float], ...] = ()
    search: str = ""
    answer_rank: int = 0
    gold_in_corpus: int = 0
    judged: str = ""
    seen: str = ""
    cut: int = 0
    encode_ms: float = 0.0
    search_ms: float = 0.0
    failure: str = ""
    similar: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What was said to an example under a condition.

    Attributes:
        id: of the example.
        condition: what the generator was given.
        key: of the picture, question, passages, generator, prompts and strategy.
        text: what the generator said, withheld or not; "" where it wrote no word.
        status: how a user would get it, or "failed".
        reason: why it failed, is empty or not simply given; "" where nothing is to be said.
        confidence: the probability that it is right; None where nothing was calibrated.
        judged: of the calibration and thresholds that gave status and confidence.
        citations: ids of the passages that it cites.
        read: ids of the passages that were in a prompt, the best first.
        strategy: how passages became an answer.
        prompts: names of the prompts that were used.
        evidence: what speaks for the answer, as `generator` weighs it.
        doubts: reasons to doubt any answer to it.
        low: reasons of the retriever, which count where no confidence was fitted.
        saw_picture: whether the generator was given the picture.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        seconds: of wall time, from the first request to the last word.
    """

    id: str
    condition: Condition
    key: str
    text: str = ""
    status: Status = "given"
    reason: str = ""
    confidence: float | None = None
    judged: str = ""
    citations: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    strategy: str = ""
    prompts: tuple[str, ...] = ()
    evidence: Mapping[str, float | None] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    low: tuple[str, ...] = ()
    saw_picture: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """What an example scores under a condition, by the official names of metrics.

    Attributes:
        id: of the example.
        condition: under which it was answered; "retrieved" also where nothing was asked.
        key: of the example, its rows and the scorer.
        scores: of each metric that applies, from 0 to 1: 0 where there is no answer.
        fate: "right" (the main answer score is at least 1/2), or what went wrong first. A
            passage proves an answer if it is a gold passage or, for an example without one,
            contains an answer: "not retrieved" (none was found), "retrieved and not read" (none
            was in a prompt), "read and scored wrong"; "wrong" where nothing says which passages
            prove it, or none was given; "not answered"; "not scored" where the benchmark's own
            answer is unusable. Where only retrieval is measured, "retrieved" or "not retrieved".
        status: of the answer; "failed" also where only retrieval was asked for and failed.
        searched: whether something was found; without retrieval True.
        reason: why it was not answered, or cannot be scored.
    """

    id: str
    condition: Condition
    key: str
    scores: Mapping[str, float] = field(default_factory=dict)
    fate: Fate = "wrong"
    status: Status = "given"
    searched: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """The mean of a metric over examples.

    Attributes:
        metric: its official name, such as "vqa_accuracy" or "recall@5"; "_shown" behind it
            counts answers that are withheld as wrong.
        condition: under which.
        group: "" for all examples, or "question_type=templated".
        value: the mean, in which an example without an answer counts as 0.
        n: examples in it.
        stderr: the standard error of the mean.
        low: lower end of the bootstrap interval of 95 %.
        high: its upper end.
        answered: the mean over the examples that were answered; None for none.
        answered_n: how many were answered.
    """

    metric: str
    condition: Condition
    group: str
    value: float
    n: int
    stderr: float
    low: float
    high: float
    answered: float | None
    answered_n: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How something is distributed: mean and percentiles."""

    n: int
    mean: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of all examples under a condition.

    Attributes:
        n: examples asked.
        statuses: how many of each status.
        empty: answers without a word, among those.
        failures: how many failed or cannot be scored, by reason.
        fates: how many of each fate; see ScoreRow.
        right_of: of each status, the mean of the main answer score.
        fates_of: how many of each fate in each group, such as "question_type=templated".
        first_failures: of each reason the first example's id, and what was said of it.
    """

    n: int
    statuses: Mapping[str, int]
    empty: int
    failures: Mapping[str, int]
    fates: Mapping[str, int]
    right_of: Mapping[str, float]
    fates_of: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    first_failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the rows of a stage took. All of it is about time but the tokens.

    Attributes:
        prompt_tokens: read, by all answers.
        completion_tokens: written.
        latency_ms: for each step ("encode", "search", "answer"), milliseconds an example.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: Mapping[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageRecord:
    """Where and when a stage made its rows, and how fast; of several sittings the last one.

    Attributes:
        started: UTC, ISO 8601.
        seconds: of wall time, all sittings together.
        made: rows made in them.
        per_second: rows made a second.
        command: the command line.
        git: the revision of the code, "+changes" behind it where files differ; "unknown".
        packages: versions by name, "kbvqa" and "python" among them.
        processor: its name and number of cores.
        gpus: their names.
    """

    started: str
    seconds: float
    made: int
    per_second: float
    command: str
    git: str
    packages: Mapping[str, str]
    processor: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """How figures came about. What was not used is None or empty.

    Attributes:
        retrieval: what rows of retrieval depend on: checkpoint, index, depth, candidates; and
            how they were searched, as they say themselves.
        index: the index's fingerprint, and where it is.
        corpus: {"name", "sha256", "passages"}.
        answers: what answers depend on: generator, strategy, passages read, prompts.
        prompts: {name: hash} of the templates.
        server: the version that the generator's server reports; "" where it reports none.
        judging: the calibration and the thresholds that withhold answers.
        scoring: what scores depend on beside examples and answers.
        settings: what decides no figure, such as the concurrency and where the pictures lay.
        seeds: by what they are for.
        stages: by name: "retrieve", "answer", "score".
    """

    retrieval: Mapping[str, Any] | None
    index: Mapping[str, Any] | None
    corpus: Mapping[str, Any] | None
    answers: Mapping[str, Any] | None
    prompts: Mapping[str, str]
    server: str
    judging: Mapping[str, Any] | None
    scoring: str
    settings: Mapping[str, Any]
    seeds: Mapping[str, int]
    stages: Mapping[str, StageRecord]


@dataclass(frozen=True, slots=True)
class Results:
    """What came of a run: results.json.

    Attributes:
        benchmark: with its split, such as "m2kr-okvqa/test".
        headline: the metric that papers report; in `figures`, or else in `summary`.
        judged_by: the answer score that decides "right"; "" without answers.
        n: examples.
        figures: all of them.
        outcomes: by condition.
        cost: by condition; that of retrieval with "retrieved".
        search: how many were searched "exact", and how many "two-stage".
        gold_not_in_corpus: examples none of whose gold passages the index has.
        missing_images: pictures that are not there.
        summary: what is official only over the whole benchmark.
        notes: what a reader of the figures must know of the data.
        provenance: how they came about.
        examples_sha256: of examples.jsonl as it was scored; "" in results of earlier versions.
    """

    benchmark: str
    headline: str
    judged_by: str
    n: int
    figures: tuple[Figure, ...]
    outcomes: Mapping[str, Outcomes]
    cost: Mapping[str, Cost]
    search: Mapping[str, int]
    gold_not_in_corpus: int
    missing_images: int
    summary: Mapping[str, Any]
    notes: tuple[str, ...]
    provenance: Provenance
    examples_sha256: str = ""

    def find(
        self, metric: str, condition: Condition = "retrieved", group: str = ""
    ) -> Figure | None:
        """Return a figure, or None where it was not measured."""
        wanted = (metric, condition, group)
        found = (f for f in self.figures if (f.metric, f.condition, f.group) == wanted)
        return next(found, None)

    def figure(self, metric: str, condition: Condition = "retrieved", group: str = "") -> Figure:
        """Return a figure. Raises KeyError where it was not measured."""
        if (found := self.find(metric, condition, group)) is None:
            raise KeyError(f"{metric} of {condition!r} {group}".rstrip())
        return found
