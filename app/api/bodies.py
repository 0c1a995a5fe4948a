"""Reading a request: JSON or multipart, bounded in bytes and in time before anything is decoded."""

from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, TypeVar, get_args

import anyio
from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.api.problems import Refusal
from app.api.schema import MOST_BOXES, MOST_SOURCES, SearchRequest, TurnBody, schema_of
from app.asking.questions import MAX_TOP_K
from app.flow.talk import MOST_TURNS
from app.machine.tracing import span
from corpus.pictures.images import MAX_IMAGE_BYTES
from generator.answers.answer import Strategy

READ_SECONDS = 120.0
# What stands beside the picture: mostly turns, in which a character may be twelve bytes of JSON.
_FIELDS_BYTES = 2 * 1024 * 1024
_MOST_FIELDS = 32
# By field: what to send, told to whoever sent something else, or nothing where it is needed.
WANTED = {
    "question": "send a text: what you want to know about the picture",
    "image": "send the picture, as a file of a form, or in JSON its bytes in base64",
    "top_k": f"send a whole number from 1 to {MAX_TOP_K}, or leave it out",
    "boxes": f"send at most {MOST_BOXES} parts of the picture, each as left,upper,right,lower in "
    "whole pixels, such as 10,20,200,140",
    "sources": f"send at most {MOST_SOURCES} names of sources, or leave it out",
    "after": f"send at most {MOST_TURNS} turns, in a form as JSON, such as "
    '[{"question": "...", "answer": "...", "about": "..."}]',
    "within_seconds": "send a number of seconds above 0, at most 3600, or leave it out",
    "why": "send true or false, or leave it out",
    "strategy": f"send one of {', '.join(get_args(Strategy))}, or leave it out",
    "stream": "send true or false, or leave it out",
}
_LONGEST_NAME = 60
_REPEATED = ("boxes", "sources")  # in a form, once for each

_Asked = TypeVar("_Asked", bound=SearchRequest)


async def read_request(
    request: Request, model: type[_Asked], hold: Callable[[int], None]
) -> _Asked:
    """Return what a request asks, its picture as bytes that are not decoded yet.

    Args:
        request: whose body is read.
        model: of what is asked.
        hold: told how many bytes came, and refuses them where others hold too many.

    Raises:
        Refusal: it is too large, too slow, of another kind, or not what the model says.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        with anyio.fail_after(READ_SECONDS), span("receive"):
            if kind == "application/json":
                most = MAX_IMAGE_BYTES * 4 // 3 + _FIELDS_BYTES
                body = b"".join([chunk async for chunk in _bounded(request, most, hold)])
                return model.model_validate_json(body.removeprefix(BOM_UTF8))
            if kind == "multipart/form-data":
                return model.model_validate(await _fields(request, hold))
    except TimeoutError as exc:
        raise Refusal(408, f"The request was not there after {READ_SECONDS:.0f} s.") from exc
    except ClientDisconnect as exc:
        raise Refusal(400, "The request ended before it was whole.") from exc
    except ValidationError as exc:
        raise Refusal(422, problems(exc, model.model_fields)) from exc
    raise Refusal(
        415,
        f"Content-Type {kind!r:.100} is not read: send application/json or multipart/form-data.",
    )


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body that `read_request` reads."""
    schema = schema_of(model)
    fields = {
        name: {**field, "type": "string", "format": "binary"} if name == "image" else field
        for name, field in schema["properties"].items()
    }
    for name in ("image", "boxes"):
        fields[name] = {k: v for k, v in fields[name].items() if k not in _JSON_ALONE}
    for name in _REPEATED:
        fields[name] = fields[name] | {"type": "array"}
    fields["boxes"] |= {"items": {"type": "string", "pattern": r"^\d+,\d+,\d+,\d+$"}}
    described = {"description": fields["after"]["description"]}
    fields["after"] = {"type": "string", "contentMediaType": "application/json", **described}
    multipart = {k: schema[k] for k in ("type", "required", "additionalProperties")}
    reference = f"#/components/schemas/{model.__name__}"
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": reference}},
                "multipart/form-data": {"schema": {**multipart, "properties": fields}},
            },
        }
    }


_JSON_ALONE = ("anyOf", "contentEncoding", "default", "examples", "minLength")


