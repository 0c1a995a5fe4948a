"""The strategy `extract`: the words of a passage that answer, and every passage that agrees."""

import math
import re
from collections.abc import Sequence
from itertools import chain

from corpus.types import WHAT_IS_THIS, Citation, Hit, Passage, Query
from generator.answers.answer import (
    NOT_ABOUT,
    SEEN_ALONE,
    UNDECIDED,
    Answer,
    Candidate,
    Evidence,
    Given,
)
from generator.answers.deciding.asking import asks_yes_no
from generator.answers.deciding.numbers import asks_number
from generator.answers.deciding.rules import Verdict, decide, whole_items
from generator.answers.doubting import doubts_about, of_another_thing
from generator.answers.parsing import contains, same_answer
from generator.answers.plan import AnswerPlan
from generator.answers.selection import (
    choose,
    lead,
    log_prior,
    log_sum_exp,
    one_subject,
    subject_prior,
)
from generator.errors import EmptyCompletion, StrategyUnavailable
from generator.extractive.reader import ExtractiveReader, Reading
from generator.identity import asks_country, asks_identity, asks_person, of_a_country
from generator.quoting import one_line
from generator.sentences import sentences
from generator.values.beside import with_beside
from generator.values.shortening import shortened
from generator.values.tables import cells
from generator.values.wording import alike, telling

# What the log-odds against "no answer" count beside the answer's log-probability: two passages of
# a country may both have something to point at, and the right section has it more surely.
MARGIN = 0.2
# A passage that defines its subject does so with at least this log-probability.
_DEFINED_FROM = -2.0
# What stands before a kind in its sentence: "A pizza is a", "Whales are large". Not "is made of".
_DEFINES = re.compile(
    r"\b(?:(?:is|was)(?: \w+)? (?:the|an?|any|one)|are|were)\b"
    r"(?!.*\b(?:of|in|by|from|with|for|to|at|on|that|which|who|as)\b(?! the $))[^.;:()]{0,80}$"
)
# Without the words "yes" and "no": what is said is neither.
_NEITHER = "I cannot say; the passage has"
_LONGEST_QUOTE = 240  # characters
# Log-odds beyond which a reader's certainty says no more: against "no answer", and against
# everything else.
LIMIT, CERTAIN = 12.0, 8.0
# What `sureness` is at most, and the logarithm of how probable beside the likeliest passage's an
# answer has to be for its passage to be read at once.
_MOST_SURE, _COUNTS = MARGIN * LIMIT, math.log(1 / 100)
# And of how probable beside the best passage's a passage is, from which on down it is doubtful that
# it is about the picture's thing: a mandarin and an apple are as probable, an owl and a lion not.
_FAR = math.log(1 / 20)


def extract(
    reader: ExtractiveReader,
    query: Query,
    hits: Sequence[Hit],
    plan: AnswerPlan,
    recognised: Sequence[str] = (),
) -> Answer:
    """Return the answer that the reader takes out of the hits; arguments as for `respond`.

    "What is this?" of a picture that was recognised is answered by a passage about that, or where
    none was found by its name alone; "Which country is this?" by the name of the country found.

    Raises:
        StrategyUnavailable: there are no hits.
        EmptyCompletion: none of them has a word.
    """
    if not hits:
        raise StrategyUnavailable(
            f"{reader.name} answers from passages alone, and there are none. Ask with retrieval, "
            "or set KBVQA_READER or KBVQA_GENERATOR_URL to something that writes."
        )
    read = dict(enumerate(hits[: plan.passages], start=1))
    question = one_line(query.question)
    if asks_country(question) and read[1].passage.title:
        about = _of_one_subject(read, ())
        if any(of_a_country(hit.passage.text) for hit in about.values()):
            return _country(hits, read, about, plan)
    if asks_identity(question):
        about = _of_one_subject(read, recognised)
        if not about:
            return Answer(recognised[0], (), "extract", doubts=(SEEN_ALONE,))
        read = about
        if not asks_person(question):
            question = WHAT_IS_THIS  # however it was put
    scores = [hit.score for hit in read.values()]
    priors = dict(zip(read, log_prior(scores, plan.temperature), strict=True))
    texts = {number: hit.passage.text for number, hit in read.items()}

    readings: dict[int, Reading] = {}
    said: dict[int, tuple[str, tuple[tuple[int, int], ...]]] = {}

    def candidates_of(numbers: Sequence[int]) -> list[Candidate]:
        some = [texts[number] for number in numbers]
        readings.update(zip(numbers, reader.read(question, some, defend=plan.delimit), strict=True))
        told = [number for number in numbers if readings[number].text]
        said.update((n, shown(question, read[n].passage, readings[n])) for n in told)
        return [Candidate(n, said[n][0], priors[n], sureness(readings[n])) for n in told]

    # Reading is most of the time that a question takes.
    least = max(priors.values()) + _COUNTS - _MOST_SURE
    candidates = candidates_of([n for n in read if priors[n] >= least])
    unlikely = [n for n in read if priors[n] < least]
    if _might_count([priors[n] for n in unlikely], candidates, agree=plan.agree):
        candidates += candidates_of(unlikely)
    if not candidates:
        raise EmptyCompletion("No passage has words to answer with. Ask otherwise.")
    choice = choose(candidates, agree=plan.agree)
    winner = choice.winner
    reading = readings[winner.number]
    unlikely_of_it = query.image is not None and priors[winner.number] < priors[min(read)] + _FAR
    return Answer(
        winner.text,
        tuple(
            Citation(read[c.number].passage.id, c.number, "span", said[c.number][1])
            for c in choice.agreeing
        ),
        "extract",
        evidence=Evidence(
            lead=lead(hits, winner.number),
            answer_logprob=reading.logprob,
            agreement=choice.share,
            answerable=max(-LIMIT, min(LIMIT, reading.logprob - reading.none_logprob)),
            certain=max(-CERTAIN, min(CERTAIN, _log_odds(reading.logprob))),
            subject=one_subject(hits[: plan.passages], winner.number),
            subject_prior=subject_prior(hits, winner.number, plan.temperature),
        ),
        candidates=tuple(candidates),
        doubts=(
            *_doubts(
                question, read[winner.number].passage, winner.text, said[winner.number][1], reading
            ),
            *(
                _of_another(question, read[min(read)], read[winner.number])
                if unlikely_of_it
                else ()
            ),
        ),
        read=tuple(readings),
        given=tuple(Given(number, texts[number]) for number in readings),
    )


