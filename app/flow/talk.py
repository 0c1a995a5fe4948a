"""A question that follows on others about the same picture, made to stand alone before a search.

    turns = (Turn("What is the capital of this country?", "Nairobi", about="Kenya"),)
    alone = yield from stand_alone("and its population?", turns, answering, longest=500)

Where a server answers, its model writes the question anew. Where nothing here can, or the server
does not, a rule does what can be done surely: see `by_rule`. The page, the API and the command line
come through `Pipeline.run`, and so through here.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidQuestion
from app.flow.fragments import asked_further, put_in_place
from app.flow.subject import NAME, NAME_ALONE
from generator.answers.answering import Answering
from generator.errors import GeneratorError, GeneratorTimeout
from generator.interface import Waiting, Work
from generator.prompts import Prompt
from generator.rewriting import Turn, rewriting, rewritten
from generator.server.client import OpenAIGenerator

# Of a conversation so many turns are kept, the last.
MOST_TURNS = 8
REWRITE_SECONDS = 10.0
_LEAST_TOKENS = 64

# Not of a word such as "so-called" or "and/or".
_CONNECTIVE = re.compile(
    r"(?:(?:and|but|so|then|also|ok|okay)\b(?![-/]\w)[\s,:;.…-]*)+", re.IGNORECASE
)
_ABOUT = re.compile(r"(?:(?:what|how) about|what of)\s+(?P<what>.+)", re.IGNORECASE)
_QUESTION_WORD = re.compile(
    r"(?:who|whom|whose|what|which|when|where|why|how|is|are|was|were|do|does|did|can|could|has|"
    r"have|had|will|would|should|may|name|tell|list)\b",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(r"(?:in|on|at|of|by|for|to|from)\b", re.IGNORECASE)
_BARE = re.compile(
    rf"(?:{_CONNECTIVE.pattern})?(?P<word>why|when|where|how|here|there)[\s?!.…]*",
    re.IGNORECASE,
)
# "in Tanzania", "about Tanzania"; "GDP" is no name of what is asked about.
_OF_ANOTHER = re.compile(
    r"(?:(?:what|how) about|what of|in|of|for|with) (?:the )?"
    rf"(?P<name>(?=\w*[a-z]){NAME})[\s?!.…]*",
)
# "What about the ginkgo?": a name, if a passage has it.
_OF_A_THING = re.compile(
    r"(?:what|how) (?:about|of) (?P<name>(?:the|an?) \w[\w' -]*?)[\s?!.…]*", re.IGNORECASE
)
_VERB = re.compile(r"\b(?:is|are|was|were|do|does|did|can|has|have|had|will)\b", re.IGNORECASE)
_BELONGS = re.compile(r"(?:the|its|their|his|her)\s+\S", re.IGNORECASE)
_PLURAL = re.compile(r"[^isu]s$", re.IGNORECASE)
_PRONOUN = re.compile(r"\bit(s)?\b(?!['’])", re.IGNORECASE)
# "What time is it?", "Is it true that", "How far is it to", "Does it rain", "How long does it take
# to": there the word stands for nothing, or may.
_EMPTY = re.compile(
    r"\b(?:time|far|day|date) is it\b|\bit (?:true|possible|likely|take|(?:rain|snow)(?:ing)?)\b",
    re.IGNORECASE,
)
# A word inside a question, perhaps in quotes: a name where it begins with a capital.
_INNER = re.compile(r"(?<=[\w,;:] )[\"'“”‘„«(]*(\w+)|[\"“„«](\w+)")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alone:
    """A question that can be understood without what was asked before it.

    Attributes:
        question: as it is asked now.
        note: what its user should know of how it came about, a sentence; "" for nothing.
    """

    question: str
    note: str = ""


def stand_alone(
    question: str,
    turns: Sequence[Turn],
    answering: Answering | None,
    *,
    longest: int,
    named: Callable[[str], bool] = lambda name: False,
) -> Work[Alone]:
    """Return a question as it can be understood without the turns before it.

    A server that fails, is slow, or writes no question costs nobody the answer: the rule then does
    what it can, and a note says so.

    Args:
        question: as typed.
        turns: what was asked before about the same picture, the earliest first; one at least.
        answering: what answers; None where only passages are looked for.
        longest: characters that a question may have.
        named: whether there are passages about what has a name.
    """
    about = next((turn.about for turn in reversed(turns) if turn.about), "")
    ruled = by_rule(question, about, turns[-1].question, named)
    ruled = ruled if len(ruled) <= longest else question
    if answering is None or not isinstance(answering.generator, OpenAIGenerator):
        return Alone(ruled)
    prompt = rewriting(question, turns, answering.plan.style)
    try:
        text = yield from _written(answering.generator, prompt)
    except GeneratorError as exc:
        log.warning("a follow-up is not written anew: %s", exc)
        slow = isinstance(exc, GeneratorTimeout)
        return Alone(ruled, _not_written("took too long" if slow else "failed", question, ruled))
    written = rewritten(text, longest)
    if written is None:
        log.warning("a follow-up is not written anew: the server wrote no question")
        log.debug("what it wrote: %.80r", text)  # what people ask, perhaps
        return Alone(ruled, _not_written("wrote something else", question, ruled))
    return Alone(written)


def writes_anew(answering: Answering | None) -> bool:
    """Return whether a model writes follow-ups anew, which may give any word a subject."""
    return answering is not None and isinstance(answering.generator, OpenAIGenerator)


def require_whole(question: str) -> None:
    """Raise InvalidQuestion where a question is a question word alone, which asks nothing.

    >>> require_whole("And why is it red?")
    """
    if found := _BARE.fullmatch(question.strip()):
        raise InvalidQuestion(f"{found['word'].capitalize()} what? Ask a whole question.")


def _not_written(why: str, question: str, ruled: str) -> str:
    """Return what to tell of a question that a server should have written anew."""
    how = "as you wrote it" if ruled == question else "as a rule makes it stand alone"
    return (
        "The server that should put this follow-up into a question of its own "
        f"{why}: it was asked {how}."
    )


def by_rule(
    question: str,
    about: str,
    before: str = "",
    named: Callable[[str], bool] = lambda name: False,
) -> str:
    """Return a follow-up with what a rule can do to make it stand alone.

    A connective at its beginning goes; "its capital?" and "what about the capital?" become whole
    questions; and where it is known what the last answer is about, its name takes the place of
    "it" or "its". Where the question names something itself they may mean that, and stay. The
    picture still goes with the question, and says what "they" and "this country" are. "What about
    Tanzania?" asks of it what was asked last, and so does a piece of a question that has its like
    in that (`fragments.put_in_place`).

    Args:
        question: as typed.
        about: the name of what the last answer is about; "" where that is not known.
        before: what was asked last, such that it stands alone.
        named: whether there are passages about what has a name, without its article.

    >>> by_rule("and its capital?", "Kenya")
    "What is Kenya's capital?"
    >>> by_rule("And when was it built?", "")
    'When was it built?'
    >>> by_rule("and in Tanzania?", "Kenya", "What is the capital of this country?")
    'What is the capital of Tanzania?'
    >>> by_rule("and for a week?", "", "What does it cost to rent this for a day?")
    'What does it cost to rent this for a week?'
    >>> by_rule("what about the ginkgo?", "", "How tall is this tree?", {"ginkgo"}.__contains__)
    'How tall is the ginkgo?'
    """
    asked = _CONNECTIVE.sub("", question, count=1) if _CONNECTIVE.match(question) else question
    if not asked.strip(" ?!.…"):
        return question
    another = _OF_ANOTHER.fullmatch(asked[:1].lower() + asked[1:])
    if another and (again := _again(before, about, another["name"])):
        return again
    # "And Uganda?": behind a connective, if a passage has it.
    alone = NAME_ALONE.fullmatch(asked) if asked != question else None
    if alone and named(alone["name"]) and (again := _again(before, about, alone["name"])):
        return again
    thing = _OF_A_THING.fullmatch(asked)
    again = _again(before, about, thing["name"]) if thing else ""
    if thing and again and named(thing["name"].split(maxsplit=1)[1]):
        return again
    found = _ABOUT.fullmatch(asked)
    what = found["what"] if found else asked
    bare = what.rstrip(" ?!.…")
    asks = _QUESTION_WORD.match(bare) or _VERB.search(bare)
    whole = asks or _PREPOSITION.match(bare)
    belongs = _BELONGS.match(bare)
    placed = "" if asks or (asked == question and not found) else put_in_place(bare, before)
    placed = placed or asked_further(bare, before)
    if placed:
        asked = placed
    elif whole or belongs:
        asked = what
    if belongs and not whole and not placed:
        asked = f"What {'are' if _PLURAL.search(bare) else 'is'} {bare[:1].lower()}{bare[1:]}?"
    if about and not _EMPTY.search(asked) and not _names_something(asked):
        asked = _named(asked, about)
    return asked[:1].upper() + asked[1:] if asked != question else question


def require_same_picture(turns: Sequence[Turn], picture: str) -> None:
    """Raise InvalidQuestion where what was asked before is about another picture.

    Args:
        turns: what was asked before; one that does not say its picture may be about any.
        picture: by `corpus.pictures.images.pixels_sha256`; "" for a question without one, which
            may be about any too.
    """
    if picture and any(turn.picture not in ("", picture) for turn in turns):
        raise InvalidQuestion(
            "What was asked before is about another picture. Give that picture, or ask this as a "
            'new question: without --after on the command line, without "after" in the API.'
        )


def turns_of(record: Mapping[str, Any]) -> tuple[Turn, ...]:
    """Return the conversation up to an answer, that answer included.

    Args:
        record: an answer as `app.asking.report.recorded` has it, from a browser or a file.

    Raises:
        InvalidQuestion: it is nothing of the kind.
    """
    before = turns_before(record)
    last = {name: record.get(name) or "" for name in ("answer", "about", "picture")}
    question = record.get("asked_as") or record.get("question")
    unsure = record.get("unsure", False)
    return (*before, _turn({"question": question, **last, "unsure": unsure}))[-MOST_TURNS:]


def turns_before(record: Mapping[str, Any]) -> tuple[Turn, ...]:
    """Return the conversation before an answer; arguments and errors as for `turns_of`."""
    before = record.get("after") or []
    if not isinstance(before, list):
        raise InvalidQuestion(_UNKNOWN)
    return tuple(map(_turn, before))[-MOST_TURNS:]


_UNKNOWN = "The conversation before this question is not one. Begin a new question."


def _turn(said: Any) -> Turn:
    names = ("question", "answer", "about", "picture")
    texts = {name: said.get(name, "") for name in names} if isinstance(said, dict) else {}
    if not texts.get("question") or not all(isinstance(text, str) for text in texts.values()):
        raise InvalidQuestion(_UNKNOWN)
    return Turn(**texts, unsure=said.get("unsure") is True)


def _names_something(asked: str) -> bool:
    """Return whether a question has a name of its own, in letters of any script with capitals."""
    words = (word[1] or word[2] for word in _INNER.finditer(asked))
    return any(word[0].isupper() and len(word) > 1 for word in words)


def _again(before: str, about: str, name: str) -> str:
    """Return what was asked before, of something else; "" where it does not say of what it was."""
    own = [rf"\b{re.escape(about)}\b"] if about else []
    for meant in (*own, r"\b(?:this|that) (?!is\b|was\b)\w+", r"\bit\b(?!['’])"):
        if re.search(meant, before, re.IGNORECASE):
            return re.sub(meant, name, before, count=1, flags=re.IGNORECASE)
    return ""


def _named(asked: str, about: str) -> str:
    """Return a question with a name in the place of its first pronoun."""
    possessive = f"{about}'" if about.endswith("s") else f"{about}'s"
    return _PRONOUN.sub(lambda word: possessive if word[1] else about, asked, count=1)


def _written(server: OpenAIGenerator, prompt: Prompt) -> Work[str]:
    """Return what a server writes, nothing of it coming as pieces: it is not the answer.

    Raises:
        GeneratorError: the server fails, or takes longer than REWRITE_SECONDS.
    """
    deadline = time.monotonic() + REWRITE_SECONDS
    tokens = max(_LEAST_TOKENS, server.capabilities().answer_tokens)
    with closing(server.stream(prompt, max_tokens=tokens)) as work:
        while True:
            try:
                next(work)
            except StopIteration as end:
                return str(end.value.text)
            if time.monotonic() > deadline:
                raise GeneratorTimeout(f"no question after {REWRITE_SECONDS:.0f} s")
            yield Waiting()
