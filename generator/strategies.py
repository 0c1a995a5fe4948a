"""How passages become an answer: five strategies behind one function.

extract         the words of a passage that answer, by the extractive reader: all at once
concat          the passages in one prompt, cited by number
ra-vqa          each passage read by itself; the joint choice of generator.selection
critic          passages that the model judges irrelevant are left out, then as ra-vqa
no-retrieval    the question alone: the baseline

    for step in respond(generator, query, hits, plan):
        ...     # pieces of the answer as it grows, then a Reply

Nothing here makes up a citation: it is a number written by the generator and checked, the
passage whose reading won, or a passage that has the answer word for word.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as GeneratorOf
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar, get_args

from corpus.types import Answer, Citation, Hit, Passage, Query
from generator.answers import answer_text, contains, parse_answer
from generator.errors import BadCompletion, EmptyCompletion, StrategyUnavailable
from generator.extractive.reader import ExtractiveReader, Reading
from generator.identity import asks_identity
from generator.interface import Capabilities, Completion, Generator, Usage, Verdict
from generator.passages import estimate_tokens, one_line
from generator.prompts import (
    CHOICES,
    PASSAGE_TOKENS,
    Prompt,
    Style,
    closed,
    numbered,
    relevance,
    single,
)
from generator.selection import Candidate, choose, log_prior

Strategy = Literal["extract", "concat", "ra-vqa", "critic", "no-retrieval"]
# What answers: the extractive reader, or something that continues prompts.
Answerer = ExtractiveReader | Generator

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a question is to be answered.

    Attributes:
        strategy: see the module.
        style: how prompts are written; see generator.prompts.
        passages: how many of the hits are read, the best first.
        passage_tokens: for all passages of a prompt, by `passages.estimate_tokens`.
        temperature: of the retrieval scores.
        relevant_from: the critic keeps passages with at least this probability of "yes".
        delimit: False puts passages into prompts as they are, to measure what that prevents.
        agree: False counts answers that agree one by one, to measure what that prevents.
    """

    strategy: Strategy = "ra-vqa"
    style: Style = "few-shot"
    passages: int = 3
    passage_tokens: int = PASSAGE_TOKENS
    temperature: float = 1.0
    relevant_from: float = 0.5
    delimit: bool = True
    agree: bool = True


