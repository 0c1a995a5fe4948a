"""Connections that bring no request: closed, so that they keep nobody out.

uvicorn waits for the head of a request as long as it takes. A client that sends one slowly, or none
at all, has here as long as anybody needs. How long a body may take is for who reads it.

Where there is no handle for one more, asyncio tries again every second, once for every place of the
backlog, and logs a traceback each time: the backlog is short, and the log has one line of it.
"""

import asyncio
import logging
import math
import resource
import time

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
BACKLOG = 128
_FULL = "socket.accept() out of system resource"
_SAID_EVERY_SECONDS = 30.0


def most_connections() -> int:
    """Return how many may be open: half of the files that this process may have open.

    A request on a further one is answered 503.
    """
    return max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class OutOfHandles(logging.Filter):
    """Of asyncio's log: has it say in words, and now and then, that nobody else can connect."""

    def __init__(self) -> None:
        super().__init__()
        self._said = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        if not record.getMessage().startswith(_FULL):
            return True
        if time.monotonic() - self._said < _SAID_EVERY_SECONDS:
            return False
        self._said = time.monotonic()
        record.msg = (
            "nobody else can connect: this process has as many files open as it may (ulimit -n). "
            "Connections that bring no request are closed after %d s"
        )
        record.args, record.exc_info = (HEAD_SECONDS,), None
        return True


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol, which gives up on the head of a request that does not come."""

    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what came; where it is a part of a head, the rest has to come in time."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._stop_looking()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, and end the request that it is the body of.

        Of an answer that has begun the rest is not sent. Without this, who works on the request
        goes on, and answers on a connection that takes no second answer.
        """
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _look(self) -> None:
        """Have the clock run exactly while a head is waited for, from its beginning."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_looking()
        elif self._giving_up is None:
            self._giving_up = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_looking(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        self._giving_up = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
