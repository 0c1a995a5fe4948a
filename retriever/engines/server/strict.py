"""A collection's strict mode, read once: what one request may ask, and which settings fit.

must stay unset or true    search_allow_exact: all vectors are compared, without a graph
must be large enough       max_query_limit: ten times the candidates of a search
are kept to                max_timeout, upsert_max_batchsize, search_max_batchsize,
                           condition_max_size
"""

from dataclasses import dataclass
from typing import Any, Self

# What a refusal says, and the setting that stands behind it.
_BEHIND = {
    "Exact search disabled": "search_allow_exact",
    "global vector indexing is disabled": "search_allow_exact",
    "vector indexing is disabled": "search_allow_exact",
    'for "limit"': "max_query_limit",
    'for "timeout"': "max_timeout",
    'for "upsert limit"': "upsert_max_batchsize",
    'for "search batch size"': "search_max_batchsize",
    "Condition size limit reached": "condition_max_size",
    "Filter condition limit reached": "filter_max_conditions",
    "Index required but not found": "unindexed_filtering_retrieve or unindexed_filtering_update",
    "Max points count limit": "max_points_count",
    "Max vector storage size limit": "max_collection_vector_size_bytes",
    "Max payload storage size limit": "max_collection_payload_size_bytes",
    "Multivector '": "multivector_config",
    "Read rate limit": "read_rate_limit",
    "Write rate limit": "write_rate_limit",
}
_EXACT_NEEDED = (
    "search_allow_exact is false, but vectors have no graph and are always compared exactly: "
    "set it to true"
)


def setting_behind(text: str) -> str:
    """Return the setting of strict mode that a refusal is about; "" if it is about none."""
    return next((name for words, name in _BEHIND.items() if words in text), "")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask of a collection; None for as much as it likes.

    Attributes:
        exact: whether vectors may be compared without a graph.
        points: points that a step of a search, or a page, may name.
        timeout_seconds: how long a request may ask to be worked on.
        written: points in a write.
        searches: searches in a batch.
        condition: values in a condition, ids too.
    """

    exact: bool = True
    points: int | None = None
    timeout_seconds: int | None = None
    written: int | None = None
    searches: int | None = None
    condition: int | None = None

    @classmethod
    def of(cls, config: Any) -> Self:
        """Return the limits of Qdrant's strict_mode_config; None and switched off set none."""
        if config is None or not config.enabled:
            return cls()
        return cls(
            exact=config.search_allow_exact is not False,
            points=config.max_query_limit,
            timeout_seconds=config.max_timeout,
            written=config.upsert_max_batchsize,
            searches=config.search_max_batchsize,
            condition=config.condition_max_size,
        )

    def unfit(self, points: int) -> list[str]:
        """Return why a search whose widest step names so many points is refused, as sentences."""
        problems = [] if self.exact else [_EXACT_NEEDED]
        if self.points is not None and points > self.points:
            problems.append(
                f"max_query_limit is {self.points:,}, but a step of the search takes {points:,} "
                "points (ten for each candidate): raise it, or ask for at most "
                f"{max(1, self.points // 10):,} candidates"
            )
        return problems


def least(wanted: int, limit: int | None) -> int:
    """Return what is wanted, or the limit where that is less."""
    return wanted if limit is None else min(wanted, limit)
