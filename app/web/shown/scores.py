"""How the scores of the passages compare, as HTML: a plot that opens. Pure functions."""

from app.flow.events import Retrieval
from app.web.shown.marked import as_html
from generator.answers.answer import Answer
from generator.answers.selection import WEIGHED


def plot(found: Retrieval, answer: Answer | None = None, needed: float | None = None) -> str:
    """Return why the first passages and not the others: a dot for each, and what they must reach.

    Args:
        found: the hits and the checkpoint's threshold.
        answer: whose evidence says how far its passage leads; None for no answer.
        needed: the lead from which the answer is given without a doubt; None where none is known.
    """
    if not found.hits:
        return ""
    lines = _lines(found, answer, needed)
    places = [*(hit.score for hit in found.hits), *(at for at, _, _ in lines)]
    low, high = min(places), max(places)
    margin = 0.04 * (high - low) or 1.0

    def at(score: float) -> str:
        return f"{(score - low + margin) / (high - low + 2 * margin):.2%}"

    cited = {citation.number for citation in answer.citations} if answer else set()
    rows = "".join(
        f"<li{' data-cited' if number in cited else ''}><span>{number}&ensp;"
        f'{as_html(hit.passage.title or hit.passage.id)}</span><i style="--at:{at(hit.score)}"></i>'
        f"<b>{hit.score:.1f}</b></li>"
        for number, hit in enumerate(found.hits, start=1)
    )
    marks = "".join(
        f'<i class="kb-line" data-line="{kind}" style="--at:{at(score)}"></i>'
        for score, kind, _ in lines
    )
    words = "".join(f'<li data-line="{kind}">{as_html(text)}</li>' for _, kind, text in lines)
    return (
        '<details class="kb-scores"><summary>Why not the others</summary>'
        f'<div class="kb-plot"><ol>{rows}</ol>'
        f'<div aria-hidden="true"><span>{marks}</span></div></div>'
        f'<ul class="kb-key">{words}</ul>{_told(found, answer, needed)}</details>'
    )


def _lines(
    found: Retrieval, answer: Answer | None, needed: float | None
) -> list[tuple[float, str, str]]:
    """Return what scores are held against: where, of what kind, and in words."""
    lines: list[tuple[float, str, str]] = []
    if found.threshold is not None:
        words = f"best scores are trusted from {found.threshold:.1f}"
        lines.append((found.threshold, "trusted", words))
    lead = answer.evidence.lead if answer else None
    number = answer.citations[0].number if answer and answer.citations else 0
    if lead is not None and 1 <= number <= len(found.hits):
        mean = found.hits[number - 1].score - lead
        lines.append(
            (mean, "others", f"mean of {_weighed(found)} without passage {number}: {mean:.1f}")
        )
        if needed is not None and needed > 0:
            words = (
                f"what passage {number} alone is held against: from {mean + needed:.1f} its answer "
                "is given without a doubt"
            )
            lines.append((mean + needed, "sure", words))
    return lines


def _weighed(found: Retrieval) -> str:
    """Return which passages are held against each other, in words."""
    if found.weighed < WEIGHED:  # there are no others
        return f"the {found.weighed} that were found"
    return f"the first {WEIGHED}"


_BEYOND = " Another passage beyond that line is no proof: each is held against its own mean."


def _told(found: Retrieval, answer: Answer | None, needed: float | None) -> str:
    """Return how far the passage of the answer leads, and whether that is enough."""
    lead = answer.evidence.lead if answer else None
    if answer is None or lead is None or not answer.citations:
        return ""
    number, shown = answer.citations[0].number, len(found.hits)
    text = f"Passage {number} scores {lead:.1f} above the mean of the others among "
    text += _weighed(found)
    text += f", of which {shown} are shown." if shown < found.weighed else "."
    if needed is not None:
        text += (
            f" From {needed:.1f} above it, all else as it is, its answer is given without a doubt."
            f"{_BEYOND if number <= shown else ''}"
            if needed > 0
            else " The answer would be given without any lead: other things speak for it."
        )
    return f'<p class="kb-hint">{as_html(text)}</p>'
