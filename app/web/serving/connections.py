"""Connections that bring no request: closed, so that they keep nobody out.

uvicorn waits for the head of a request as long as it takes. A client that sends one slowly, or none
at all, has here as long as anybody needs. How long a body may take is for who reads it.
"""

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0


def most_connections() -> int:
    """Return how many may be open: half of the files that this process may have open.

    A request on a further one is answered 503.
    """
    return max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


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