def usual_plan(generator: Answerer) -> Plan:
    """Return how a reader or generator is asked where nothing is set.

    The extractive reader points at words of five passages; a chat server, or another model, reads
    three one by one.
    """
    if isinstance(generator, ExtractiveReader):
        return Plan("extract", passages=5)
    return Plan("ra-vqa", style=generator.style)


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that was used.

    Attributes:
        name: of its template.
        sha256: of its text.
        passage_ids: of the passages in it.
        cut: tokens of passages and question that it had no room for, by
            `passages.estimate_tokens`.
    """

    name: str
    sha256: str
    passage_ids: tuple[str, ...]
    cut: int = 0


LIMIT = 12.0  # log-odds beyond which an extractive reader's certainty says no more

# Hits among which the one that an answer is from has to stand out.
WEIGHED = 10
LEAST_TOKENS = 16  # of passages: fewer say nothing


def lead(hits: Sequence[Hit], number: int) -> float | None:
    """Return how far a hit's score is above the mean of the others among the first WEIGHED.

    A passage that has the answer stands out; where none has, the best is one of many about
    the same thing. Unlike the score itself this means much the same for every kind of picture.
    None where there is one hit.

    Args:
        hits: the best first.
        number: of the hit, from 1.
    """
    scores = [hit.score for hit in hits[: max(WEIGHED, number)]]
    own = scores.pop(number - 1)
    return own - sum(scores) / len(scores) if scores else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer; None where it is not known.

    Attributes:
        lead: of the hit that the answer is from; see `lead`.
        answer_logprob: mean log-probability of the answer's tokens.
        agreement: the answer's part of all candidates' probability; for one prompt with all
            passages, 1 when a cited passage has the answer word for word, else 0.
        relevance: the critic's probability that the passage answers the question.
        answerable: of the extractive reader: log-odds of the answer against "no answer" in its
            passage, within -LIMIT and LIMIT.
    """

    lead: float | None = None
    answer_logprob: float | None = None
    agreement: float | None = None
    relevance: float | None = None
    answerable: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and how it came about.

    Attributes:
        answer: with its citations.
        strategy: that was followed.
        asked: the prompts.
        evidence: what speaks for it.
        usage: tokens of all prompts.
        saw_picture: whether the generator was given the picture.
        candidates: what each passage made of the question, where they were read one by one.
    """

    answer: Answer
    strategy: Strategy
    asked: tuple[Asked, ...]
    evidence: Evidence
    usage: Usage
    saw_picture: bool
    candidates: tuple[Candidate, ...] = ()


def respond(
    generator: Answerer, query: Query, hits: Sequence[Hit], plan: Plan, *, caption: str = ""
) -> GeneratorOf[str | Reply, None, None]:
    """Yield pieces of the answer as it grows ("" while it is worked on), then the reply.

    Args:
        generator: reads the passages, or continues the prompts.
        query: with its picture.
        hits: what was found, the best first; the first of them are read, WEIGHED of
            them tell how far one stands out.
        plan: how.
        caption: what is known of the picture in words, for RA-VQA's prompt.

    Raises:
        GeneratorError: the generator fails, or writes nothing.
        StrategyUnavailable: this generator does not have the strategy.
    """
    if plan.strategy not in get_args(Strategy):
        known = ", ".join(get_args(Strategy))
        raise StrategyUnavailable(f"{plan.strategy!r} is no strategy; choose from {known}.")
    reads = isinstance(generator, ExtractiveReader)
    if reads != (plan.strategy == "extract"):
        raise StrategyUnavailable(
            f"{generator.name} does not answer by {plan.strategy!r}: the extractive reader has "
            "'extract' alone, which others have not. Unset KBVQA_STRATEGY, or set KBVQA_READER or "
            "KBVQA_GENERATOR_URL to something that writes."
        )
    if isinstance(generator, ExtractiveReader):
        yield from _extracted(generator, query, hits, plan)
        return
    job = _Job(generator, generator.capabilities(), query, hits, plan, caption)
    if plan.strategy == "no-retrieval" or not hits:
        yield from _closed(job)
    elif plan.strategy == "concat":
        yield from _concat(job)
    else:
        yield from _one_by_one(job)


@dataclass(frozen=True, slots=True)
class _Job:
    """A question for something that writes, with all that is known of it; as for `respond`."""

    generator: Generator
    can: Capabilities
    query: Query
    hits: Sequence[Hit]
    plan: Plan
    caption: str

    @property
    def read(self) -> Sequence[Hit]:
        """Return the hits that are read."""
        return self.hits[: self.plan.passages]

    @property
    def sees(self) -> bool:
        """Return whether the generator is given the picture."""
        return self.query.image is not None and self.can.images

    def prompt(self, write: Callable[..., Prompt]) -> Prompt:
        """Return a prompt with as much of its passages as is wanted and there is room for.

        Where there is no room for any, the generator is left to say so.

        Args:
            write: makes it, given style, budget and delimit.
        """
        room, budget = self.can.prompt_tokens, self.plan.passage_tokens
        while True:
            made = write(style=self.plan.style, budget=budget, delimit=self.plan.delimit)
            over = 0 if room is None else estimate_tokens(made.text) - room
            if over <= 0 or budget <= LEAST_TOKENS:
                return made
            budget = max(LEAST_TOKENS, budget - over)


def _extracted(
    reader: ExtractiveReader, query: Query, hits: Sequence[Hit], plan: Plan
) -> GeneratorOf[str | Reply, None, None]:
    if not hits:
        raise StrategyUnavailable(
            f"{reader.name} answers from passages alone, and there are none. Ask with retrieval, "
            "or set KBVQA_READER or KBVQA_GENERATOR_URL to something that writes."
        )
    read = hits[: plan.passages]
    question = one_line(query.question)
    readings = reader.read(question, [hit.passage.text for hit in read], defend=plan.delimit)
    priors = log_prior([hit.score for hit in read], plan.temperature)
    candidates = [
        Candidate(i + 1, _words(question, read[i].passage, r), priors[i], r.logprob)
        for i, r in enumerate(readings)
        if r.text
    ]
    if not candidates:
        raise EmptyCompletion("No passage has words to answer with. Ask otherwise.")
    choice = choose(candidates, agree=plan.agree)
    winner = choice.winner
    reading = readings[winner.number - 1]
    yield winner.text
    yield Reply(
        Answer(
            winner.text,
            tuple(
                Citation(
                    read[c.number - 1].passage.id, c.number, "span", readings[c.number - 1].spans
                )
                for c in choice.agreeing
            ),
        ),
        "extract",
        (),
        Evidence(
            lead=lead(hits, winner.number),
            answer_logprob=reading.logprob,
            agreement=choice.share,
            answerable=max(-LIMIT, min(LIMIT, reading.logprob - reading.none_logprob)),
        ),
        Usage(),
        saw_picture=False,
        candidates=tuple(candidates),
    )


def _words(question: str, passage: Passage, reading: Reading) -> str:
    """Return an answer as it is shown: "what is this?" is answered with the thing's name first."""
    text = one_line(reading.text)
    if reading.kind == "definition" and passage.title and asks_identity(question):
        return text if contains(text, passage.title) else f"{one_line(passage.title)}: {text}"
    return text


def _closed(job: _Job) -> GeneratorOf[str | Reply, None, None]:
    prompt = closed(job.query, job.plan.style)
    completion = yield from _written(job.generator.stream(prompt))
    yield Reply(
        Answer(answer_text(completion.text)),
        "no-retrieval",
        (_asked(prompt, ()),),
        Evidence(answer_logprob=completion.mean_logprob),
        completion.usage,
        job.sees,
    )


