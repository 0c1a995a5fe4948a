"""Whether searches find what the index promises, watched while questions are asked.

    watch = recall_watch(pipeline, settings)        # of `kbvqa web` and `kbvqa mcp`
    WatchedPipeline(pipeline, watch)                # offers it what is asked
    last_seen(index, settings)                      # of `kbvqa doctor` and `kbvqa index info`

What was seen last lies in a file for each index, under "recall" of KBVQA_HOME: figures, and nothing
of a question.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from app.flow.events import Retrieval
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.types import Query
from retriever.index.filters import PassageFilter
from retriever.index.passage_index import PassageIndex, SearchMode
from retriever.index.watching import RecallWatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What a watch saw of the last questions.

    Attributes:
        queries: that were compared with the exact search.
        found: the share of their ten best that was found.
        error: its standard error; None after the first.
        promised: the share that the index promises.
        low: whether less is found than that, beyond chance.
        candidates: of those searches.
        time: when the last of them was compared, ISO 8601 in UTC.
    """

    queries: int
    found: float
    error: float | None
    promised: float
    low: bool
    candidates: int
    time: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        error = "" if self.error is None else f" ± {self.error:.3f}"
        return (
            f"{self.found:.3f}{error} of the ten best found where {self.promised:g} is promised, "
            f"by {self.candidates:,} candidates, of the last {self.queries} questions that were "
            f"compared, until {self.time}"
        )


class WatchedPipeline(Pipeline):
    """A pipeline whose queries are offered to a watch.

    Args:
        pipeline: whose components it has.
        watch: offered what is searched for; None for no watch.
    """

    def __init__(self, pipeline: Pipeline, watch: RecallWatch | None) -> None:
        super().__init__(
            pipeline.encoder,
            pipeline.index,
            pipeline.answering,
            max_question_characters=pipeline.max_question_characters,
            exact=pipeline.exact,
            mode=pipeline.search_mode,
            candidates=pipeline.candidates,
            pictures=pipeline.pictures,
        )
        self._watch = watch

    def retrieve(
        self,
        query: Query,
        top_k: int = 5,
        mode: SearchMode = "two-stage",
        *,
        sources: Sequence[str] = (),
        about: PassageFilter | None = None,
    ) -> Retrieval:
        """Return what `Pipeline.retrieve` does, and offer the query to the watch."""
        found = super().retrieve(query, top_k, mode, sources=sources, about=about)
        if self._watch is not None and found.asked is not None:
            self._watch.offer(found.asked.rows_QD)
        return found


def recall_watch(pipeline: Pipeline, settings: Settings) -> RecallWatch | None:
    """Return what compares some of the searches with the exact one; None where they are exact."""
    index = pipeline.index
    if index is None or pipeline.search_mode == "exact":
        return None
    candidates, file = pipeline.candidates, _file(index, settings)

    def keep(watch: RecallWatch) -> None:
        queries, recall, error = watch.seen
        time = datetime.now(UTC).isoformat(timespec="seconds")
        known = error if queries > 1 else None
        seen = LastSeen(queries, recall, known, watch.promised, watch.low, candidates, time)
        try:
            _write(file, seen)
        except OSError as exc:
            log.warning("what the recall check saw cannot be kept: %s", exc)

    return RecallWatch.of(
        index, candidates, settings.connection, settings.recall_checks, compared=keep
    )


def last_seen(index: PassageIndex, settings: Settings) -> LastSeen | None:
    """Return what was last seen of an index as it is built now.

    None where nothing was, or another version wrote it, or the file is broken.
    """
    try:
        return LastSeen(**json.loads(_file(index, settings).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _file(index: PassageIndex, settings: Settings) -> Path:
    """Return where it is kept for a build of an index: one that takes its place has another."""
    build = f"{index.location}\n{index.built.place}\n{index.fingerprint.corpus_sha256}"
    return settings.home / "recall" / f"{sha256(build.encode()).hexdigest()[:16]}.json"


def _write(file: Path, seen: LastSeen) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(seen)), encoding="utf-8")
    partial.replace(file)
