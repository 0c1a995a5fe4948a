"""Server-sent events: the data that a stream of bytes carries.

Lines end in LF, CRLF or CR, and nowhere else; an event ends at an empty line, the last also with
the stream. Comments, names, ids and waits ("retry: 3000") are no data, nor is an empty `data:`.
What is named "error" and does not look like one, such as a plain text, is made to.
"""

import json
import re
from collections.abc import Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventReader:
    """Collects bytes as they arrive and gives the data of each event that is complete."""

    def __init__(self) -> None:
        self._bytes = b""
        self._begun = False
        self._data: list[str] = []
        self._name = ""

    def feed(self, arrived: bytes) -> Iterator[str]:
        """Yield the data of the events that end in these bytes.

        Raises:
            UnicodeDecodeError: they are not UTF-8.
        """
        self._bytes += arrived
        if not self._begun and len(self._bytes) >= len(_BYTE_ORDER_MARK):
            self._begun, self._bytes = True, self._bytes.removeprefix(_BYTE_ORDER_MARK)
        # A CR at the end may be half of a CRLF.
        *lines, self._bytes = _LINE_END.split(self._bytes)
        for line in lines:
            yield from self._line(line.decode("utf-8"))

    @property
    def waiting(self) -> int:
        """Return the length of the event that is not complete yet, about."""
        return len(self._bytes) + sum(map(len, self._data))

    def end(self) -> Iterator[str]:
        """Yield the data of an event that the end of the stream has ended."""
        rest, self._bytes = self._bytes.rstrip(b"\r"), b""
        yield from self._line(rest.decode("utf-8", "replace"))
        yield from self._line("")

    def _line(self, line: str) -> Iterator[str]:
        if line:
            field, _, value = line.partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
            elif field == "event":
                self._name = value.strip()
            return
        data, self._data = "\n".join(self._data).strip(), []
        name, self._name = self._name, ""
        if data:
            yield _as_error(data) if name == "error" else data


def _as_error(data: str) -> str:
    """Return the data of an error as a JSON object with the key "error"."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = data
    return data if isinstance(said, dict) and said.get("error") else json.dumps({"error": said})
