"""A finished run as it is read back from its directory."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from app.evaluation.files.json_rows import examples_sha256, read, read_results
from app.evaluation.record import (
    ANSWERS_NAME,
    EXAMPLES_NAME,
    RETRIEVAL_NAME,
    SCORES_NAME,
    AnswerRow,
    Condition,
    ExampleRow,
    Results,
    RetrievalRow,
    ScoreRow,
)
from corpus.errors import DatasetNotFound

RIGHT_FROM = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        directory: where it lies.
        name: by which it is told from the others beside it.
        results: its figures.
        examples: what was asked, by id, in the order of the benchmark.
        scores: by condition and id.
    """

    directory: Path
    name: str
    results: Results
    examples: dict[str, ExampleRow]
    scores: dict[tuple[Condition, str], ScoreRow]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Return the conditions that examples were scored under."""
        return tuple(dict.fromkeys(condition for condition, _ in self.scores))

    def found(self) -> dict[str, RetrievalRow]:
        """Return what was found, by id; {} without retrieval."""
        path = self.directory / RETRIEVAL_NAME
        if not path.is_file() or self.results.provenance.retrieval is None:
            return {}
        return {row.id: row for row in read(path, RetrievalRow)}

    def said(self) -> dict[tuple[Condition, str], AnswerRow]:
        """Return the answers by condition and id; {} where nothing was asked."""
        path = self.directory / ANSWERS_NAME
        if not path.is_file() or not self.results.judged_by:
            return {}
        return {(row.condition, row.id): row for row in read(path, AnswerRow)}


def open_run(directory: Path, name: str = "") -> Run:
    """Return the run in a directory.

    Args:
        directory: with results.json and the rows beside it.
        name: by which it is told from others; "" for the directory's.

    Raises:
        DatasetNotFound: it has no results, no rows, or rows and results of different runs.
    """
    results = read_results(directory)
    for file in (EXAMPLES_NAME, SCORES_NAME):
        if not (directory / file).is_file():
            raise DatasetNotFound(
                f"{directory} has results but no {file}: copy the whole directory of the run, or "
                f"score it again with `kbvqa evaluate run ... --out {directory} --stage score`"
            )
    examples = {row.id: row for row in read(directory / EXAMPLES_NAME, ExampleRow)}
    scores = {(row.condition, row.id): row for row in read(directory / SCORES_NAME, ScoreRow)}
    if len(examples) != results.n or not all(id_ in examples for _, id_ in scores):
        raise _changed(f"{directory} has {len(examples):,} examples and results of {results.n:,}")
    if results.examples_sha256 not in ("", examples_sha256(directory)):
        raise _changed(f"{directory} has other examples in {EXAMPLES_NAME} than its results are of")
    return Run(directory, name or directory.resolve().name, results, examples, scores)


def _changed(what: str) -> DatasetNotFound:
    return DatasetNotFound(
        f"{what}: it was changed since it was scored. Run the same command on it again, or "
        "`--stage score` alone"
    )


def open_runs(directories: list[Path]) -> list[Run]:
    """Return the runs in some directories, each under a name of its own.

    Raises:
        DatasetNotFound: see `open_run`.
    """
    resolved = [directory.resolve() for directory in directories]
    names: list[str] = []
    for path in resolved:
        # As many folders as tell it from the others.
        for count in range(1, len(path.parts) + 1):
            last = path.parts[-count:]
            if not any(other.parts[-count:] == last for other in resolved if other != path):
                break
        names.append(str(Path(*last)))
    return [open_run(d, n) for d, n in zip(directories, unique(names), strict=True)]


def unique(names: list[str]) -> list[str]:
    """Return the names, those that come again with a number behind them.

    >>> unique(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    seen: dict[Hashable, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def asked_alike(first: ExampleRow, second: ExampleRow) -> bool:
    """Return whether two examples are the same question about the same picture, judged alike."""
    what = attrgetter("question", "image", "answers", "gold_passage_ids")
    return bool(what(first) == what(second))
