"""The passages that were found, as cards. Pure functions; every text from outside is escaped."""

import re
import unicodedata
from urllib.parse import urlsplit

from app.asking.why import Why
from app.flow.events import Retrieval
from app.web.shown import reasons
from app.web.shown.marked import Shade, as_html, mark, phrase_spans
from corpus.types import Citation, Hit, Passage
from generator.answers.answer import Answer, Given

# As M2KR's passages begin, and those of `--title-prefix`: see corpus.passages.policy.
_TEMPLATE = re.compile(
    r"\s*title:\s*(?P<title>.*?)\s+(?:(?:hierarchical )?section title:\s*(?P<section>.*?)\s+)?"
    r"content:\s*",
    re.IGNORECASE | re.DOTALL,
)


# Where the page is narrow, what proves nothing is not scrolled over: see answer.css.
_UNFOLD = '<label class="kb-unfold"><input type="checkbox"> Show those that were found</label>'


def passages(
    retrieval: Retrieval, answer: Answer | None = None, why: Why | None = None, plot: str = ""
) -> str:
    """Return one card for each hit; those that were read and cited, and the answer's words, are
    marked.

    Args:
        retrieval: what was found.
        answer: what came of it; None while there is none.
        why: why they were found; None where that is not known.
        plot: how their scores compare, as HTML.
    """
    cited = {c.number: c for c in answer.citations} if answer else {}
    read = answer.original.read if answer else ()
    exact = any(citation.spans for citation in cited.values())
    words = answer.text if answer and not exact else ""
    given = {text.number: text for text in answer.original.given} if answer else {}
    cards = "".join(
        _card(
            number,
            hit,
            words,
            cited.get(number),
            read="read" if number in read else "",
            given=given.get(number),
            why=why,
        )
        for number, hit in enumerate(retrieval.hits, start=1)
    )
    if not cards:
        cards = '<p class="kb-hint">No passage was found.</p>'
    count = f": {len(retrieval.hits)} shown, {len(read)} read, {len(cited)} cited" if read else ""
    head = f"<h2>Passages{count}</h2>"
    fold = ""
    if answer is not None and not cited and retrieval.hits:
        head, fold = head + _UNFOLD, " kb-folds"
    shaded = reasons.legend(why) if why and why.passages else ""
    place = reasons.attributes(why) if why else ""
    return (
        f'<section class="kb-passages{fold}" aria-label="Passages"{place}>'
        f"{head}{plot}{shaded}{cards}</section>"
    )


def web_link(url: str) -> str | None:
    """Return `url` when it is one a reader may follow (http or https), else None."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in ("http", "https") and parts.netloc else None


def heading(passage: Passage) -> tuple[str, str, int]:
    """Return a passage's title and section as a reader should see them, and where its text begins.

    What the text itself repeats of them, as a sentence or in the words of a template, is no text.

    >>> heading(Passage("1", "", "title: Nile section title: Course content: It flows north."))
    ('Nile', 'Course', 43)
    """
    title, section, text = passage.title, passage.section, passage.text
    if (found := _TEMPLATE.match(text)) and found["title"].strip() == (title or found["title"]):
        return title or found["title"], section or found["section"] or "", found.end()
    for head in (f"{title} - {section}. " if section else "", f"{title}. " if title else ""):
        if head and text.startswith(head):
            return title, section, len(head)
    return title, section, 0


def _card(
    number: int,
    hit: Hit,
    answer: str,
    citation: Citation | None,
    *,
    read: str,
    given: Given | None,
    why: Why | None,
) -> str:
    text = hit.passage.text
    title, section, begin = heading(hit.passage)
    how = "cited" if citation else read
    badge = f'<span class="kb-badge">{how}</span>' if how else ""
    cited = " kb-cited" if citation else ""
    own = why.passages[number - 1] if why and number <= len(why.passages) else None
    most = reasons.greatest_share(why) if why else 1.0

    def shaded(part: str, at: int) -> list[Shade]:
        return reasons.shades(own, (at, at + len(part)), most) if own and at >= 0 else []

    # A text is shown with composed accents; one that has others is another text, and not shaded.
    body = unicodedata.normalize("NFC", text[begin:])
    shades = shaded(body, begin) if body == text[begin:] else []
    if citation is not None and citation.spans:  # exactly what was taken
        body = text[begin:]
        marked = [(a - begin, b - begin) for a, b in citation.spans if a >= begin]
    else:
        marked = phrase_spans(body, answer)
    head = mark(title, (), shaded(title, text.find(title, 0, begin)))
    at = text.find(section, len(title), begin) if section else -1
    part = f'<span class="kb-section">{mark(section, (), shaded(section, at))}</span>'
    panel = reasons.panel(number, own, why.no_map) if own and why else ""
    return (
        f'<article class="kb-card{cited}" id="passage-{number}">'
        f'<header><span class="kb-rank">{number}</span>'
        f"<h3>{head}</h3>{part if section else ''}{badge}</header>"
        f"<p>{mark(body, marked, shades)}</p>"
        f'<div class="kb-more">{panel}{_given(given)}</div>'
        f'<footer>{_source(hit.passage)}<span class="kb-score">score {hit.score:.2f}</span>'
        "</footer></article>"
    )


def _given(given: Given | None) -> str:
    """Return the text that the generator was given, to be opened, and where it was cut."""
    if given is None:
        return ""
    end = (
        f'<p class="kb-cut">Cut here: about {given.cut:,} tokens of the passage were left out.</p>'
        if given.cut
        else '<p class="kb-cut">The end of it: nothing was cut.</p>'
    )
    return (
        '<details class="kb-given"><summary>The text the generator was given</summary>'
        f"<blockquote>{as_html(given.text)}</blockquote>{end}</details>"
    )


def _source(passage: Passage) -> str:
    """Return where a passage is from: a link where it has one, else a name, or nothing."""
    link = web_link(passage.url)
    if link is None:
        return f"<span>{as_html(passage.source)}</span>"
    return (
        f'<a class="kb-link" href="{as_html(link)}" target="_blank" rel="noopener noreferrer">'
        f"{as_html(passage.source or 'Source')}"
        '<span class="kb-new-tab"> (opens in a new tab)</span></a>'
    )
