"""What a server's response holds, whole or as a stream of events. Knows no HTTP library.

A body may be one JSON object, a stream of server-sent events, or such a stream under another name.
Taken for nothing: what is sent as an event and is no object, such as pings and `null`. Taken for
the end: `[DONE]`, and the end of the body. Half of an object at the end is left out where others
came; elsewhere it is a fault.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from generator.server.wire.event_stream import EventReader
from generator.server.wire.protocol import NotACompletion, parse

# For a whole reply, or one event of a stream: a short answer is far smaller. A stream of thoughts
# may be long: it is bounded by its time.
MAX_BYTES = 1_000_000
_DONE = "[DONE]"
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry|)\s*:")


class BodyTooLong(ValueError):
    """A body went on beyond MAX_BYTES."""


async def begins_as_events(
    arriving: AsyncIterator[bytes],
) -> tuple[AsyncGenerator[bytes, None], bool]:
    """Return bytes as they arrive, and whether they begin as a stream of events does."""
    begun = b""
    async for part in arriving:
        begun += part
        if len(begun.lstrip()) >= len("event:"):
            break

    async def whole() -> AsyncGenerator[bytes, None]:
        yield begun
        async for part in arriving:
            yield part

    return whole(), _FIELD.match(begun) is not None


async def events(arriving: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield the objects that are sent as events; None, and nothing more, at the mark of the end.

    Raises:
        NotACompletion: an object is broken, or nothing else was sent.
        BodyTooLong: an event goes on and on.
        UnicodeDecodeError: it is not UTF-8.
    """
    reader, other = EventReader(), ""
    some = False
    async for arrived in arriving:
        for data in reader.feed(arrived):
            if data.startswith(_DONE):
                yield None
                return
            if data.startswith("{"):
                some = True
                yield parse(data)
            else:
                other = other or data
        _bound(reader.waiting)
    for data in reader.end():
        try:
            yield None if data.startswith(_DONE) else parse(data)
        except NotACompletion:  # half of one, or none
            other = other or data
            break
        some = True
    if other and not some:
        raise NotACompletion(other)


async def text(arriving: AsyncIterator[bytes]) -> str:
    """Return a whole body; bytes that are not UTF-8 are replaced.

    Raises:
        BodyTooLong: it goes on and on.
    """
    data = bytearray()
    async for arrived in arriving:
        data += arrived
        _bound(len(data))
    return data.decode("utf-8", "replace")


def _bound(size: int) -> None:
    if size > MAX_BYTES:
        raise BodyTooLong(f"more than {MAX_BYTES:,} bytes")
