"""What the API takes and gives, as models: the OpenAPI document is made of them.

A result is what `app.asking.report.result_as_json` makes, the same as `kbvqa ask --json` prints.
The models of what is given describe it and take away nothing: fields may join.
"""

import base64
import binascii
import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.asking.questions import CITED_TOO, MAX_TOP_K, boxes_of
from app.flow.talk import MOST_TURNS
from corpus.errors import KbvqaError
from generator.answers.answer import Strategy, Trust
from generator.rewriting import Turn

# A red square, so that every example of the document can be sent as it stands.
EXAMPLE_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAATElEQVR42u3PQQ0AAAgEoNP+nTWCbzdoQE1+6wgI"
    "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIHBZShQF/CY4YrwAAAABJRU5ErkJg"
    "gg=="
)
EXAMPLE_QUESTION = "What is the capital of this country?"
MOST_BOXES = 16
MOST_SOURCES = 100
# Characters of a turn's question, and those that are read of its answer and of what it is about.
MOST_QUESTION = 4_000
MOST_SAID = 8_000


def decoded_picture(value: object) -> object:
    """Return the bytes of a picture in base64; bytes, of multipart, are those already.

    Lines, as `base64` writes them, the alphabet of addresses, and no padding are base64 too.

    Raises:
        ValueError: it is not base64.
    """
    if not isinstance(value, str):
        return value
    kind, comma, data = value.partition(",")
    kind = kind.strip().lower()
    if comma and not (kind.startswith("data:") and kind.endswith(";base64")):
        raise ValueError("send the picture itself in base64; addresses are not opened")
    text = "".join((data if comma else value).split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"it is not base64: {exc}; addresses are not opened") from exc


def _boxes(value: object) -> object:
    """Return boxes as lists; multipart has them as texts."""
    if not isinstance(value, list):
        return value
    try:
        return [boxes_of(box)[0] if isinstance(box, str) and box else box for box in value]
    except KbvqaError as exc:
        raise ValueError(str(exc)) from exc


def _or_nothing(value: object) -> object:
    """Return a list; null is none."""
    return [] if value is None else value


_LIST_OR_NULL: dict[str, Any] = {"type": ["array", "null"]}


def _number(value: object) -> object:
    """Return what may be a number: pydantic would take true for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "true and false are no numbers")
    return value


def _cut(most: int) -> BeforeValidator:
    """Return what leaves the end of a long text out: it only says what a question follows on."""
    return BeforeValidator(lambda value: value[:most] if isinstance(value, str) else value)


def _from_json(value: object) -> object:
    """Return a list; multipart has it as a text of JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"it is not JSON: {exc}") from exc


Picture = Annotated[
    bytes,
    BeforeValidator(decoded_picture),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "minLength": 1}),
]


