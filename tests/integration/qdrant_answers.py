"""What a real Qdrant 1.19.0 answered, word for word, and the strict mode behind some of it."""

from dataclasses import dataclass
from typing import Any

import grpc
from qdrant_client import models


@dataclass
class Refusal(Exception):
    """An error answer: a status and a text, or no answer at all where the status is 0.

    `retry_after` goes with it as the header of that name.
    """

    status: int
    text: str = ""
    retry_after: str = ""


GRPC_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}

READ_TIMEOUT = (
    "Service internal error: 1 of 1 read operations failed: Timeout error: Operation 'Search' "
    "timed out after 996 ms"
)
CONSENSUS_TIMEOUT = (
    "Service internal error: Waiting for consensus operation commit failed. Timeout set at: 10 "
    "seconds"
)
SHARDS_AWAY = (
    "2 out of 6 shards failed to apply operation. First error captured: Service internal error: "
    "Failed to apply operation to at least one `Active` replica. Consistency of this update is not "
    "guaranteed. Please retry. code: 'The service is currently unavailable', message: \"tcp "
    'connect error"'
)
NO_REPLICA = "Service internal error: The replica set for shard 3 on peer 7 has no active replica"
NO_LEADER = (
    "Service internal error: Failed to propose operation: leader is not established within 10s"
)
NOT_ENOUGH_SPACE = (
    "Service runtime error: Not enough space available for optimization, needed: 2048, available: "
    "1024"
)
PASSING = {
    "slow": (READ_TIMEOUT, CONSENSUS_TIMEOUT),
    "away": (SHARDS_AWAY, NO_REPLICA, NO_LEADER),
}


def check_strict(config: models.StrictModeConfig | None, operation: str, request: Any) -> None:
    """Refuse what strict mode refuses."""
    if config is None or not config.enabled:
        return
    if operation == "upsert":
        _at_most(len(request), config.upsert_max_batchsize, "upsert limit")
    elif operation == "count":
        _filter_fits(config, request.filter)
        if request.exact and config.search_allow_exact is False:
            raise _refused("Exact search disabled!. Help: Set exact=false.")
    elif operation in ("facet", "scroll"):
        _at_most(request.limit, config.max_query_limit, "limit")
    elif operation == "delete":
        _filter_fits(config, request.filter)
    elif operation == "query":
        _at_most(len(request.searches), config.search_max_batchsize, "search batch size")
        for search in request.searches:
            _search_fits(config, search)


def check_timeout(config: models.StrictModeConfig | None, timeout: int | None) -> None:
    """Refuse a longer time limit than strict mode lets a request have."""
    if config is not None and config.enabled and timeout is not None:
        _at_most(timeout, config.max_timeout, "timeout")


def _search_fits(config: models.StrictModeConfig, step: Any) -> None:
    before = step.prefetch
    for earlier in before if isinstance(before, list) else [before] if before else []:
        _search_fits(config, earlier)
    rescoring = isinstance(step, models.QueryRequest) and before
    if config.search_allow_exact is False:
        if step.using == "tokens" and not rescoring:
            raise _refused(
                "Request is forbidden on 'tokens' because global vector indexing is disabled "
                "(hnsw_config.m = 0). Help: Use tenant-specific filter, enable global vector "
                "indexing or enable strict mode `search_allow_exact` option"
            )
        if step.params is not None and step.params.exact:
            raise _refused("Exact search disabled!. Help: Set exact=false.")
    _at_most(step.limit, config.max_query_limit, "limit")
    _filter_fits(config, step.filter)
    if step.params is not None and step.params.hnsw_ef is not None:
        _at_most(step.params.hnsw_ef, config.search_max_hnsw_ef, "hnsw_ef")


def _filter_fits(config: models.StrictModeConfig, chosen: models.Filter | None) -> None:
    limit = config.condition_max_size
    for condition in (chosen.must or []) if chosen is not None else []:  # type: ignore[union-attr]
        size = len(condition.has_id) if isinstance(condition, models.HasIdCondition) else 1
        if limit is not None and size > limit:
            raise _refused(
                f"Condition size limit reached ({size} > {limit}). Help: Reduce the size of your "
                "condition."
            )


def _at_most(value: int | None, limit: int | None, name: str) -> None:
    if value is not None and limit is not None and value > limit:
        raise _refused(
            f'Limit exceeded {value} > {limit} for "{name}". Help: Reduce the "{name}" parameter '
            f"to or below {limit}."
        )


def _refused(text: str) -> Refusal:
    return Refusal(400, f"Bad request: {text}")
