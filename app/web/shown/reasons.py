"""Why a passage was found, as HTML: its shaded words and the panel below them. Pure functions.

What is drawn (the map over the picture) is `reasons.js`: it reads the numbers from data-heat, a
byte for each place, of the passage first and then of each of its words.
"""

import base64
import json
import math

import numpy as np

from app.asking.heat import RAMP
from app.asking.why import PassageWhy, Why
from app.web.shown.marked import Shade, Span, as_html

_WORDS = 8  # with the greatest shares: what is listed for those who do not see the shades


def shades(why: PassageWhy, characters: Span, most: float) -> list[Shade]:
    """Return how words of a stretch of a passage's text are shaded, counted from its beginning.

    Args:
        why: of the passage.
        characters: the stretch.
        most: the share that gets the strongest shade.
    """
    begin, end = characters
    share = {word.number: word.share for word in why.words}
    # The root: shares fall fast, and a twentieth should still be seen.
    return [
        Shade(start - begin, after - begin, number, math.sqrt(share.get(number, 0.0) / most))
        for number, (start, after) in enumerate(why.spans)
        if begin <= start and after <= end
    ]


def greatest_share(why: Why) -> float:
    """Return the greatest share of a word in any of the passages."""
    return max((p.words[0].share for p in why.passages if p.words), default=1.0)


def attributes(why: Why) -> str:
    """Return what the page's script needs to know of the picture, as attributes."""
    if why.frame is None:
        return ""
    numbers = {"frame": why.frame, "grid": why.grid, "ramp": [c for colour in RAMP for c in colour]}
    return "".join(
        f' data-{name}="{",".join(f"{number:.5g}" for number in values)}"'
        for name, values in numbers.items()
    )


def legend(why: Why) -> str:
    """Return what the shades mean."""
    most = f"{greatest_share(why):.0%}"
    scale = "".join(f'<i style="--s:{math.sqrt(part):.2g}"></i>' for part in (0.06, 0.25, 0.55, 1))
    return (
        '<p class="kb-legend">A word is shaded by its share of its passage’s score: little '
        f'<span class="kb-scale" aria-hidden="true">{scale}</span> {most}. Pick a word, or open '
        "“Why this passage”.</p>"
    )


def panel(number: int, why: PassageWhy, no_map: str) -> str:
    """Return what opens below a passage: where its score comes from, and what matched what."""
    figure = (
        f'<p class="kb-hint">{as_html(no_map)}</p>'
        if no_map
        else '<figure class="kb-map"><figcaption aria-live="polite"></figcaption></figure>'
    )
    return (
        f'<details class="kb-why" data-heat="{as_html(_heat(why))}">'
        f'<summary>Why this passage<span class="kb-unseen"> {number}</span></summary>'
        f"{figure}{_parts(why)}{_words(why)}{_matches(why)}</details>"
    )


def _heat(why: PassageWhy) -> str:
    """Return the heat of a passage and its words, as JSON: the ends of its scale, and bytes."""
    if not why.heat.size:
        return ""
    heat = np.vstack([why.heat[None], why.word_heat])
    low, high = float(heat.min()), float(heat.max())
    levels = np.round((heat - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    packed = base64.b64encode(levels.tobytes()).decode()
    return json.dumps({"low": round(low, 4), "high": round(high, 4), "levels": packed})


def _parts(why: PassageWhy) -> str:
    """Return where the score comes from, as a bar and in words."""
    positive = {name: value for name, value in why.parts.items() if value > 0}
    total = sum(positive.values()) or 1.0
    bar = "".join(
        f'<i data-part="{_CLASSES.get(name, "")}" style="width:{value / total:.1%}"></i>'
        for name, value in positive.items()
    )
    rows = [
        f'<li data-part="{_CLASSES.get(name, "")}">{as_html(name)} <b>{value:.1f}</b></li>'
        for name, value in why.parts.items()
    ]
    if why.by_itself is not None and round(why.by_itself, 1):
        rows.append(f"<li>what the picture is about by itself <b>{why.by_itself:+.1f}</b></li>")
    return (
        f"<h4>Where its score comes from</h4>"
        f'<div class="kb-bar" aria-hidden="true">{bar}</div>'
        f'<ul class="kb-parts">{"".join(rows)}</ul>'
    )


def _words(why: PassageWhy) -> str:
    rows = [
        f"<li>{_pick(why, word.number)} {word.share:.0%}{_from(word.share, word.of_picture)}</li>"
        for word in why.words[:_WORDS]
    ]
    if not rows:
        return ""
    return f'<h4>Words with the greatest shares</h4><ul class="kb-matches">{"".join(rows)}</ul>'


def _from(share: float, of_picture: float) -> str:
    """Return whether a share is of the picture's or of the question's making."""
    part = of_picture / share if share else 0.0
    where = "picture" if part > 2 / 3 else "question" if part < 1 / 3 else "both"
    return f' <span class="kb-from">{where}</span>'


def _matches(why: PassageWhy) -> str:
    rows = [
        f"<li>{as_html(match.text)} → {_pick(why, match.number)} {match.similarity:.2f}</li>"
        for match in why.matches
        if match.number is not None
    ]
    if not rows:
        return ""
    return f'<h4>What the question’s words matched</h4><ul class="kb-matches">{"".join(rows)}</ul>'


def _pick(why: PassageWhy, number: int) -> str:
    """Return a word of the passage, to be picked."""
    word = as_html(why.word(number))
    if not why.heat.size:
        return f"<b>{word}</b>"
    return f'<button type="button" data-word="{number}" aria-pressed="false">{word}</button>'


# By what people are told of a row: see app.asking.why.PARTS.
_CLASSES = {
    "words of the question": "words",
    "the question as a whole": "question",
    "what was recognised": "seen",
    "the picture as a whole": "picture",
    "places in the picture": "places",
}
