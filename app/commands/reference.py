"""Every setting with its meaning, default and present value, read off `app.settings.Settings`.

`kbvqa settings` prints it, `kbvqa doctor` lists what is set, and docs/settings.md is written by
`kbvqa settings --markdown`.
"""

import inspect
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from app.settings import PREFIX, Settings

# In the order of the page. A name ending in "_" stands for all that begin so.
GROUPS: dict[str, tuple[str, ...]] = {
    "Where things are": ("home", "data"),
    "Checkpoint and index": (
        *("checkpoint", "revision", "index", "candidates", "recall_checks", "pictures"),
    ),
    "A Qdrant server": ("qdrant_",),
    "What answers": ("reader", "strategy", "passages_in_prompt", "passage_tokens", "prompt_style"),
    "A generator server": ("generator_",),
    "Confidence": ("calibration", "unsure_below", "withhold_below"),
    "This machine": ("threads", "log_"),
    "The page and the API": (
        *("host", "port", "allowed_hosts", "root_path", "top_k", "max_question_characters"),
        *("concurrent_questions", "answer_seconds", "repeated_answers", "stop_seconds", "api_"),
    ),
}

_NAMES_OF_KEYS = re.compile("key|token|secret|password|auth", re.IGNORECASE)

_INTRODUCTION = """\
# Settings

Each is an environment variable, read when a command starts. An unknown `KBVQA_` name is an error,
an empty value means the default. A key may be in a file instead, which the same name with `_FILE`
behind it gives: `KBVQA_API_KEYS_FILE=/run/secrets/keys`. `kbvqa settings` shows the present values
and where they come from. Options of a command (`--index`, `--checkpoint`, ...) count for that
command. This page is written by `kbvqa settings --markdown`.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        variable: the environment variable.
        group: the heading that it stands under, one of GROUPS.
        meaning: what it decides, in words.
        values: what it may be.
        default: as text; "not set" where it has none.
        value: at present, as text; a key is never shown, nor a field of JSON that is named as one.
        origin: "default", or where the value comes from.
    """

    variable: str
    group: str
    meaning: str
    values: str
    default: str
    value: str
    origin: str


def reference(settings: Settings) -> list[Setting]:
    """Return every setting in the order of GROUPS."""
    meanings = _meanings()
    return [
        _setting(name, group, meanings[name], settings)
        for group, names in GROUPS.items()
        for name in _members(names)
    ]


def as_markdown(rows: list[Setting]) -> str:
    """Return the page docs/settings.md: names, meanings, defaults; nothing of this machine."""
    text = _INTRODUCTION
    for group in GROUPS:
        text += f"\n## {group}\n\n| variable | meaning | values | default |\n|---|---|---|---|\n"
        for row in rows:
            if row.group == group:
                cells = f"`{row.variable}`", row.meaning, row.values, row.default
                text += f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
    return text


def _members(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name.endswith("_"):
            yield from (field for field in Settings.model_fields if field.startswith(name))
        else:
            yield name


def _setting(name: str, group: str, meaning: str, settings: Settings) -> Setting:
    field, value = Settings.model_fields[name], getattr(settings, name)
    variable = f"{PREFIX}{name}".upper()
    # What an option of the command line sets is no variable, and changes no default.
    variables = {k.upper() for k in os.environ} if name in settings.model_fields_set else set()
    origins = {variable: "environment", f"{variable}_FILE": "file"}
    return Setting(
        variable=variable,
        group=group,
        meaning=meaning,
        values=_values(field),
        default=_default(field),
        value=_text(value),
        origin=next((origins[v] for v in origins if v in variables), "default"),
    )


def _meanings() -> dict[str, str]:
    """Return {field: what the docstring of Settings says of it}."""
    _, _, attributes = inspect.cleandoc(Settings.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
    return {name: _for_people(" ".join(text.split())) for name, text in found}


def _for_people(text: str) -> str:
    """Return a description in the words of the environment: variables, and "unset" for None."""
    text = re.sub(r"`(\w+)`", _variable, text)
    text = re.sub(r"\bNone for\b", "unset means", text).replace("None ", "unset ")
    return text[0].upper() + text[1:]


def _variable(found: re.Match[str]) -> str:
    return f"{PREFIX}{found[1]}".upper() if found[1] in Settings.model_fields else found[0]


def _values(field: FieldInfo) -> str:
    """Return what a field may be: a choice, or a type with its limits."""
    types = [t for t in (get_args(field.annotation) or (field.annotation,)) if t is not type(None)]
    if all(isinstance(choice, str) for choice in types):
        return ", ".join(types)
    if choices := [choice for t in types for choice in get_args(t) if isinstance(choice, str)]:
        return ", ".join(choices)
    if types[0] is dict or getattr(field.annotation, "__origin__", None) is dict:
        return "a JSON object"
    limits = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("ge", "gt", "le")
        if hasattr(limit, name)
    }
    kind = {int: "a whole number", float: "a number", Path: "a path"}.get(types[0], "a text")
    low = f" from {limits['ge']:g}" if "ge" in limits else ""
    low = f" above {limits['gt']:g}" if "gt" in limits else low
    return kind + low + (f" to {limits['le']:g}" if "le" in limits else "")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None and field.annotation is Path:
        return "~/.cache/kbvqa"
    return _text(field.get_default(call_default_factory=True, validated_data={}))


def _text(value: Any) -> str:
    if value is None or value == {}:
        return "not set"
    # A key is asterisks by itself.
    return json.dumps(_masked(value)) if isinstance(value, dict) else f"{value}"


def _masked(value: Any, name: str = "") -> Any:
    """Return JSON in which texts whose field is named as a key are asterisks."""
    if isinstance(value, dict):
        return {field: _masked(part, field) for field, part in value.items()}
    if isinstance(value, list):
        return [_masked(part, name) for part in value]
    return "**********" if isinstance(value, str) and _NAMES_OF_KEYS.search(name) else value
