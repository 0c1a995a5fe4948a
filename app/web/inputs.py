"""What a question is made of on the page: the picture, the words, the options; and the examples."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.asking.questions import CITED_TOO, MAX_TOP_K
from app.pipeline import Pipeline
from app.settings import Settings
from app.web import texts
from app.web.in_use import lines_in_use, look
from app.web.serving.uploads import kept_pictures
from app.web.texts import Shelf
from corpus.demo.data import demo_dir, example_image_path
from corpus.types import Example
from generator.answers.answer import Strategy

_LOOKING = '<p class="kb-hint">Looking what is in use</p>'


@dataclass(frozen=True, slots=True)
class Inputs:
    """The components that make a question.

    Attributes:
        box: the part of the picture, which the browser knows.
        hint: why a question cannot be asked; the answer that is shown stays.
        beside: whether the model is asked without passages too.
        new: begins another conversation.
    """

    picture: gr.Image
    question: gr.Textbox
    hint: gr.HTML
    top_k: gr.Slider
    strategy: gr.Dropdown
    sources: gr.Dropdown
    beside: gr.Checkbox
    box: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    new: gr.Button

    @property
    def sent_by_programs(self) -> list[Any]:
        """Return those that a program gives values for."""
        return [self.picture, self.question, self.top_k, self.strategy, self.box]


def place_inputs(pipeline: Pipeline, settings: Settings, shelf: Shelf, chosen: Strategy) -> Inputs:
    """Place what makes a question; `chosen` is how it is answered where nothing else is asked."""
    picture = gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"],
        label="Picture",
        alt_text="The picture the question is about",
        placeholder="Drop a picture here\nor click to choose one",
        buttons=["fullscreen"],
        height=280,
        elem_id="picture",
    )
    gr.Button("Look at a part of it", elem_id="crop", size="sm")
    box = gr.Textbox("", visible=False)
    question = gr.Textbox(
        label="Question",
        placeholder=texts.placeholder(shelf),
        max_lines=4,
        elem_id="question",
    )
    hint = gr.HTML("", elem_id="hint")
    with gr.Row(elem_id="buttons"):
        ask_button = gr.Button("Ask", variant="primary", elem_id="ask", scale=3, min_width=96)
        stop = gr.Button("Stop", interactive=False, elem_id="stop", scale=1, min_width=80)
        new = gr.Button("New question", elem_id="new", scale=1, min_width=80)
    with gr.Accordion("Options", open=False, elem_id="options") as options:
        top_k = gr.Slider(
            1,
            MAX_TOP_K,
            value=settings.top_k,
            step=1,
            label="Passages shown",
            info=f"{CITED_TOO.capitalize()}.",
        )
        choices = texts.offered(settings, chosen)
        strategy = gr.Dropdown(
            choices,
            value=chosen,
            label="How it answers",
            filterable=False,
            visible=len(choices) > 1,
            elem_id="strategy",
        )
        sources = _place_sources(pipeline)
        beside = gr.Checkbox(
            False,
            label=texts.BESIDE,
            visible=settings.generator_url is not None,
            elem_id="beside",
        )
        in_use = gr.HTML(_LOOKING, elem_id="in-use")
    # Not before somebody wants to know: a server that is gone takes its time.
    options.expand(
        lambda: lines_in_use(look(pipeline)),
        None,
        in_use,
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )
    options_set = top_k, strategy, sources, beside
    return Inputs(picture, question, hint, *options_set, box, ask_button, stop, new)


def _place_sources(pipeline: Pipeline) -> gr.Dropdown:
    known = pipeline.index.sources() if pipeline.index is not None else []
    return gr.Dropdown(
        known,
        value=[],
        multiselect=True,
        label="Search only in",
        info=texts.SOURCES,
        visible=len(known) > 1,
        elem_id="sources",
    )


def place_examples(shelf: Shelf) -> list[tuple[Example, gr.Button]]:
    """Place a button for each example, and return them together."""
    if shelf.gallery:
        kept_pictures(demo_dir() / "examples")
    return [
        (
            example,
            gr.Button(
                example.question,
                icon=example_image_path(example),
                elem_classes="example",
                size="sm",
            ),
        )
        for example in shelf.gallery
    ]
