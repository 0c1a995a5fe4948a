"""The nouns of the project: what every package passes to the next.

Query(question, image) -> [Hit(passage, score)] -> generator.answers.answer.Answer(text, citations)
"""

from dataclasses import dataclass, fields
from numbers import Real

from PIL.Image import Image

# What a picture by itself is asked: retriever and reader know it in these words.
WHAT_IS_THIS = "What is this?"


def require_texts(thing: object, *names: str) -> None:
    """Raise TypeError unless these fields are texts."""
    for name in names:
        if not isinstance(value := getattr(thing, name), str):
            what = f"the {name} of a {type(thing).__name__.lower()}"
            raise TypeError(f"{what} must be a text, got {value!r:.80}")


@dataclass(frozen=True, slots=True)
class Passage:
    """The unit of retrieval: a short text that can prove an answer.

    Attributes:
        id: unique within its corpus, for example "factbook:FR:Currency".
        title: what the passage is about, for example "France".
        text: the passage as the retriever and the generator read it.
        url: where a reader can check it; "" when unknown.
        source: the collection it comes from, with its licence.
        section: the part of the page it is taken from; "" for a lead.
        entity: the id of the thing it describes; "" when unknown.
        language: of the text, as a BCP 47 tag such as "en"; "" when unknown.

    Raises:
        TypeError: one of them is no text.
    """

    id: str
    title: str
    text: str
    url: str = ""
    source: str = ""
    section: str = ""
    entity: str = ""
    language: str = ""

    def __post_init__(self) -> None:
        # One look, as a corpus has millions of them; a closer one only where it is needed.
        known = type(self.id) is type(self.title) is type(self.text) is type(self.url) is str
        more = type(self.source) is type(self.section) is type(self.entity) is str
        if not (known and more and type(self.language) is str):
            require_texts(self, *(f.name for f in fields(self)))


Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Query:
    """A question about a picture.

    Attributes:
        question: the text, without any instruction.
        image: as Pillow opens it, or None for a question without one. Transparency is laid over
            white, and the EXIF orientation applied.
        instruction: for checkpoints trained with instructions; "" for the checkpoint's own.
        boxes: regions of interest, each (left, upper, right, lower) in pixels of the upright
            picture. An encoder of an FLMR checkpoint looks at them beside the whole picture,
            others take none; a pipeline gives these the one region in the picture's place.

    Raises:
        TypeError: one of them is something else.
    """

    question: str
    image: Image | None = None
    instruction: str = ""
    boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        require_texts(self, "question", "instruction")
        if self.image is not None and not isinstance(self.image, Image):
            raise TypeError(
                "a query's image must be a PIL picture, such as PIL.Image.open(...) returns, not "
                f"{self.image!r:.80}"
            )
        listed = isinstance(self.boxes, tuple | list)
        if not (listed and all(map(_is_box, self.boxes))):
            raise TypeError(
                "a query's boxes must be a tuple of boxes, each (left, upper, right, lower) in "
                f"pixels, got {self.boxes!r:.80}"
            )


def _is_box(box: object) -> bool:
    return isinstance(box, tuple | list) and [isinstance(e, Real) for e in box] == [True] * 4


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage and its late-interaction score (higher is better)."""

    passage: Passage
    score: float


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a benchmark: a query with what counts as right.

    Attributes:
        id: unique within the file.
        image: path of the picture, relative to the benchmark's image directory.
        question: the question text.
        answers: acceptable answers; empty when only retrieval is judged.
        gold_passage_ids: passages that prove an answer; any one of them counts.
        instruction: what precedes the question for checkpoints trained with instructions; ""
            for the checkpoint's own.
        black_image: whether a query without a picture gets a black one, as in PreFLMR's
            evaluation; else it has none.
    """

    id: str
    image: str
    question: str
    answers: tuple[str, ...] = ()
    gold_passage_ids: tuple[str, ...] = ()
    instruction: str = ""
    black_image: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the answers as somebody would write them: what a generator is trained to say."""
        return self.answers

    @property
    def searched(self) -> tuple[str, ...]:
        """Return the texts of which a passage that proves an answer contains one."""
        return self.answers


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that supports an answer. It was in the prompt that made the answer.

    Attributes:
        passage_id: the cited passage.
        number: its number in the prompt, from 1.
        origin: "generator" when the generator wrote the number, "match" when the answer was
            found word for word in the passage afterwards, "selection" when it was written
            from this passage alone, "span" when it was taken out of it.
        spans: the characters of the passage's text that the answer is; () where not known.
    """

    passage_id: str
    number: int
    origin: str
    spans: tuple[tuple[int, int], ...] = ()
