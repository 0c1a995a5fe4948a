"""What the page shows, as HTML. Pure functions; every text from outside is escaped here.

answer area     earlier(turns), asked(question), then
                waiting | streaming | answered [alone] | problem | stopped
question area   hint
passage area    figures(result), below the cards of app.web.shown.cards
"""

import re
from collections.abc import Sequence

from app.flow.events import Result, Retrieval
from app.flow.notes import CHOSEN, RECOGNISED, shown_alike
from app.web.shown.marked import as_html
from app.web.texts import STRATEGIES
from generator.answers.answer import Answer
from generator.rewriting import Turn

_BRACKET = re.compile(r"\s*\[[^\]]*(\]|$)")
_LONG = 70  # characters of an answer that is shown as text, not as a headline
_STEP_NAMES = {"encode": "look", "search": "search", "generate": "read", "total": "total"}


def waiting(text: str) -> str:
    """Return the answer area while nothing is there to read."""
    return f'<div class="kb-answer"><p class="kb-wait">{as_html(text)}</p></div>'


def in_line(others: int) -> str:
    """Return the answer area while the question waits for those of other pages."""
    return waiting(f"{others} others are asking just now: your question waits for its turn")


def crowded(others: int) -> str:
    """Return the answer area where too many wait already."""
    return problem(
        f"{others} questions are being answered or wait. Ask again in a minute.",
        title="Too many are asking just now",
        again=True,
    )


def streaming(retrieval: Retrieval, completion: str) -> str:
    """Return the answer area while the completion grows. Citations wait for the parsed answer."""
    text = _BRACKET.sub("", completion).strip()
    if not text:
        return waiting("Reading the passages")
    return (
        f'<div class="kb-answer">{_seen(retrieval)}'
        f'<p class="kb-text kb-growing">{as_html(text)}</p></div>'
    )


def earlier(turns: Sequence[Turn]) -> str:
    """Return what was asked before about the same picture; "" for nothing."""
    if not turns:
        return ""
    said = "".join(
        f"<li>{as_html(turn.question)} <b>{as_html(turn.answer) or '(no answer)'}</b>"
        f"{' (not sure)' if turn.unsure and turn.answer else ''}</li>"
        for turn in turns
    )
    return f'<ol class="kb-earlier" aria-label="Asked before about this picture">{said}</ol>'


def asked(question: str) -> str:
    """Return the question above its answer, as typed; the field may hold another one by then."""
    return f'<p class="kb-asked"><span>Asked</span>{as_html(question.strip())}</p>'


def hint(message: str) -> str:
    """Return what stands at the field of the question where that cannot be asked."""
    return f'<p class="kb-hint kb-note" role="alert">{as_html(message)}</p>'


def alone(text: str, *, growing: bool = False) -> str:
    """Return what the same model says without passages, to stand beside the answer.

    Args:
        text: what it wrote; "" while there is nothing.
        growing: whether more may come.
    """
    shown = f'<p class="kb-alone-text">{as_html(text)}</p>'
    body = shown if text or not growing else '<p class="kb-wait">Asking the model alone</p>'
    return (
        '<section class="kb-answer kb-alone"><h3>Without passages: the model alone</h3>'
        f'{body}<p class="kb-hint">From what it remembers. Nothing proves it.</p></section>'
    )


def answered(answer: Answer, found: Retrieval, notes: Sequence[str] = ()) -> str:
    """Return the answer area with the finished answer, its citations and how far to trust it.

    Args:
        answer: as the user gets it.
        found: what was found, and seen in the picture.
        notes: what to know beside it.
    """
    chips = " ".join(
        f'<a class="kb-chip kb-{as_html(c.origin)}" href="#passage-{c.number}" '
        f'title="{_CHIP_TITLES.get(c.origin, "")}">[{c.number}]</a>'
        for c in sorted(answer.citations, key=lambda citation: citation.number)
    )
    uncited = (
        "No passage was read for this answer."
        if answer.strategy == "no-retrieval"
        else "No passage is cited for this answer."
    )
    said = answer.withheld or answer.confidence.seen_alone  # in the banner
    proof = "" if chips or said else f'<p class="kb-hint">{uncited}</p>'
    long = " kb-long" if len(answer.text) > _LONG else ""
    return (
        f'<div class="kb-answer">{_seen(found)}{_trust(answer)}'
        f'<p class="kb-text{long}">{as_html(answer.text)} {chips}</p>{proof}{_notes(notes)}'
        f"{_how(answer)}{_similar(found)}</div>"
    )


