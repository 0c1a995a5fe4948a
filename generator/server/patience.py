"""How long a server is waited for: between two tries, and when it is gone. Knows no HTTP library.

A server that is slow says so in nothing: it may be given a minute. One that is gone is another
matter. Where the host is, its system acknowledges what arrives; where nobody does, the connection
ends after `SILENT_S`. And a server to which several calls in a row went in vain is left alone for
a moment, so that a line of questions does not wait for it one after the other.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from time import time

_BUSY = (408, 409, 425, 429)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0

# Seconds after which a host that acknowledges nothing is gone.
SILENT_S = 10
# Calls in vain, one after the other, after which a server is left alone, and for how long.
IN_VAIN, PAUSE_S = 3, 5.0

log = logging.getLogger(__name__)


def socket_options() -> list[tuple[int, int, int]]:
    """Return the options of a connection that ends where its host is gone, as the system has them.

    What is sent has to be acknowledged; while an answer is waited for, the host is asked.
    """
    wanted = {
        "TCP_USER_TIMEOUT": 1000 * SILENT_S,
        "TCP_KEEPIDLE": SILENT_S // 2,
        "TCP_KEEPINTVL": 1,
        "TCP_KEEPCNT": SILENT_S // 2,
    }
    there = [(getattr(socket, name), n) for name, n in wanted.items() if hasattr(socket, name)]
    return [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *((socket.IPPROTO_TCP, option, value) for option, value in there),
    ]


def may_pass(status: int) -> bool:
    """Return whether a refusal may be another one, or none, a moment later."""
    return status in _BUSY or (status >= 500 and status not in (501, 505))


def usual_wait(attempt: int) -> float:
    """Return the seconds before the next try: twice as many each time, from attempt 0 on."""
    doubled: float = _FIRST_WAIT_S * 2**attempt
    return min(_LONGEST_WAIT_S, doubled) * random.uniform(0.75, 1)


def asked_wait(retry_after: str) -> float | None:
    """Return for how many seconds a server asks to wait; None where it does not say.

    Args:
        retry_after: the header, seconds or a date; "" for none.
    """
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except (ValueError, TypeError):
        return None


class Circuit:
    """Whether calls go out to a server. Used on one event loop.

    Once several in a row were in vain none goes out for a while. Then one of them asks first
    whether the server is there; while it asks, and if it is not, the others do not wait.

    Args:
        where: the server, for the log.
        there: asks it something that costs nothing, and returns whether it said anything.
    """

    def __init__(self, where: str, there: Callable[[], Awaitable[bool]]) -> None:
        self._where, self._there = where, there
        self._in_vain, self._until = 0, 0.0

    async def closed(self) -> bool:
        """Return whether a call may go out."""
        if self._in_vain < IN_VAIN:
            return True
        if self._now() < self._until:
            return False
        self._until = float("inf")  # for the others, while this one asks
        there = False
        try:
            there = await self._there()
        finally:
            self._until = self._now() + PAUSE_S
        if there:
            log.warning("%s answers again", self._where)
            self.heard()
        return there

    def heard(self) -> None:
        """Note that the server said something, whatever it was."""
        self._in_vain = 0

    def missed(self) -> None:
        """Note that a call was in vain: nothing came."""
        self._in_vain += 1
        self._until = self._now() + PAUSE_S
        if self._in_vain == IN_VAIN:
            log.warning(
                "%s did not answer %d times in a row: it is left alone for %g s at a time",
                *(self._where, IN_VAIN, PAUSE_S),
            )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
