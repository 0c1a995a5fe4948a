"""What the page answers with, and whether it is in order: a line for each, as HTML.

lines_in_use(look(pipeline))       # asks the index and the generator
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.pipeline import Pipeline
from app.web.shown.marked import as_html
from corpus.errors import KbvqaError

_TYPED = re.compile("`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is in use.

    Attributes:
        what: it is.
        said: its name and state, or what is wrong and what to do about it.
        ok: whether it is in order.
    """

    what: str
    said: str
    ok: bool = True


def look(pipeline: Pipeline) -> list[Line]:
    """Return what a pipeline answers with; asks the index and the generator whether they are there.

    Raises nothing that says what to do: it is what a line says.
    """
    encoder, answering = pipeline.encoder, pipeline.answering
    lines = [
        Line("Checkpoint", encoder.checkpoint.id),
        Line("Device", f"{encoder.device}, {str(encoder.dtype).removeprefix('torch.')}"),
        _asked("Index", lambda: _index(pipeline)),
    ]
    if answering is not None:
        lines.append(_asked("Generator", answering.generator.health, answering.generator.name))
        lack = answering.uncalibrated
        lines.append(Line("Confidence", lack or "calibrated for these models", not lack))
    return lines


def lines_in_use(lines: list[Line]) -> str:
    """Return the lines, those that are not in order said to be so."""
    rows = "".join(
        f"<div{'' if line.ok else ' data-wrong'}><dt>{as_html(line.what)}</dt>"
        f"<dd>{'' if line.ok else '<strong>Not in order.</strong> '}{_worded(line.said)}</dd></div>"
        for line in lines
    )
    return f'<dl class="kb-in-use" aria-label="In use" role="status">{rows}</dl>'


def _worded(said: str) -> str:
    """Return what a line says, what is to be typed set apart."""
    return _TYPED.sub(r"<code>\1</code>", as_html(said))


def _index(pipeline: Pipeline) -> str:
    if pipeline.index is None:
        return "none"
    count, corpus = pipeline.index.count, pipeline.index.fingerprint.corpus
    state = pipeline.index.state
    return f"{count:,} passages (corpus: {corpus})" + (f"; {state}" if state else "")


def _asked(what: str, state: Callable[[], str], name: str = "") -> Line:
    try:
        said = state()
    except KbvqaError as exc:
        return Line(what, str(exc), ok=False)
    return Line(what, name or said)