def _might_count(priors: Sequence[float], known: Sequence[Candidate], *, agree: bool) -> bool:
    """Return whether passages that were not read could change an answer, or how sure it is.

    They could not where all of them together, surest of whatever they say, are less than a
    hundredth as probable as the candidates, and less than what the best answer is ahead.

    Args:
        priors: log p(passage | query) of those that were not read.
        known: of those that were.
        agree: as for `choose`.
    """
    if not priors or not known:
        return bool(priors)
    most = math.exp(log_sum_exp(priors) + _MOST_SURE - log_sum_exp([c.score for c in known]))
    share = choose(known, agree=agree).share
    return most > 1 / 100 or 2 * share - 1 <= most


def _country(
    hits: Sequence[Hit], read: dict[int, Hit], about: dict[int, Hit], plan: AnswerPlan
) -> Answer:
    """Return the name of the country that the best passage, and those in `about`, are about.

    It is no reading: how sure it is hangs on what was found alone.
    """
    best = read[1].passage
    name = one_line(best.title)
    priors = log_prior([hit.score for hit in read.values()], plan.temperature)
    spans = ((0, len(name)),) if best.text.startswith(name) else ()
    return Answer(
        name,
        (Citation(best.id, 1, "span", spans),),
        "extract",
        evidence=Evidence(
            lead=lead(hits, 1),
            answer_logprob=0.0,
            agreement=sum(math.exp(priors[number - 1]) for number in about),
            answerable=LIMIT,
            certain=CERTAIN,
            subject=one_subject(hits[: plan.passages], 1),
            subject_prior=subject_prior(hits, 1, plan.temperature),
        ),
        candidates=(Candidate(1, name, priors[0], 0.0),),
        read=tuple(read),
        given=tuple(Given(number, hit.passage.text) for number, hit in read.items()),
    )


def _of_one_subject(read: dict[int, Hit], recognised: Sequence[str]) -> dict[int, Hit]:
    """Return the hits about what was recognised, else about what the best one is about.

    "What is this?" asks for one thing. Nothing where what was recognised was not found.
    """
    title = read[1].passage.title
    if recognised:
        return {n: hit for n, hit in read.items() if _about(hit.passage, recognised)}
    return {n: hit for n, hit in read.items() if not title or hit.passage.title == title}


def _doubts(
    question: str,
    passage: Passage,
    text: str,
    spans: tuple[tuple[int, int], ...],
    reading: Reading,
) -> tuple[str, ...]:
    """Return what speaks against an answer, whatever its probability."""
    if text.startswith(_NEITHER):
        return (UNDECIDED if reading.logprob >= reading.none_logprob else NOT_ABOUT,)
    if not spans or asks_yes_no(question) or asks_identity(question):
        return ()
    return doubts_about(question, passage.text, spans[0], passage.title)


