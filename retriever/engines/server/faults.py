"""What an error of a Qdrant server means: which pass by themselves, and which are refusals.

One table for REST and gRPC. The texts are Qdrant 1.19's: it reports what passes within a cluster
(a replica that cannot be reached, a leader that is not elected yet, a read that ran out of time) as
500 or INTERNAL, with the reason in the text, and so does it with what never passes.
"""

import math
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from retriever.engines.server.strict import setting_behind

Kind = Literal[
    "away",
    "busy",
    "slow",
    "garbled",
    "full",
    "key",
    "missing",
    "untrusted",
    "plain",
    "refused",
]

PASSING: frozenset[Kind] = frozenset({"away", "busy", "slow", "garbled"})


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong.

    Attributes:
        kind: those of PASSING may pass, the others will not.
        text: in the words of the server or the network.
        wait_seconds: how long the server asks to be left alone: it is "busy". None if it does not.
    """

    kind: Kind
    text: str
    wait_seconds: float | None = None


# An HTTP status, or the name of a gRPC code.
_BY_STATUS: dict[int | str, Kind] = {
    **dict.fromkeys((401, 403, "UNAUTHENTICATED", "PERMISSION_DENIED"), "key"),
    **dict.fromkeys((404, "NOT_FOUND"), "missing"),
    **dict.fromkeys((408, 504, "DEADLINE_EXCEEDED"), "slow"),
    **dict.fromkeys((429, 502, 503, "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"), "away"),
    507: "full",
}
# Statuses under which anything may have happened: the text decides.
_INTERNAL = frozenset({500, "INTERNAL", "UNKNOWN", "CANCELLED", "FAILED_PRECONDITION"})
_FULL = ("no space left", "not enough space", "insufficient storage", "available disk space")
_SLOW = ("timeout error", "timed out", "timeout set at", "deadline exceeded", "timeout expired")
_AWAY = (
    "currently unavailable",
    "temporarily unavailable",
    "connect error",
    "connection refused",
    "connection reset",
    "connection closed",
    "broken pipe",
    "transport error",
    "no active replica",
    "enough active replicas",
    "at least one `active` replica",
    "no address found for peer",
    "address for peer id is not found",
    "please retry",
    "leader is not established",
    "no leader could be selected",
    "via leader peer",
    "waiting for consensus operation",
    "wait for consensus commit",
    "proposal dropped",
    "operation cancelled",
    "pre-condition fail",
    "precondition fail",
    "channel closed",
    "channel sender dropped",
)


def kind_of(status: int | str, text: str) -> Kind:
    """Return what an error answer means.

    Args:
        status: of HTTP, or the name of a gRPC code.
        text: what the server says.
    """
    lower = text.lower()
    if any(words in lower for words in _FULL):
        return "full"
    if setting_behind(text):
        return "away" if _BY_STATUS.get(status) == "away" else "refused"
    if status in _INTERNAL:
        if any(words in lower for words in _SLOW):
            return "slow"
        if any(words in lower for words in _AWAY):
            return "away"
    return tls_kind(text) or _BY_STATUS.get(status, "refused")


def seconds_asked(retry_after: str) -> int | None:
    """Return how long a server asks to be left alone, in whole seconds.

    Args:
        retry_after: the value of the header: seconds, or a date of HTTP.

    Returns:
        None where it is neither.
    """
    try:
        if retry_after.strip().isdecimal():
            return int(retry_after)
        seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(0, math.ceil(seconds))


def tls_kind(text: str) -> Kind | None:
    """Return what is wrong with TLS; None where nothing is."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "untrusted"
    return "plain" if "WRONG_VERSION_NUMBER" in text else None
