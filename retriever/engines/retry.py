"""Calls to a Qdrant server: tried again while it is away or busy, and its errors in our words."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from retriever.errors import IndexNotReady, IndexUnavailable, RetrieverError
from retriever.index_settings import Connection

_T = TypeVar("_T")

_LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong.

    Attributes:
        kind: "away" and "slow" may pass, the others will not.
        text: in the words of the server or the network.
        wait_seconds: how long the server asks to be left alone; None if it does not say.
    """

    kind: Literal["away", "slow", "full", "key", "missing", "untrusted", "plain", "refused"]
    text: str
    wait_seconds: float | None = None


class Caller:
    """Calls the server of one location.

    Args:
        location: for messages.
        connection: how often a call is tried, and how long the waits are.
        failures: the exceptions of the client.
        classify: says what one of them means.
    """

    def __init__(
        self,
        location: str,
        connection: Connection,
        failures: tuple[type[Exception], ...],
        classify: Callable[[Exception], Failure],
    ) -> None:
        self._location, self._connection = location, connection
        self._failures, self._classify = failures, classify

    def __call__(self, function: Callable[[], _T], *, repeat: bool = True) -> _T:
        """Return what the function returns.

        Args:
            function: makes one request.
            repeat: whether it may be made again. A request that was not answered may still have
                been fulfilled.

        Raises:
            IndexUnavailable: the server is away, slow, full, or refuses the key or the request.
            IndexNotReady: the collection is gone.
        """
        attempts = self._connection.attempts if repeat else 1
        attempt = 1
        while True:
            try:
                return function()
            except self._failures as exc:
                failure = self._classify(exc)
                passing = failure.kind in ("away", "slow")
                if not passing or attempt == attempts:
                    raise self._explained(failure, attempt) from exc
                time.sleep(self._wait(attempt, failure))
            attempt += 1

    def _wait(self, attempt: int, failure: Failure) -> float:
        """Return the seconds to wait: twice as many each time, give or take half, so that many
        clients do not come back at the same moment."""
        wait = failure.wait_seconds
        if wait is None:
            wait = self._connection.retry_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
        return min(wait, _LONGEST_WAIT_SECONDS)

    def _explained(self, failure: Failure, attempts: int) -> RetrieverError:
        server = f"the Qdrant server of {self._location}"
        text, tried = failure.text, f", {attempts} times" if attempts > 1 else ""
        tls = "with TLS, as https:// says"
        if self._location.startswith("http://"):
            tls = "without TLS, as http:// says"
        if failure.kind == "missing":
            return IndexNotReady(f"{server} does not know the collection (any more): {text}")
        message = {
            "full": f"the disk of {server} is full: {text}. Make room and run the same command "
            "again: what is written so far is kept",
            "key": f"{server} refuses the key: set KBVQA_QDRANT_API_KEY to one that may do this",
            "slow": f"{server} did not answer within {self._connection.timeout_seconds} seconds"
            f"{tried}: it is overloaded, or KBVQA_QDRANT_TIMEOUT_SECONDS is too short. "
            "What is written so far is kept",
            "away": f"{server} cannot be reached{tried}: {text}. Is it running, with "
            f"its REST and its gRPC port open, and {tls}? What is written so far is kept",
            "untrusted": f"{server} shows a certificate that is not trusted: {text}. Set "
            "KBVQA_QDRANT_CA_FILE to a file with the certificate of its authority, and name the "
            "server as its certificate does",
            "plain": f"{server} does not speak TLS there: {text}. Either its URL begins with "
            "http://, or KBVQA_QDRANT_GRPC_PORT is another",
            "refused": f"{server} refused a request: {text}",
        }
        return IndexUnavailable(message[failure.kind])
