"""Which errors of a server pass: Qdrant 1.19's own texts, as REST and gRPC bring them."""

import pytest

from retriever.engines.server.faults import PASSING, kind_of
from tests.integration import qdrant_answers as answers


@pytest.mark.parametrize("status", [500, "INTERNAL"])
@pytest.mark.parametrize(
    ("kind", "text"), [(k, t) for k, ts in answers.PASSING.items() for t in ts]
)
def test_what_passes_in_a_cluster_is_told_from_its_text(
    status: int | str, kind: str, text: str
) -> None:
    assert kind_of(status, text) == kind


@pytest.mark.parametrize("status", [500, "INTERNAL"])
@pytest.mark.parametrize(
    "text",
    [
        "Service internal error: Wal error: first-index is broken",
        "Service internal error: 1 of 1 read operations failed: Wrong input: Vector dimension "
        "error: expected dim: 64, got 128",
        "Service internal error: Tokio task join error: task 12 panicked",
        "",
    ],
)
def test_an_internal_error_that_says_nothing_of_passing_is_a_refusal(
    status: int | str, text: str
) -> None:
    assert kind_of(status, text) == "refused"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (408, "Timeout: Operation 'Search' timed out after 60s", "slow"),
        ("DEADLINE_EXCEEDED", "", "slow"),
        (503, "Shard temporarily unavailable: 2", "away"),
        ("UNAVAILABLE", "tcp connect error", "away"),
        (429, "Write rate limit exceeded: Operation requires 9 tokens", "away"),
        ("FAILED_PRECONDITION", "Pre-condition failure: not enough replicas, try later", "away"),
        (500, "Pre-condition failure: Local shard 3 is not yet there", "away"),
        ("CANCELLED", "Operation cancelled: the peer is restarting", "away"),
        (507, "Insufficient storage: disk quota", "full"),
        ("RESOURCE_EXHAUSTED", "Insufficient storage: disk quota", "full"),
        (500, "Service internal error: No space left on device: WAL buffer size", "full"),
        (500, f"1 of 1 shards: {answers.NOT_ENOUGH_SPACE}. Please retry", "full"),
        (403, "Forbidden: Global access is required", "key"),
        (403, "Bad request: Exact search disabled!. Help: Set exact=false.", "refused"),
        (404, "Not found: Collection `zoo-1` doesn't exist!", "missing"),
        (400, 'Bad request: Limit exceeded 60 > 10 for "timeout". Help: ...', "refused"),
        (400, "Wrong input: Operation 'Search' timed out after 60s", "refused"),
        (409, "Wrong input: Collection `zoo` already exists!", "refused"),
    ],
)
def test_statuses(status: int | str, text: str, kind: str) -> None:
    assert kind_of(status, text) == kind


def test_what_passes_is_told_of_a_cluster_or_is_no_answer_of_a_server() -> None:
    assert {*answers.PASSING, "busy", "garbled"} == set(PASSING)