def _concat(job: _Job) -> GeneratorOf[str | Reply, None, None]:
    read = job.read
    passages = [hit.passage for hit in read]
    prompt = job.prompt(partial(numbered, job.query, passages))
    completion = yield from _written(job.generator.stream(prompt))
    answer = parse_answer(completion.text, read)
    proved = any(contains(read[c.number - 1].passage.text, answer.text) for c in answer.citations)
    yield Reply(
        answer,
        "concat",
        (_asked(prompt, passages),),
        Evidence(
            lead=lead(job.hits, min((c.number for c in answer.citations), default=len(read))),
            answer_logprob=completion.mean_logprob,
            agreement=float(proved),
        ),
        completion.usage,
        job.sees,
    )


def _one_by_one(job: _Job) -> GeneratorOf[str | Reply, None, None]:
    read, plan = job.read, job.plan
    priors = log_prior([hit.score for hit in read], plan.temperature)
    asked: list[Asked] = []
    usage = Usage()
    judged: dict[int, float] = {}
    chosen = list(range(len(read)))
    if plan.strategy == "critic":
        verdicts = yield from _judged(job, asked)
        usage = sum((verdict.usage for verdict in verdicts), usage)
        judged = {i: verdict.probabilities[0] for i, verdict in enumerate(verdicts)}
        # Where all are judged irrelevant the likeliest is read all the same; what the critic
        # thinks of it then counts against the answer.
        best = max(judged, key=lambda i: judged[i])
        chosen = [i for i in chosen if judged[i] >= plan.relevant_from] or [best]
    prompts = [
        job.prompt(partial(single, job.query, read[i].passage, caption=job.caption)) for i in chosen
    ]
    asked += [_asked(p, [read[i].passage]) for p, i in zip(prompts, chosen, strict=True)]
    completions = yield from _waited(job.generator.complete(prompts))
    usage = sum((completion.usage for completion in completions), usage)
    # A log-probability that is not known must not count as certainty beside those that are.
    known = all(c.token_logprobs for c in completions if c.text.strip())
    candidates = list(_candidates(chosen, completions, priors, judged, known))
    if not candidates:
        why = next((c.lack for c in completions if c.lack), "Ask again.")
        raise EmptyCompletion(f"{job.generator.name} wrote no answer to any passage. {why}")
    choice = choose(candidates, agree=plan.agree)
    winner = choice.winner
    yield winner.text
    yield Reply(
        Answer(winner.text, (_citation(read, winner.number),)),
        plan.strategy,
        tuple(asked),
        Evidence(
            lead=lead(job.hits, winner.number),
            answer_logprob=winner.logprob if known else None,
            agreement=choice.share,
            relevance=judged.get(winner.number - 1),
        ),
        usage,
        job.sees,
        tuple(candidates),
    )


def _judged(job: _Job, asked: list[Asked]) -> GeneratorOf[str, None, list[Verdict]]:
    """Return the critic's verdict on each passage; its prompts are added to `asked`."""
    passages = [hit.passage for hit in job.read]
    prompts = [job.prompt(partial(relevance, job.query, passage)) for passage in passages]
    asked += [_asked(prompt, [p]) for prompt, p in zip(prompts, passages, strict=True)]
    return (yield from _waited(job.generator.choose(prompts, CHOICES)))


def _candidates(
    chosen: Sequence[int],
    completions: Sequence[Completion],
    priors: Sequence[float],
    judged: dict[int, float],
    known: bool,
) -> Iterator[Candidate]:
    for i, completion in zip(chosen, completions, strict=True):
        relevant = math.log(max(judged.get(i, 1.0), 1e-6))
        # A passage to which nothing was written has no say.
        with suppress(BadCompletion):
            text = answer_text(completion.text)
            logprob = (completion.mean_logprob or 0.0) if known else 0.0
            yield Candidate(i + 1, text, priors[i] + relevant, logprob)


def _citation(read: Sequence[Hit], number: int) -> Citation:
    return Citation(read[number - 1].passage.id, number, "selection")


def _asked(prompt: Prompt, passages: Sequence[Passage]) -> Asked:
    ids = tuple(passage.id for passage in passages)
    return Asked(prompt.name, prompt.sha256, ids, prompt.cut)


def _written(
    pieces: GeneratorOf[str | Completion, None, None],
) -> GeneratorOf[str, None, Completion]:
    """Yield the pieces and return the completion."""
    with closing(pieces):
        for piece in pieces:
            if isinstance(piece, Completion):
                return piece
            yield piece
    raise BadCompletion("The generator ended without a completion. Ask again.")


def _waited(work: GeneratorOf[_T | None, None, None]) -> GeneratorOf[str, None, _T]:
    """Yield "" while the work goes on and return its result."""
    with closing(work):
        for result in work:
            if result is not None:
                return result
            yield ""
    raise BadCompletion("The generator ended without a result. Ask again.")
