"""What the page shows, as HTML. Pure functions; every text from outside is escaped here.

answer area     waiting | streaming | answered | problem | stopped
passage area    passages(retrieval, answer): what was seen, the cards, the figures below
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlsplit

from app.answering import Outcome
from app.pipeline import Result, Retrieval
from app.settings import MINI, Settings
from corpus.types import Answer, Citation, Hit
from generator.strategies import Strategy

HEADER = """
<header class="kb-header">
  <h1>kbvqa</h1>
  <p>Ask about a picture what no pixel can tell.
    The answer comes with the passages that prove it.</p>
</header>
"""
_WORD = re.compile(r"\w+")
_BRACKET = re.compile(r"\s*\[[^\]]*(\]|$)")
_SMALL_WORDS = {"also", "from", "that", "their", "they", "this", "with"}
_STEP_NAMES = {"encode": "look", "search": "search", "generate": "read", "total": "total"}


def start(settings: Settings) -> str:
    """Return the answer area before the first question."""
    note = (
        '<p class="kb-hint">The small model that comes along knows flags and about 300 everyday '
        "things, drawn or photographed.</p>"
        if settings.checkpoint == MINI
        else ""
    )
    return f"""<div class="kb-start">
<p class="kb-start-title">The answer appears here.</p>
<ol>
<li>Add a picture, or click one of the examples.</li>
<li>Ask what it does not show: a capital, a habitat, a year.</li>
<li>Read the short answer, then check it in the passages.</li>
</ol>{note}</div>"""


def waiting(text: str) -> str:
    """Return the answer area while nothing is there to read."""
    return f'<div class="kb-answer"><p class="kb-wait">{_text(text)}</p></div>'


def streaming(retrieval: Retrieval, completion: str) -> str:
    """Return the answer area while the completion grows. Citations wait for the parsed answer."""
    text = _BRACKET.sub("", completion).strip()
    if not text:
        return waiting("Reading the passages")
    return (
        f'<div class="kb-answer">{_unsure(retrieval)}'
        f'<p class="kb-text kb-growing">{_text(text)}</p></div>'
    )


def answered(outcome: Outcome) -> str:
    """Return the answer area with the finished answer, its citations and how far to trust it."""
    answer, reply = outcome.answer, outcome.reply
    chips = "".join(
        f'<a class="kb-chip kb-{_text(c.origin)}" href="#passage-{c.number}" '
        f'title="{_CHIP_TITLES.get(c.origin, "")}">[{c.number}]</a>'
        for c in answer.citations
    )
    uncited = (
        "No passage was read for this answer."
        if reply.strategy == "no-retrieval"
        else "No passage is cited for this answer."
    )
    withheld = outcome.confidence.verdict == "withheld"
    proof = "" if chips or withheld else f'<p class="kb-hint">{uncited}</p>'
    return (
        f'<div class="kb-answer">{_trust(outcome)}'
        f'<p class="kb-text">{_text(answer.text)} {chips}</p>{proof}{_how(outcome)}</div>'
    )


def _trust(outcome: Outcome) -> str:
    """Return the banner over an answer that is not simply given."""
    confidence = outcome.confidence
    if confidence.verdict == "given":
        return ""
    title = "Not sure" if confidence.verdict == "unsure" else "Withheld"
    why = "; ".join(confidence.reasons)
    return (
        f'<div class="kb-unsure" role="status"><strong>{title}</strong> '
        f"{_text(why[:1].upper() + why[1:])}.</div>"
    )


def _how(outcome: Outcome) -> str:
    """Return the line on confidence, strategy, and what the generator was given."""
    confidence, reply = outcome.confidence, outcome.reply
    trust = (
        "confidence not calibrated for these models"
        if confidence.value is None
        else f"confidence {100 * confidence.value:.0f} %"
    )
    seen = ""
    if reply.strategy != "extract" and not reply.saw_picture:
        seen = " · the generator saw no picture, only "
        seen += "the question" if reply.strategy == "no-retrieval" else "the passages found with it"
    cut = sum(asked.cut for asked in reply.asked)
    left_out = f" · about {cut:,} tokens of passages and question did not fit" if cut else ""
    said = f"{STRATEGIES[reply.strategy]} · {trust}{seen}{left_out}"
    return f'<p class="kb-hint kb-how">{_text(said)}</p>'


STRATEGIES: dict[Strategy, str] = {
    "extract": "words taken out of a passage",
    "ra-vqa": "passages read one by one",
    "critic": "irrelevant passages left out",
    "concat": "passages read together",
    "no-retrieval": "no passages read",
}
_CHIP_TITLES = {
    "generator": "Cited with the answer",
    "match": "The answer stands word for word in this passage",
    "span": "The answer is the marked words of this passage",
    "selection": "The answer was read from this passage",
}


def problem(message: str, *, title: str = "That did not work", banner: str = "") -> str:
    """Return the answer area with a message in place of the answer."""
    return (
        f'<div class="kb-answer">{banner}<div class="kb-problem" role="alert">'
        f"<strong>{_text(title)}</strong><p>{_text(message)}</p></div></div>"
    )


def no_answer(retrieval: Retrieval, message: str) -> str:
    """Return the answer area when the passages were found and the generator failed."""
    return problem(
        message,
        title="No answer, but here are the passages",
        banner=_unsure(retrieval),
    )


def stopped() -> str:
    """Return the answer area after the user stopped the answer."""
    return '<div class="kb-answer"><p class="kb-hint">Stopped.</p></div>'


def passages(retrieval: Retrieval, answer: Answer | None = None) -> str:
    """Return what was seen and one card for each hit; the answer's words are marked in them."""
    cited = {c.number: c for c in answer.citations} if answer else {}
    exact = any(citation.spans for citation in cited.values())
    words = answer.text if answer and not exact else ""
    cards = "".join(
        _card(number, hit, words, cited.get(number))
        for number, hit in enumerate(retrieval.hits, start=1)
    )
    seen = (
        '<p class="kb-seen"><span>An image classifier added to the question</span>'
        f"{_text(retrieval.seen.strip())}</p>"
        if retrieval.seen.strip()
        else ""
    )
    if not cards:
        cards = '<p class="kb-hint">No passage was found.</p>'
    return (
        '<section class="kb-passages" aria-label="Passages"><h2>Passages</h2>'
        f"{seen}{cards}</section>"
    )


