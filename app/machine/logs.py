"""Lines of the log: as text for people, or a JSON object each, with the request they belong to.

    use_logs("json", "info")

Nothing of a user's is in a line above debug: of the request that is worked on, its question is
struck out wherever it turns up, such as in an error of a library.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Literal

from app.machine.request import current

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

# What a line may say beside its text: given as `extra`.
FIELDS = ("stage", "ms", "method", "route", "status")
STRUCK_OUT = "[of the user]"
# A shorter text is part of everything. In UTF-8: four characters of Chinese are a whole question.
_LEAST_BYTES = 5

# ECMA-48: control sequences, strings up to their end, other escapes; single control characters.
_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """Return a text without escape sequences and control characters but tab and line feed.

    >>> printable("a \x1b[1;31mred\x1b[0m word\x07")
    'a red word'
    """
    return _CONTROL.sub("", text)


class TextFormatter(logging.Formatter):
    """Lines for people, which reach a terminal as text alone."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, the request's number at its end."""
        text = _without_private(printable(super().format(record)), record)
        request = current()
        if request is None:
            return text
        first, *rest = text.split("\n", 1)
        return "\n".join([f"{first} [{request.number}]", *rest])


class JsonFormatter(logging.Formatter):
    """A JSON object a line: time (UTC), level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _without_private(record.getMessage(), record),
        }
        if request := current():
            said["request_id"] = request.number
        said |= {name: value for name in FIELDS if (value := getattr(record, name, None))}
        if record.exc_info:
            said["exception"] = _without_private(self.formatException(record.exc_info), record)
        return json.dumps(said)


def open_log() -> None:
    """Have this process write warnings and errors to standard error, as text."""
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def use_logs(form: LogFormat, level: LogLevel) -> None:
    """Have the log that `open_log` opened in a form, from a level on.

    Libraries keep to warnings, whatever the level: theirs below may hold what users ask.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, TextFormatter | JsonFormatter):
            handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.captureWarnings(form == "json")  # else each is a line of its own that is no JSON
    for name in ("app", "generator", "retriever", "corpus"):
        logging.getLogger(name).setLevel("NOTSET" if level == "warning" else level.upper())


def _without_private(text: str, record: logging.LogRecord) -> str:
    """Return a line above debug without the texts of the user's, however they are quoted."""
    request = current()
    if request is None or record.levelno <= logging.DEBUG:
        return text
    for private in sorted(request.private, key=len, reverse=True):
        if len(private.encode("utf-8", "surrogatepass")) < _LEAST_BYTES:
            continue
        quoted = repr(private)[1:-1], json.dumps(private)[1:-1], printable(private)
        for form in (private, *quoted):
            text = text.replace(form, STRUCK_OUT)
    return text
