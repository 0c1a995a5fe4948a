"""How passages become an answer: five strategies behind one function.

extract         the words of a passage that answer, by the extractive reader: all at once
concat          the passages in one prompt, cited by number
ra-vqa          each passage read by itself; the joint choice of generator.answers.selection
critic          passages that the model judges irrelevant are left out, then as ra-vqa
no-retrieval    the question alone: the baseline

    answer = yield from respond(generator, query, hits, plan)

Nothing here makes up a citation: it is a number written by the generator and checked, the
passage whose reading won, or a passage that has the answer word for word.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from corpus.types import Citation, Hit, Passage, Query
from generator.answers.answer import Answer, Candidate, Evidence, Given, PromptRecord
from generator.answers.extracting import extract
from generator.answers.parsing import answer_text, contains, parse_answer, require_end
from generator.answers.plan import Answerer, AnswerPlan, require_strategy
from generator.answers.selection import choose, lead, log_prior
from generator.errors import BadCompletion, EmptyCompletion
from generator.extractive.reader import ExtractiveReader
from generator.interface import (
    Capabilities,
    Completion,
    Generator,
    Usage,
    Verdict,
    Work,
    overheard,
)
from generator.pictures import Picture
from generator.prompts import CHOICES, Prompt, closed, numbered, relevance, single
from generator.quoting import estimate_tokens

LEAST_TOKENS = 16  # of passages: fewer say nothing


def respond(
    generator: Answerer,
    query: Query,
    hits: Sequence[Hit],
    plan: AnswerPlan,
    *,
    caption: str = "",
    recognised: Sequence[str] = (),
) -> Work[Answer]:
    """Return the answer, which nobody has judged yet.

    Its pieces come where a model writes one answer: not where one is chosen, or pointed at.

    Args:
        generator: reads the passages, or continues the prompts.
        query: with its picture.
        hits: what was found, the best first; the first of them are read, selection.WEIGHED of
            them tell how far one stands out.
        plan: how.
        caption: what is known of the picture in words, for RA-VQA's prompt.
        recognised: names of what the picture surely shows, for the extractive reader.

    Raises:
        GeneratorError: the generator fails, or writes nothing.
        StrategyUnavailable: this generator does not have the strategy.
    """
    require_strategy(generator, plan.strategy)
    if isinstance(generator, ExtractiveReader):
        return extract(generator, query, hits, plan, recognised)
    can, picture = generator.capabilities(), Picture.of(query.image)
    job = _Job(generator, can, query, picture, hits, plan, caption)
    if plan.strategy == "no-retrieval" or not hits:
        return (yield from _closed(job))
    if plan.strategy == "concat":
        return (yield from _concat(job))
    return (yield from _one_by_one(job))


@dataclass(frozen=True, slots=True)
class _Job:
    """A question for something that writes, with all that is known of it; as for `respond`."""

    generator: Generator
    can: Capabilities
    query: Query
    picture: Picture | None
    hits: Sequence[Hit]
    plan: AnswerPlan
    caption: str

    @property
    def read(self) -> Sequence[Hit]:
        """Return the hits that are read."""
        return self.hits[: self.plan.passages]

    @property
    def sees(self) -> bool:
        """Return whether the generator is given the picture."""
        return self.picture is not None and self.can.images

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
                return made.showing(self.picture)
            budget = max(LEAST_TOKENS, budget - over)


def _closed(job: _Job) -> Work[Answer]:
    prompt = closed(job.query, job.plan.style).showing(job.picture)
    completion = yield from _ending(job.generator.stream(prompt))
    return Answer(
        answer_text(completion.text),
        (),
        "no-retrieval",
        evidence=Evidence(answer_logprob=completion.mean_logprob),
        prompts=(_record(prompt, ()),),
        usage=completion.usage,
        saw_picture=job.sees,
    )


def _concat(job: _Job) -> Work[Answer]:
    read = job.read
    passages = [hit.passage for hit in read]
    prompt = job.prompt(partial(numbered, job.query, passages))
    completion = yield from _ending(job.generator.stream(prompt))
    answer = parse_answer(completion.text, read)
    proved = any(contains(read[c.number - 1].passage.text, answer.text) for c in answer.citations)
    return replace(
        answer,
        evidence=Evidence(
            lead=lead(job.hits, min((c.number for c in answer.citations), default=len(read))),
            answer_logprob=completion.mean_logprob,
            agreement=float(proved),
        ),
        prompts=(_record(prompt, passages),),
        usage=completion.usage,
        saw_picture=job.sees,
        read=(numbers := tuple(range(1, len(read) + 1))),
        given=_given(prompt, numbers),
    )


def _one_by_one(job: _Job) -> Work[Answer]:
    read, plan = job.read, job.plan
    priors = log_prior([hit.score for hit in read], plan.temperature)
    prompted: list[PromptRecord] = []
    usage = Usage()
    judged: dict[int, float] = {}
    chosen = list(range(len(read)))
    if plan.strategy == "critic":
        verdicts = yield from _judged(job, prompted)
        usage = sum((verdict.usage for verdict in verdicts), usage)
        judged = {i: verdict.probabilities[0] for i, verdict in enumerate(verdicts)}
        # Where all are judged irrelevant the likeliest is read all the same; what the critic
        # thinks of it then counts against the answer.
        best = max(judged, key=lambda i: judged[i])
        chosen = [i for i in chosen if judged[i] >= plan.relevant_from] or [best]
    prompts = [
        job.prompt(partial(single, job.query, read[i].passage, caption=job.caption)) for i in chosen
    ]
    prompted += [_record(p, [read[i].passage]) for p, i in zip(prompts, chosen, strict=True)]
    completions = yield from job.generator.complete(prompts)
    usage = sum((completion.usage for completion in completions), usage)
    # A log-probability that is not known must not count as certainty beside those that are.
    known = all(c.token_logprobs for c in completions if c.text.strip())
    candidates = list(_candidates(chosen, completions, priors, judged, known))
    if not candidates:
        why = next((c.lack for c in completions if c.lack), "Ask again.")
        raise EmptyCompletion(f"{job.generator.name} wrote no answer to any passage. {why}")
    choice = choose(candidates, agree=plan.agree)
    winner = choice.winner
    return Answer(
        winner.text,
        (Citation(read[winner.number - 1].passage.id, winner.number, "selection"),),
        plan.strategy,
        evidence=Evidence(
            lead=lead(job.hits, winner.number),
            answer_logprob=winner.logprob if known else None,
            agreement=choice.share,
            relevance=judged.get(winner.number - 1),
        ),
        prompts=tuple(prompted),
        usage=usage,
        saw_picture=job.sees,
        candidates=tuple(candidates),
        read=tuple(i + 1 for i in chosen),
        given=tuple(g for p, i in zip(prompts, chosen, strict=True) for g in _given(p, (i + 1,))),
    )


def _ending(work: Work[Completion]) -> Work[Completion]:
    """Return the completion; one that repeats itself without end is stopped while it grows.

    Raises:
        BadCompletion: it was stopped.
    """
    text = ""

    def heard(piece: str) -> None:
        nonlocal text
        text += piece
        require_end(text)

    return (yield from overheard(work, heard))


def _judged(job: _Job, prompted: list[PromptRecord]) -> Work[list[Verdict]]:
    """Return the critic's verdict on each passage; its prompts are added to `prompted`."""
    passages = [hit.passage for hit in job.read]
    prompts = [job.prompt(partial(relevance, job.query, passage)) for passage in passages]
    prompted += [_record(prompt, [p]) for prompt, p in zip(prompts, passages, strict=True)]
    return (yield from job.generator.choose(prompts, CHOICES))


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


def _record(prompt: Prompt, passages: Sequence[Passage]) -> PromptRecord:
    ids = tuple(passage.id for passage in passages)
    return PromptRecord(prompt.name, prompt.sha256, ids, prompt.cut)


def _given(prompt: Prompt, numbers: Sequence[int]) -> tuple[Given, ...]:
    """Return the passages with these numbers as they stand in a prompt."""
    return tuple(
        Given(number, *text) for number, text in zip(numbers, prompt.passages, strict=True)
    )
