"""Calls to a Qdrant server: tried again while it is away or busy, and its errors in our words."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from retriever.engines.connection import QdrantConnection
from retriever.engines.deadline import in_time, seconds_left
from retriever.engines.server.faults import PASSING, Failure
from retriever.engines.server.strict import setting_behind
from retriever.errors import IndexNotReady, IndexUnavailable, RetrieverError

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_LONGEST_WAIT_SECONDS = 10.0
_SAID_EVERY_SECONDS = 30.0


class Caller:
    """Calls the server of one location.

    Args:
        location: for messages.
        connection: how often a call is tried, and how long the waits are.
        failures: the exceptions of the client.
        classify: says what one of them means.

    Attributes:
        patient: whether a server that is away is waited for as long as `connection` lets a build
            wait, instead of for a few tries.
    """

    def __init__(
        self,
        location: str,
        connection: QdrantConnection,
        failures: tuple[type[Exception], ...],
        classify: Callable[[Exception], Failure],
    ) -> None:
        self._location, self._connection = location, connection
        self._failures, self._classify = failures, classify
        self.patient = False

    def __call__(
        self, function: Callable[[], _T], *, repeat: bool = True, hurried: bool = False
    ) -> _T:
        """Return what the function returns.

        Args:
            function: makes one request.
            repeat: whether it may be made again. A request that was not answered may still have
                been fulfilled.
            hurried: whether a few tries are enough, however patient this is.

        Raises:
            IndexUnavailable: the server is away, slow, full, or refuses the key or the request.
            IndexNotReady: the collection is gone.
        """
        attempt, first, said = 1, time.monotonic(), 0.0
        patient = self.patient and not hurried
        while True:
            try:
                return in_time(function)
            except TimeoutError as exc:
                raise self._late() from exc
            except self._failures as exc:
                failure = self._classify(exc)
                waited = time.monotonic() - first
                left = self._connection.build_wait_seconds - waited if patient else 0.0
                spent = attempt >= self._connection.attempts and left <= 0
                wait = self._wait(attempt, failure)
                if failure.kind in PASSING and wait >= seconds_left():
                    raise self._late(f": {failure.text}") from exc
                too_long = wait > max(left, self._connection.timeout_seconds)
                if not repeat or failure.kind not in PASSING or spent or too_long:
                    raise self._explained(failure, attempt, waited) from exc
                if left > 0 and (attempt == 3 or waited - said >= _SAID_EVERY_SECONDS):
                    said = waited
                    logger.warning(
                        "waiting for the Qdrant server of %s, up to %d seconds more: %s",
                        *(self._location, left, failure.text),
                    )
                time.sleep(wait)
            attempt += 1

    def _wait(self, attempt: int, failure: Failure) -> float:
        """Return the seconds to wait: as many as the server asks for and a little more, or twice
        as many each time, give or take half. So many clients do not come back at the same moment.
        """
        shortest = self._connection.retry_seconds
        if failure.wait_seconds is not None:
            return failure.wait_seconds + shortest * random.uniform(0, 1)
        doubled: float = shortest * 2 ** min(attempt - 1, 16)
        return min(doubled * random.uniform(0.5, 1.5), _LONGEST_WAIT_SECONDS)

    def _late(self, reason: str = "") -> IndexUnavailable:
        return IndexUnavailable(
            f"the Qdrant server of {self._location} did not answer as long as the answer was of "
            f"use{reason}"
        )

    def _explained(self, failure: Failure, attempts: int, waited: float) -> RetrieverError:
        server = f"the Qdrant server of {self._location}"
        text, tried = failure.text, f", {attempts} times" if attempts > 1 else ""
        if self.patient and self._connection.build_wait_seconds and attempts > 1:
            tried += f" in {waited:,.0f} seconds (KBVQA_QDRANT_BUILD_WAIT_SECONDS)"
        tls = "with TLS, as https:// says"
        if self._location.startswith("http://"):
            tls = "without TLS, as http:// says"
        if failure.kind == "missing":
            return IndexNotReady(f"{server} does not know the collection (any more): {text}")
        refusal = text
        if setting := setting_behind(text):
            refusal = (
                f"{text.rstrip('.')}. That is strict mode of the collection: change its {setting}, "
                "docs/guide/qdrant.md says which values fit"
            )
        message = {
            "full": f"the disk of {server} is full: {text}. Make room and run the same command "
            "again: what is written so far is kept",
            "key": f"{server} refuses the key: set KBVQA_QDRANT_API_KEY to one that may do this "
            f"({text})",
            "slow": f"{server} did not answer within {self._connection.timeout_seconds} seconds"
            f"{tried}: it is overloaded, or KBVQA_QDRANT_TIMEOUT_SECONDS is too short ({text}). "
            "What is written so far is kept",
            "away": f"{server} cannot be reached{tried}: {text}. Is it running, with "
            f"its REST and its gRPC port open, and {tls}? A URL is one node of a cluster: one of a "
            "load balancer before all nodes outlives each of them. What is written so far is kept",
            "busy": f"{server} is busy{tried}: {text}. It asks to be left alone for "
            f"{failure.wait_seconds or 0:.0f} seconds: ask again then. What is written so far is "
            "kept",
            "garbled": f"{server} does not answer as Qdrant does{tried} ({text}): something else "
            "listens there or stands between, such as a proxy",
            "untrusted": f"{server} shows a certificate that is not trusted: {text}. Set "
            "KBVQA_QDRANT_CA_FILE to a file with the certificate of its authority, and name the "
            "server as its certificate does",
            "plain": f"{server} does not speak TLS there: {text}. Either its URL begins with "
            "http://, or KBVQA_QDRANT_GRPC_PORT is another",
            "refused": f"{server} refused a request: {refusal}",
        }
        return IndexUnavailable(message[failure.kind])