def _seen(found: Retrieval) -> str:
    """Return what was asked and looked at, and what was recognised."""
    lines = [("Asked as", found.asked_as)] if found.asked_as else []
    if found.sources:
        lines.append(("Searched only", "; ".join(found.sources)))
    if found.boxes:
        parts = (f"{a},{b} to {c},{d}" for a, b, c, d in found.boxes)
        by = CHOSEN if found.chosen else ""
        lines.append(("Looked at", f"the part from {' and from '.join(parts)}, in pixels{by}"))
    if found.recognised:
        lines.append((RECOGNISED[found.surely], ", ".join(found.recognised)))
    return "".join(_line(name, what) for name, what in lines)


def _similar(found: Retrieval) -> str:
    """Return which pictures of known things are like the one that was asked about."""
    alike = shown_alike((like.name or like.image, like.similarity) for like in found.named)
    return _line("Similar pictures", alike) if alike else ""


def _line(name: str, what: str) -> str:
    return f'<p class="kb-seen"><span>{name}</span>{as_html(what)}</p>'


def _notes(notes: Sequence[str]) -> str:
    """Return what to know beside an answer."""
    return "".join(f'<p class="kb-note" role="status">{as_html(note)}</p>' for note in notes)


def _trust(answer: Answer) -> str:
    """Return the banner over an answer that is not simply given."""
    confidence = answer.confidence
    if confidence.verdict == "given":
        return ""
    title = "Not sure" if confidence.verdict == "unsure" else "Withheld"
    why = "; ".join(confidence.reasons)
    return (
        f'<div class="kb-unsure" role="status"><strong>{title}</strong> '
        f"{as_html(why[:1].upper() + why[1:])}.</div>"
    )


def _how(answer: Answer) -> str:
    """Return the line on confidence, strategy, and what the generator was given.

    "" where nothing that was read is shown.
    """
    if answer.withheld or answer.confidence.seen_alone:
        return ""
    trust = f" · {answer.confidence}" if str(answer.confidence) else ""
    seen = ""
    if answer.strategy != "extract" and not answer.saw_picture:
        alone = answer.strategy == "no-retrieval"
        seen = " · the generator saw no picture, only "
        seen += "the question" if alone else "the passages found with it"
    cut = sum(prompt.cut for prompt in answer.prompts)
    left_out = f" · about {cut:,} tokens of passages and question did not fit" if cut else ""
    said = f"{STRATEGIES[answer.strategy]}{trust}{seen}{left_out}"
    return f'<p class="kb-hint kb-how">{as_html(said)}</p>'


_CHIP_TITLES = {
    "generator": "Cited with the answer",
    "match": "The answer stands word for word in this passage",
    "span": "The answer is the marked words of this passage",
    "selection": "The answer was read from this passage",
}


_AGAIN = '<button type="button" class="kb-again">Ask again</button>'


def problem(
    message: str, *, title: str = "That did not work", banner: str = "", again: bool = False
) -> str:
    """Return the answer area with a message in place of the answer.

    Args:
        message: what is wrong, and what to do.
        title: what it is about.
        banner: HTML above it.
        again: whether the same question may go well another time: a button asks it.
    """
    return (
        f'<div class="kb-answer">{banner}<div class="kb-problem" role="alert">'
        f"<strong>{as_html(title)}</strong><p>{as_html(message)}</p></div>"
        f"{_AGAIN if again else ''}</div>"
    )


def no_answer(retrieval: Retrieval, message: str, notes: Sequence[str] = ()) -> str:
    """Return the answer area when the passages were found and the generator failed."""
    return problem(
        message,
        title="No answer, but here are the passages",
        banner=_seen(retrieval) + _similar(retrieval) + _unsure(retrieval) + _notes(notes),
        again=True,
    )


def stopped() -> str:
    """Return the answer area after the user stopped the answer."""
    return f'<div class="kb-answer"><p class="kb-hint">Stopped.</p>{_AGAIN}</div>'


def figures(result: Result) -> str:
    """Return the line below the passages: time by step, and the models."""
    steps = " · ".join(
        f"{_STEP_NAMES.get(step, step)} {_duration(ms)}" for step, ms in result.timings_ms.items()
    )
    return f'<p class="kb-figures">{as_html(steps)}</p>'


def _unsure(retrieval: Retrieval) -> str:
    if not retrieval.unsure or retrieval.threshold is None:
        return ""
    best = f"scores {retrieval.hits[0].score:.2f}" if retrieval.hits else "was not found"
    return (
        '<div class="kb-unsure" role="status"><strong>Not sure</strong> '
        f"The best passage {best}; this checkpoint trusts scores from {retrieval.threshold:.2f}. "
        "The picture may show something the corpus does not know.</div>"
    )


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