def figures(result: Result) -> str:
    """Return the line below the passages: time by step, and the models."""
    steps = " · ".join(
        f"{_STEP_NAMES.get(step, step)} {_duration(ms)}" for step, ms in result.timings_ms.items()
    )
    return f'<p class="kb-figures">{_text(steps)}</p>'


def about(settings: Settings) -> str:
    """Return the note on what the models know and how to run others."""
    mini = (
        "<p>The small model <strong>kbvqa-mini</strong> knows flags and about 300 everyday things, "
        "drawn or photographed: animals, food, instruments, vehicles, landmarks. Shown anything "
        "else it guesses; where the best passage scores low it says that it is not sure.</p>"
        if settings.checkpoint == MINI
        else f"<p>The checkpoint is <strong>{_text(settings.checkpoint)}</strong>.</p>"
    )
    reader = (
        "<p>A small reader inside this process points at the words of a passage that answer the "
        "question; it writes nothing of its own and sees no picture.</p>"
        if settings.extractive
        else "<p>The answers are written inside this process by "
        f"<strong>{_text(settings.reader or '')}</strong>.</p>"
        if settings.generator_url is None
        else "<p>The answers are written by "
        f"<strong>{_text(settings.generator_model or '')}</strong> on a server.</p>"
    )
    return f"""<div class="kb-about">{mini}{reader}
<p>Set these before the start to use others:</p>
<dl>
<dt><code>KBVQA_CHECKPOINT</code></dt><dd>a PreFLMR checkpoint, as a directory or a hub id</dd>
<dt><code>KBVQA_GENERATOR_URL</code></dt><dd>an OpenAI-compatible server such as vLLM, for example <code>http://127.0.0.1:8000/v1</code></dd>
<dt><code>KBVQA_GENERATOR_MODEL</code></dt><dd>the name under which it serves its model</dd>
<dt><code>KBVQA_STRATEGY</code></dt><dd>how such a model answers: ra-vqa, critic, concat, ...</dd>
</dl></div>"""


def footer(checkpoint: str, generator: str) -> str:
    """Return the names of the models, small, at the end of the page."""
    return f'<p class="kb-footer">Checkpoint {_text(checkpoint)} · Generator {_text(generator)}</p>'