def _of_another(question: str, best: Hit, winner: Hit) -> tuple[str, ...]:
    """Return what speaks against an answer from a passage that is not about the picture's thing."""
    other = winner.passage
    return of_another_thing(question, best.passage.title, other.title, other.text)


def sureness(reading: Reading) -> float:
    """Return what a reading adds to its passage's log-probability in the choice over passages."""
    return reading.logprob + MARGIN * min(LIMIT, reading.logprob - reading.none_logprob)


def _about(passage: Passage, names: Sequence[str]) -> bool:
    """Return whether a passage is about something with one of these names."""
    return any(contains(passage.title, name) or same_answer(passage.title, name) for name in names)


def _log_odds(logprob: float) -> float:
    """Return the log-odds of a probability; its logarithm itself where it is tiny."""
    return logprob - math.log(max(-math.expm1(min(logprob, 0.0)), 1e-12))


def _reason(
    question: str, text: str, span: tuple[int, int], said: Verdict | None
) -> tuple[int, int]:
    """Return the words that are shown beside yes, no or neither: items, or a whole sentence.

    "Elongated" is no reason to call a banana a berry; the amount is one to call a tower high.
    """
    span, asked = whole_items(question, text, span), telling(question)
    words = telling(text[slice(*span)])
    named = any(alike(word, other) for word in words for other in asked)
    return span if said and (named or asks_number(question)) else _as_said(text, span)


def _as_said(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Return the sentence that a range of a passage is in: "not" and "except" may stand anywhere.

    What is in a labelled field, or in a very long sentence, stays as it is.

    >>> text = "It is old. All but one can be reached with a wheelchair. It is new."
    >>> text[slice(*_as_said(text, (30, 55)))]
    'All but one can be reached with a wheelchair'
    """
    inside = [(a, b) for a, b in sentences(text) if a < span[1] and span[0] < b]
    start, end = inside[0][0], inside[-1][1]
    said = text[start:end].rstrip().rstrip(".")
    if ":" in said or ";" in said or len(said) > _LONGEST_QUOTE:
        return span
    return start, start + len(said)


def _is_kind(text: str, span: tuple[int, int]) -> bool:
    """Return whether the words at a span say what kind of thing a passage is about.

    The passage has to define it by them; one word before a comma may be the first of several
    adjectives.

    >>> text = "A pizza is a dish of dough. It was made in 1892 of flour."
    >>> [_is_kind(text, (text.index(w), text.index(w) + len(w))) for w in ("dish", "1892", "flour")]
    [True, False, False]
    """
    words = text[slice(*span)]
    if words[:1].isdigit() or (" " not in words and text[span[1] :].startswith(",")):
        return False
    begins = bool(re.match(r"(?:the|an?|any|one) ", words))
    before = text[: span[0]] + ("a " if begins else "")
    return _DEFINES.search(before) is not None


def shown(
    question: str, passage: Passage, reading: Reading
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return an answer as it is shown, and the characters of the passage that prove it.

    "What is this?" is answered with the name, and with the kind where the passage has it. A
    question for yes or no gets one where a rule tells; else the words that decide it, and that
    they do not say. To any other it is the part of the words that the question wants.
    """
    text = one_line(reading.text)
    if passage.title and asks_identity(question):
        name = one_line(passage.title)
        if reading.kind != "definition" or reading.logprob < _DEFINED_FROM:
            return name, reading.spans
        if not _is_kind(passage.text, reading.spans[0]):
            return name, reading.spans
        return (text if contains(text, name) else f"{name}: {text}"), reading.spans
    if asks_yes_no(question):
        said = None
        if reading.logprob > reading.none_logprob:  # else the words are not about the question
            said = decide(question, passage.text, reading.spans[0], passage.title)
        spans = tuple(_reason(question, passage.text, span, said) for span in reading.spans)
        words = one_line("; ".join(passage.text[a:b] for a, b in sorted(set(spans))))
        return (f"{said.capitalize()}: {words}" if said else f"{_NEITHER} “{words}”."), spans
    if reading.kind == "definition":
        return text, reading.spans
    parts = [
        tuple(with_beside(question, passage.text, r) for r in shortened(question, passage.text, s))
        for span in reading.spans
        for s in cells(question, passage.text, span)
    ]
    parts = list(dict.fromkeys(parts))
    listed = "; " if ";" in text else ", "
    said_of = [(spans[0][0], listed.join(passage.text[a:b] for a, b in spans)) for spans in parts]
    return one_line("; ".join(part for _, part in sorted(said_of))), tuple(chain(*parts))
