"""Opinions in a SQLite file: one table, for any number of processes and threads.

    store = FeedbackStore(settings.feedback_path)   # nothing is opened, and no file made
    store.add(opinion)

Each call opens the file and closes it. What is deleted is overwritten. A row that is no opinion is
named in a warning and left out; the others are read.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import FeedbackUnusable, InvalidFeedback
from app.feedback.opinion import COLUMNS, Opinion

VERSION = 1
MOST_BYTES = 1 << 30
_BUSY_SECONDS = 10.0
_TABLE = """
CREATE TABLE feedback (
    id TEXT PRIMARY KEY,
    verdict TEXT NOT NULL CHECK (verdict IN ('up', 'down')),
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    cited TEXT NOT NULL,
    reason TEXT NOT NULL,
    right_answer TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    generator TEXT NOT NULL,
    picture BLOB,
    time TEXT NOT NULL
)"""
_PUT = (
    f"INSERT OR REPLACE INTO feedback ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join('?' * len(COLUMNS))})"
)
_VERDICT_AGAIN = "UPDATE feedback SET time = ? WHERE id = ? AND verdict = ?"
# What an opinion does not check itself.
_KINDS: dict[str, Any] = {"cited": list, "picture": bytes | None, "time": str}

log = logging.getLogger(__name__)


class FeedbackStore:
    """What users said of answers.

    Args:
        path: of the file; it is made with the first opinion.
        most_bytes: that it may grow to.

    Raises:
        FeedbackUnusable: by each method: the file is damaged, of a later version, in use for long,
            or full; or the disk is.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.path, self._most_bytes = path, most_bytes

    def add(self, opinion: Opinion) -> None:
        """Keep an opinion, with the time, in the place of an earlier one of the same answer."""
        now = replace(opinion, time=datetime.now(UTC).isoformat(timespec="seconds"))
        row = [getattr(now, name) for name in COLUMNS]
        row[COLUMNS.index("cited")] = json.dumps(now.cited)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise FeedbackUnusable(f"{self.path.parent} cannot be made: {exc.strerror}") from exc
        with self._open() as file:
            file.execute(_PUT, row)

    def add_verdict(self, opinion: Opinion) -> None:
        """Keep an opinion that says no more than the verdict.

        Where the same verdict was kept of that answer, what was said beside it stays.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if self.path.exists():
            with self._open() as file:
                if file.execute(_VERDICT_AGAIN, (now, opinion.id, opinion.verdict)).rowcount:
                    return
        self.add(opinion)

    def read(self) -> list[Opinion]:
        """Return all opinions that are whole, the earliest first."""
        if not self.path.exists():
            return []
        with self._open() as file:
            file.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
            rows = file.execute(f"SELECT {', '.join(COLUMNS)} FROM feedback ORDER BY time, id")
            opinions = [self._opinion(row) for row in rows]
        return [opinion for opinion in opinions if opinion is not None]

    def delete(self, ids: Sequence[str] | None) -> int:
        """Delete the opinions of these ids, all for None, and return how many there were."""
        if not self.path.exists():
            return 0
        with self._open() as file:
            if ids is None:
                return file.execute("DELETE FROM feedback").rowcount
            rows = [(id_,) for id_ in ids]
            return file.executemany("DELETE FROM feedback WHERE id = ?", rows).rowcount

    def copy(self, path: Path) -> None:
        """Write all of it as one file of its own, whole also while others write.

        Put in the place of the first, without files beside it (-wal, -shm), it is that store again.

        Raises:
            FeedbackUnusable: there is nothing to copy, or something is at `path` already.
        """
        if not self.path.exists():
            raise FeedbackUnusable(f"there is no {self.path}: nobody has said anything yet")
        path = path.absolute()  # sqlite takes ":memory:" for no file
        if path.exists():
            raise FeedbackUnusable(f"{path} is there already: name a new file")
        with self._open(), closing(sqlite3.connect(self.path)) as here:
            try:
                with closing(sqlite3.connect(path)) as there:
                    here.backup(there)
                    there.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.Error as exc:
                path.unlink(missing_ok=True)
                raise FeedbackUnusable(f"{path} cannot be written: {exc}") from exc

    def _opinion(self, row: Sequence[object]) -> Opinion | None:
        """Return a row as an opinion; None, with a warning, where it is none."""
        values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
        try:
            values["cited"] = json.loads(values["cited"])
            for name, kind in _KINDS.items():
                if not isinstance(values[name], kind):
                    raise TypeError(f"its {name} is {values[name]!r:.80}")
            return Opinion(**values | {"cited": tuple(values["cited"])})
        except (InvalidFeedback, TypeError, ValueError, RecursionError) as exc:
            log.warning(
                "opinion %.40r in %s is damaged and left out: %s. `kbvqa feedback delete` with its "
                "id removes it",
                values["id"],
                self.path,
                exc,
            )
            return None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give the file in a transaction, with its table; what sqlite says becomes a message."""
        file = None
        try:
            file = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA secure_delete = ON")
            [size] = file.execute("PRAGMA page_size").fetchone()
            file.execute(f"PRAGMA max_page_count = {self._most_bytes // size}")
            file.execute("BEGIN IMMEDIATE")
            self._prepare(file)
            yield file
            file.execute("COMMIT")
        except sqlite3.Error as exc:
            raise FeedbackUnusable(self._said(exc)) from exc
        finally:
            if file is not None:
                file.close()

    def _prepare(self, file: sqlite3.Connection) -> None:
        [version] = file.execute("PRAGMA user_version").fetchone()
        if version == 0 and not file.execute("SELECT 1 FROM sqlite_master").fetchone():
            file.execute(_TABLE)
            file.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            made_by = "a later kbvqa: use that one" if version > VERSION else "something else"
            raise FeedbackUnusable(
                f"{self.path} was made by {made_by}, or move it away (layout {version}; this is "
                f"{VERSION})"
            )

    def _has_all_it_may(self) -> bool:
        """Return whether the file is as large as it may be, but for what one more row takes."""
        held = sum(
            path.stat().st_size
            for path in (self.path, self.path.with_name(f"{self.path.name}-wal"))
            if path.exists()
        )
        return 2 * held >= self._most_bytes

    def _said(self, exc: sqlite3.Error) -> str:
        """Return what is wrong with the file and what to do about it."""
        name = getattr(exc, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            if not self._has_all_it_may():
                return (
                    f"{self.path} cannot be written: the disk is full. Make room there; what is "
                    "in it stays"
                )
            return (
                f"{self.path} has reached the {self._most_bytes >> 20:,} MiB that it may: "
                "`kbvqa feedback export` what is in it, then `kbvqa feedback delete --all`"
            )
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return (
                f"{self.path} is damaged ({exc}): put a backup in its place, or move it away with "
                "the files beside it (-wal, -shm), and a new one is made"
            )
        return f"{self.path} cannot be used: {exc}"