class TurnBody(BaseModel):
    """A question that was asked before, and what came of it."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(
        min_length=1,
        max_length=MOST_QUESTION,
        description="As it was asked, or asked_as of its result where that is not empty.",
    )
    answer: Annotated[
        str | None,
        _cut(MOST_SAID),
        Field(
            description=f"As the result has it, null too; {MOST_SAID:,} characters of it are read."
        ),
    ] = ""
    about: Annotated[
        str,
        _cut(MOST_SAID),
        Field(description=f"As the result has it; {MOST_SAID:,} characters of it are read."),
    ] = ""
    unsure: bool = Field(default=False, description="As the result has it.")
    picture: str = Field(
        default="",
        max_length=64,
        description="As the result has it: with another picture the question is refused.",
    )

    def turn(self) -> Turn:
        """Return it as a turn of a conversation."""
        return Turn(self.question, self.answer or "", self.about, self.unsure, self.picture)


class SearchRequest(BaseModel):
    """What passages are looked for."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(examples=[EXAMPLE_QUESTION], json_schema_extra={"minLength": 1})
    image: Picture | None = Field(
        default=None,
        description="The picture: JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF, at most 50 MB and 64 "
        "megapixels; in JSON as base64, with or without data:image/png;base64, in front.",
        examples=[EXAMPLE_PICTURE],
    )
    top_k: Annotated[int | None, BeforeValidator(_number)] = Field(
        default=None,
        ge=1,
        le=MAX_TOP_K,
        description=f"Passages to show; {CITED_TOO}.",
        examples=[3],
    )
    boxes: Annotated[
        list[
            Annotated[
                list[Annotated[int, BeforeValidator(_number)]], Field(min_length=4, max_length=4)
            ]
        ],
        BeforeValidator(_boxes),
        BeforeValidator(_or_nothing),
        Field(
            max_length=MOST_BOXES,
            description="Parts of the picture to look at: left, upper, right, lower in pixels of "
            'the upright picture. In multipart each is a text, "10,20,200,140".',
            examples=[[[0, 0, 48, 48]]],
            json_schema_extra=_LIST_OR_NULL,
        ),
    ] = []
    sources: Annotated[list[str], BeforeValidator(_or_nothing)] = Field(
        default=[],
        max_length=MOST_SOURCES,
        description="Only passages from these are found, as GET /v1/models lists them; [] for all. "
        "In multipart the field comes once for each.",
        examples=[[]],
        json_schema_extra=_LIST_OR_NULL,
    )
    after: Annotated[
        list[TurnBody],
        BeforeValidator(_from_json),
        BeforeValidator(_or_nothing),
        Field(
            max_length=MOST_TURNS,
            json_schema_extra=_LIST_OR_NULL,
            description="What was asked about the same picture before, the earliest first: the "
            "question is made to stand alone, as asked_as says. In multipart a text of JSON.",
            examples=[[{"question": EXAMPLE_QUESTION, "answer": "Nairobi", "about": "Kenya"}]],
        ),
    ] = []
    within_seconds: Annotated[float | None, BeforeValidator(_number)] = Field(
        default=None,
        gt=0,
        le=3600,
        description="How long an answer is of use, where that is less than the server gives: after "
        "that its status is 504, and the work on it is stopped.",
        examples=[60],
    )
    why: bool = Field(
        default=False,
        description="Also say why each passage was found: see the result.",
        examples=[True],
    )


class AskRequest(SearchRequest):
    """A question about a picture."""

    image: Picture = Field(
        description=str(SearchRequest.model_fields["image"].description),
        examples=[EXAMPLE_PICTURE],
    )
    strategy: Strategy | None = Field(
        default=None, description="How to answer, if not as the server is set.", examples=[None]
    )
    stream: bool = Field(
        default=False,
        description="Send events while the answer is written, as Accept: text/event-stream does.",
        examples=[False],
    )


class Given(BaseModel):
    """What is given: other fields may join."""

    model_config = ConfigDict(extra="allow")


class HitBody(Given):
    """A passage that was found."""

    passage_id: str
    title: str
    section: str = Field(description='The part of the page; "" for a lead.')
    url: str = Field(description='Where a reader can check it; "" when unknown.')
    text: str
    score: float = Field(description="The late-interaction score: the higher the better.")


class SimilarBody(Given):
    """A picture of the collection that resembles the asked one."""

    image: str = Field(description="Its name, as the collection has it.")
    entity: str = Field(description="The id of what it shows.")
    name: str = Field(description='What that is called; "" where nobody says.')
    similarity: float = Field(description="The higher the more alike.")


class FoundBody(Given):
    """What was found for a question: the event `found`."""

    hits: list[HitBody] = Field(description="Best first.")
    seen: str = Field(description='What a classifier saw in the picture; "" when nothing.')
    recognised: list[str] = Field(
        description="The names of what it saw, the likeliest first; [] where a similar picture "
        "says that it shows something else."
    )
    similar: list[SimilarBody] = Field(
        description="The most similar pictures of the collection, best first; [] without one."
    )
    asked_as: str = Field(
        description="The question as it was made to stand alone, where it followed on others, and "
        'its slips in typing were mended; "" where it was asked as it is.'
    )
    sources: list[str] = Field(description="What the search was held to; [] for all.")
    boxes: list[list[int]] = Field(description="The parts that were looked at; [] for the whole.")
    question_tokens_cut: int = Field(description="Tokens of the question that had no room.")