def highlight(text: str, phrase: str) -> str:
    """Return `text` as HTML with the words of `phrase` in <mark>.

    Where they stand in sequence, however accented and spelled, the sequence is marked;
    otherwise each telling word is, by itself.

    >>> highlight("Its capital is São Tomé.", "sao tome")
    'Its capital is <mark>São Tomé</mark>.'
    >>> highlight("The river Nile in <Egypt>", "Egypt on the Nile")
    'The river <mark>Nile</mark> in &lt;<mark>Egypt</mark>&gt;'
    """
    text, phrase = (unicodedata.normalize("NFC", part) for part in (text, phrase))
    spans = [match.span() for match in _WORD.finditer(text)]
    words = [_fold(text[start:end]) for start, end in spans]
    wanted = [_fold(word) for word in _WORD.findall(phrase)]
    # Short words say nothing by themselves; numbers do.
    telling = {w for w in wanted if len(w) > 3 or w.isdigit()} - _SMALL_WORDS
    marked = _sequences(words, wanted) or [
        (i, i + 1) for i, word in enumerate(words) if word in telling
    ]
    parts, done = [], 0
    for first, after in marked:
        start, end = spans[first][0], spans[after - 1][1]
        parts += [_text(text[done:start]), "<mark>", _text(text[start:end]), "</mark>"]
        done = end
    return "".join([*parts, _text(text[done:])])


def web_link(url: str) -> str | None:
    """Return `url` when it is one a reader may follow (http or https), else None."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in ("http", "https") and parts.netloc else None


def mark(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return `text` as HTML with these characters of it in <mark>.

    >>> mark("Capital: <Paris>.", [(10, 15)])
    'Capital: &lt;<mark>Paris</mark>&gt;.'
    """
    parts, done = [], 0
    for start, end in sorted(spans):
        parts += [_text(text[done:start]), "<mark>", _text(text[start:end]), "</mark>"]
        done = end
    return "".join([*parts, _text(text[done:])])


def _card(number: int, hit: Hit, answer: str, citation: Citation | None) -> str:
    passage = hit.passage
    link = web_link(passage.url)
    source = _text(passage.source or "Source")
    where = (
        f'<a class="kb-link" href="{_text(link)}" target="_blank" rel="noopener noreferrer">'
        f'{source}<span class="kb-new-tab"> (opens in a new tab)</span></a>'
        if link
        else f"<span>{source}</span>"
    )
    section = f'<span class="kb-section">{_text(passage.section)}</span>' if passage.section else ""
    badge = '<span class="kb-cited-badge">cited</span>' if citation else ""
    cited = " kb-cited" if citation else ""
    body = _body(hit)
    if citation is not None and citation.spans:  # exactly what was taken
        headed = len(passage.text) - len(body)
        shown = mark(body, [(a - headed, b - headed) for a, b in citation.spans if a >= headed])
    else:
        shown = highlight(body, answer)
    return (
        f'<article class="kb-card{cited}" id="passage-{number}">'
        f'<header><span class="kb-rank">{number}</span>'
        f"<h3>{_text(passage.title)}</h3>{section}{badge}</header>"
        f"<p>{shown}</p>"
        f'<footer>{where}<span class="kb-score">score {hit.score:.2f}</span></footer></article>'
    )


def _body(hit: Hit) -> str:
    """Return the passage's text without the title and section that the card's head shows."""
    passage = hit.passage
    heads: Iterable[str] = (
        f"{passage.title} - {passage.section}. " if passage.section else "",
        f"{passage.title}. ",
    )
    for head in heads:
        if head and passage.text.startswith(head):
            return passage.text.removeprefix(head)
    return passage.text


def _unsure(retrieval: Retrieval) -> str:
    if not retrieval.unsure or retrieval.threshold is None:
        return ""
    best = f"scores {retrieval.hits[0].score:.2f}" if retrieval.hits else "was not found"
    return (
        '<div class="kb-unsure" role="status"><strong>Not sure</strong> '
        f"The best passage {best}; this checkpoint trusts scores from {retrieval.threshold:.2f}. "
        "The picture may show something the corpus does not know.</div>"
    )


def _sequences(words: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, int]]:
    """Return the word ranges of `words` that equal `wanted`, without overlaps."""
    ranges: list[tuple[int, int]] = []
    i = 0
    while wanted and i + len(wanted) <= len(words):
        if list(words[i : i + len(wanted)]) == list(wanted):
            ranges.append((i, i + len(wanted)))
            i += len(wanted)
        else:
            i += 1
    return ranges


def _fold(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _text(text: str) -> str:
    """Return text as HTML. Gradio's HTML component reads ${...} and {{...}} as templates."""
    return escape(text, quote=True).replace("$", "&#36;").replace("{", "&#123;")