async def _bounded(
    request: Request, most: int, hold: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """Yield a body as it comes.

    Raises:
        Refusal: it is longer than `most` bytes, by its header or in fact.
    """
    stated = request.headers.get("content-length", "")
    total = int(stated) if stated.isdecimal() else 0
    refusal = Refusal(
        413,
        f"The request is larger than a picture of {MAX_IMAGE_BYTES // 2**20} MB. Send it smaller.",
    )
    if total > most:
        raise refusal
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > most:
            raise refusal
        hold(len(chunk))
        yield chunk


async def _fields(request: Request, hold: Callable[[int], None]) -> dict[str, Any]:
    """Return the fields of a form, files as bytes."""
    body = _bounded(request, MAX_IMAGE_BYTES + _FIELDS_BYTES, hold)
    parser = _WholeForm(
        request.headers, body, max_files=2, max_fields=_MOST_FIELDS, max_part_size=_FIELDS_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as exc:
        raise Refusal(400, f"The form cannot be read: {str(exc).rstrip('.')}.") from exc
    fields: dict[str, Any] = {}
    try:
        for name, value in form.multi_items():
            read = await value.read() if isinstance(value, UploadFile) else value
            if name in _REPEATED:
                fields.setdefault(name, []).append(read)
            elif name in fields:
                raise Refusal(422, f"{name}: it is there twice; send it once")
            else:
                fields[name] = read
    finally:
        await form.close()
    return fields


class _WholeForm(MultiPartParser):
    """A reader of forms that are whole.

    Without it a form that is cut is read as far as it goes, and texts of other bytes than the form
    says, or than UTF-8 where it says nothing, as Latin-1. A field that is too large is named, and
    so are two files.
    """

    _ended = False
    _file = ""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        name = part.field_name[:_LONGEST_NAME]
        if not name:
            raise MultiPartException("a part of it has no name; the picture's is image")
        if part.file is None:
            return
        if self._file:
            raise MultiPartException(f"{self._file} and {name} are files; send one, as image")
        self._file = name

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        if part.file is None and len(part.data) + end - start > self.max_part_size:
            name, most = part.field_name[:_LONGEST_NAME], self.max_part_size / 2**20
            wanted = f": {WANTED[name]}" if name in WANTED else ""
            raise Refusal(413, f"{name} is larger than {most:.0f} MB{wanted}")
        super().on_part_data(data, start, end)

    def on_part_end(self) -> None:
        if self._current_part.file is None:
            name = self._current_part.field_name[:_LONGEST_NAME]
            try:
                bytes(self._current_part.data).decode(self._charset)
            except UnicodeDecodeError as exc:
                wanted = "; send the picture as a file, with a filename" if name == "image" else ""
                raise MultiPartException(f"{name} is not {exc.encoding}{wanted}") from exc
        super().on_part_end()

    def on_end(self) -> None:
        self._ended = True

    async def parse(self) -> FormData:
        """Return the fields.

        Raises:
            MultiPartException: it is no whole form.
        """
        form = await super().parse()
        if not self._ended:
            await form.close()
            raise MultiPartException("it ends before its last boundary")
        return form


def _of_turn(error: ErrorDetails, wanted: Mapping[str, str]) -> str:
    """Return what to send for a field of a turn."""
    kind, field = error["type"], str(error["loc"][2])
    least = "" if field == "question" else ", or leave it out"
    match kind:
        case "extra_forbidden":
            return f"there is no such field of a turn; there are {', '.join(TurnBody.model_fields)}"
        case "missing":
            return f"it is missing; {wanted['after']}"
        case "string_too_long":
            return f"send at most {error['ctx']['max_length']:,} characters{least}"
        case "bool_type" | "bool_parsing":
            return f"send true or false{least}"
    return f"send a text{' that is not empty' * (not least)}{least}"


def problems(
    exc: ValidationError, fields: Iterable[str], wanted: Mapping[str, str] = WANTED
) -> str:
    """Return what to send in the place of what; never what was sent, which may be long.

    Args:
        exc: what pydantic says.
        fields: that there are.
        wanted: by field, what to send.
    """
    said = []
    for error in exc.errors(include_input=False, include_url=False):
        kind, where = error["type"], ".".join(map(str, error["loc"]))[:_LONGEST_NAME]
        if kind == "json_invalid":
            text = f"The body is not JSON: {error['ctx']['error']}"
        elif not where:
            text = 'The body is not an object, such as {"question": "...", "image": "..."}'
        elif kind == "extra_forbidden" and len(error["loc"]) == 1:
            text = f"{where}: there is no such field; there are {', '.join(fields)}"
        elif len(error["loc"]) == 3 and error["loc"][0] == "after":
            text = f"{where}: {_of_turn(error, wanted)}"
        elif kind == "missing":
            text = f"{where}: it is missing; {wanted[str(error['loc'][0])]}"
        elif kind == "value_error":
            text = f"{where}: {error['ctx']['error']}"
        else:
            text = f"{where}: {wanted[str(error['loc'][0])]}"
        said.append(text)
    return "; ".join(dict.fromkeys(said))