class SearchBody(FoundBody):
    """The passages found for a question, best first."""

    notes: list[str] = Field(description="What else to know, a sentence each.")
    timings_ms: dict[str, float] = Field(description="Milliseconds by step.")
    checkpoint: str = Field(description="Name and revision of the retriever.")
    request_id: str = Field(
        default="", description="The number of the request, as in the header X-Request-ID."
    )
    repeated: bool = Field(
        default=False, description="Whether it was kept from when the same was asked before."
    )
    picture: str = Field(
        description='A hash of the picture\'s pixels, for a follow-up; "" without one.'
    )
    why: dict[str, Any] | None = Field(
        default=None,
        description="Where it was asked for: for each passage the share of the score of its words, "
        'the words of the question with what they are nearest to, and "heat", how similar each '
        'place of the picture is; "frame" is what the places cover, as shares of the picture.',
    )


class AskBody(SearchBody):
    """The answer to a question, and the passages behind it; the same as `kbvqa ask --json`."""

    answer: str | None = Field(description="Null where there is none: failure says why.")
    citations: list[str] = Field(description="Ids of the passages that prove it.")
    cited_words: dict[str, list[list[int]]] = Field(
        default={},
        description="By cited passage: where in its text the words of the answer begin and end.",
    )
    failure: str = Field(description='Why the generator wrote no answer; "" where it did.')
    about: str = Field(
        description='The name of what the answer is about, for a follow-up; "" where in doubt.'
    )
    unsure: bool = Field(description="Whether to doubt it; reasons says why.")
    generator: str = Field(description="The name of what answered.")
    confidence: float | None = Field(
        description="How probably it is right; null where nobody knows, or there is no answer."
    )
    verdict: Trust | None = Field(
        description="Whether it is given, or with doubt; null where there is no answer."
    )
    reasons: list[str] = Field(description="Why it is in doubt.")
    doubted: bool = Field(
        default=False, description="Whether some of them are no part of the confidence."
    )
    strategy: Strategy | None = Field(default=None, description="How it was answered.")
    read: list[int] = Field(default=[], description="Numbers, from 1, of the hits that were read.")
    given: list[dict[str, Any]] = Field(
        default=[], description="With why: the passages exactly as they were read."
    )


class PassageBody(Given):
    """A passage of the index."""

    id: str
    title: str
    text: str
    url: str
    source: str = Field(description="The collection it is from, with its licence.")
    section: str
    entity: str
    language: str


class IndexBody(Given):
    """What is searched."""

    passages: int
    corpus: str
    sources: list[str] = Field(description="Where its passages are from, the commonest first.")


class ModelsBody(Given):
    """The models in use."""

    version: str
    checkpoint: str = Field(description="Name and revision of the retriever.")
    generator: str = Field(description="The name of what answers.")
    strategy: Strategy = Field(description="How it answers where nothing else is asked.")
    uncalibrated: str | None = Field(
        description="Why confidences are missing or foreign; null where all is well."
    )
    index: IndexBody


EVENTS = """\
`text/event-stream`, for `"stream": true` or `Accept: text/event-stream`:

| event | data |
|---|---|
| `found` | what was found, once: a `FoundBody` |
| `piece` | `{"text": ...}`, more of the answer |
| `result` | the whole result, as without streaming, an `AskBody`; the last |
| `problem` | in the place of a result: what went wrong, a `Problem` |
"""

EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["found", "piece", "result", "problem"]},
        "data": {"type": "string", "description": "JSON, as the description of the address says."},
    },
}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model as the OpenAPI document has it, which has those it refers to beside it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema
