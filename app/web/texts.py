"""What the page says before the first question, as HTML; its words come from the index."""

from dataclasses import dataclass

from app.settings import MINI, Settings
from app.web.serving.preview import DESCRIPTION, TITLE
from app.web.shown.marked import as_html
from corpus.demo.data import example_gallery
from corpus.types import Example
from generator.answers.answer import Strategy
from retriever.index.passage_index import PassageIndex

HEADER = f"""
<header class="kb-header">
  <h1>{TITLE}</h1>
  <p>{DESCRIPTION}</p>
</header>
"""

PAST = """
<details hidden>
<summary>Asked in this tab: <b></b></summary>
<ol></ol>
<p class="kb-hint">Kept in this tab of your browser alone, and gone with it.
<button type="button" class="kb-forget">Forget them now</button></p>
</details>
"""
SAID = "Is that right? What you say is kept on this server, with the question and the answer."
THANKS = {"up": "Thank you: kept as right.", "down": "Thank you: kept as wrong."}
THANKS_FOR_REASON = "Thank you: that is kept with it."
PICTURE_TOO = "Keep the picture with it, so that this question can be asked again"
NOT_KEPT = "That could not be kept. The log of the server says why."

SOURCES = "Nothing chosen searches all."
BESIDE = "Also ask the model without passages, and show that beside the answer"

STRATEGIES: dict[Strategy, str] = {
    "extract": "words taken out of a passage",
    "ra-vqa": "passages read one by one",
    "critic": "irrelevant passages left out",
    "concat": "passages read together",
    "no-retrieval": "no passages read",
}
# Measured with SmolLM2 inside this process and on a server: docs/measured/models-that-write.md.
_MEASURED: tuple[Strategy, ...] = ("extract", "ra-vqa")
# What the passages are that the examples ask about.
DEMO_KNOWS = (
    "Its passages are the first paragraph of the article about a thing, and of a country what the "
    "World Factbook says: what stands further down in an article it cannot know."
)
_TITLES = 8
_LONGEST_TITLE = 60


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the page knows of the index behind it.

    Attributes:
        passages: how many there are.
        titles: a few of theirs; () where the gallery says more.
        gallery: examples whose answers are in it; () for an index of something else.
    """

    passages: int
    titles: tuple[str, ...]
    gallery: tuple[Example, ...]

    @classmethod
    def of(cls, index: PassageIndex) -> "Shelf":
        """Return what a page should know of an index. The gallery is for what can answer it."""
        gallery = example_gallery()
        there = index.content_hashes([id_ for e in gallery for id_ in e.gold_passage_ids])
        fitting = tuple(e for e in gallery if not there.keys().isdisjoint(e.gold_passage_ids))
        few = () if fitting else index.sample(4 * _TITLES)
        titles = dict.fromkeys(_short(p.title) for p in few if p.title.strip())
        return cls(index.count, tuple(titles)[:_TITLES], fitting)


def _short(title: str) -> str:
    """Return a title on one line, its end left out where it is long.

    >>> _short("a " * 40)[-6:]
    ' a a …'
    """
    title = " ".join(title.split())
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1].rstrip() + " …"


def placeholder(shelf: Shelf) -> str:
    """Return what stands in the field of the question before one does."""
    if shelf.gallery:
        return "For example: What is the capital of this country?"
    return "Ask about what the picture shows"


def start(settings: Settings, shelf: Shelf) -> str:
    """Return the answer area before the first question."""
    steps = (
        ("Add a picture, or click one of the examples.", "a capital, a habitat, a year")
        if shelf.gallery
        else ("Add a picture.", f"what one of the {shelf.passages:,} passages says of it")
    )
    mini = (
        '<p class="kb-hint">The small model that comes along knows flags and about 300 everyday '
        "things, drawn or photographed.</p>"
        if settings.checkpoint == MINI
        else ""
    )
    return f"""<div class="kb-start">
<p class="kb-start-title">The answer appears here.</p>
<ol>
<li>{steps[0]}</li>
<li>Ask what it does not show: {steps[1]}.</li>
<li>Read the short answer, then check it in the passages.</li>
</ol>{mini}</div>"""


def contents(shelf: Shelf) -> str:
    """Return the area beside the question: the head of the examples, or what is in the index."""
    if shelf.gallery:
        return "<h2>Examples</h2>"
    few = "".join(f"<li>{as_html(title)}</li>" for title in shelf.titles)
    return (
        f"<h2>In the index: {shelf.passages:,} passages{', among them' if few else ''}</h2>"
        f'<ul class="kb-titles">{few}</ul>'
    )


def about(settings: Settings, shelf: Shelf) -> str:
    """Return the note on what the models know and how to run others."""
    mini = (
        "<p>The small model <strong>kbvqa-mini</strong> knows flags and about 300 everyday things, "
        "drawn or photographed: animals, food, instruments, vehicles, landmarks. Shown anything "
        "else it guesses, and the confidence in the answer is low.</p>"
        if settings.checkpoint == MINI
        else f"<p>The checkpoint is <strong>{as_html(settings.checkpoint)}</strong>.</p>"
    )
    demo = f"<p>{DEMO_KNOWS}</p>" if shelf.gallery else ""
    return f"""<div class="kb-about">{mini}{demo}{_reader(settings)}
<p>Set these before the start to use others:</p>
<dl>
<dt><code>KBVQA_INDEX</code></dt><dd>your own passages: <code>kbvqa index build</code></dd>
<dt><code>KBVQA_CHECKPOINT</code></dt><dd>a PreFLMR checkpoint, as a directory or a hub id</dd>
<dt><code>KBVQA_GENERATOR_URL</code></dt><dd>an OpenAI-compatible server such as vLLM, for example <code>http://127.0.0.1:8000/v1</code></dd>
<dt><code>KBVQA_GENERATOR_MODEL</code></dt><dd>the name under which it serves its model</dd>
<dt><code>KBVQA_STRATEGY</code></dt><dd>how such a model answers: ra-vqa, critic, concat, ...</dd>
</dl></div>"""


def _reader(settings: Settings) -> str:
    """Return what answers, as a paragraph."""
    if settings.extractive:
        return (
            "<p>A small reader inside this process points at the words of a passage that answer "
            "the question; it writes nothing of its own and sees no picture.</p>"
        )
    if settings.generator_url is None:
        model, where = settings.reader, "inside this process by"
    else:
        model, where = settings.generator_model, "on a server by"
    return f"<p>The answers are written {where} <strong>{as_html(model or '')}</strong>.</p>"


def footer(checkpoint: str, generator: str, asked: str = "") -> str:
    """Return the names of the models, and when they were asked, small, at the end of a page."""
    names = [f"Checkpoint {checkpoint}"]
    names += [f"Generator {generator}"] if generator else []
    names += [f"Asked {asked}"] if asked else []
    return f'<p class="kb-footer">{as_html(" · ".join(names))}</p>'


def offered(settings: Settings, chosen: Strategy) -> list[tuple[str, Strategy]]:
    """Return the strategies to choose from, with what to call them; the chosen one is there.

    The extractive reader has one way. Of models that write, reading passages one by one was
    measured to work; inside this process nothing else was, and a server's larger model may do
    better with the others: those come with a word.
    """
    names = []
    for name, words in STRATEGIES.items():
        if name == "extract" and chosen != "extract":
            continue
        measured = name in _MEASURED and (name == "extract") == settings.extractive
        if measured or name == chosen or settings.generator_url is not None:
            note = "" if measured else " (not measured to help)"
            names.append((words.capitalize() + note, name))
    return names
