"""Passage files: .jsonl or .jsonl.gz, one passage a line.

    {"id": "...", "title": "...", "text": "...",
     "url": "...", "source": "...", "section": "...", "entity": "...", "language": "..."}

The id and the text are required; the others may be absent, null or "". Any other key is ignored,
but a text under a name that is almost one of these is refused: it would be lost in silence.
An id may be an integer, which is read as a string, and its key "_id", as BEIR has it.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from corpus.errors import InvalidRecord
from corpus.files.jsonl import Record, UniqueIds, id_field, read_records, text_field
from corpus.types import Passage

_OPTIONAL = ("title", "url", "source", "section", "entity", "language")
_KNOWN = {"id", "_id", "text", *_OPTIONAL}
_NEAR = 0.87  # "entitiy" and "langauge" are, "resource" and "subtitle" are names of their own


def read_passages(path: Path) -> Iterator[Passage]:
    """Yield the passages of a file in order, one line in memory at a time.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: the first line that cannot be used, and why.
    """
    ids = UniqueIds(path)
    for line, record in read_records(path):
        passage = passage_in(path, line, record)
        ids.add(line, passage.id)
        yield passage


def passage_in(path: Path, line: int, record: Record) -> Passage:
    """Return the passage of an object on a line. Raises InvalidRecord where it cannot be used."""
    if other := record.keys() - _KNOWN:
        texts = frozenset(name for name in other if isinstance(record[name], str))
        for name, wanted in _slips(texts):
            if wanted not in record:
                raise InvalidRecord(path, line, name, f"is no field: call it {wanted!r}")
    key = "_id" if "_id" in record and "id" not in record else "id"
    return Passage(
        id=id_field(path, line, record, key),
        text=text_field(path, line, record, "text"),
        **{name: text_field(path, line, record, name, required=False) for name in _OPTIONAL},
    )


@lru_cache(maxsize=64)  # all lines of a file have the same
def _slips(names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return which of some names are almost that of a field, and of which."""
    near = ((name, get_close_matches(name.casefold(), _OPTIONAL, 1, _NEAR)) for name in names)
    return tuple(sorted((name, close[0]) for name, close in near if close))


def write_passages(path: Path, passages: Iterable[Passage]) -> int:
    """Write passages and return how many; gzipped when the name ends in .gz.

    The same passages give the same bytes (no time stamp, no file name inside). The file
    appears under its name only once it is complete.
    """
    count = 0
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as raw:
            zipped = path.suffix == ".gz"
            file = gzip.GzipFile("", "wb", 9, raw, mtime=0) if zipped else raw
            for passage in passages:
                file.write(passage_line(passage))
                count += 1
            if file is not raw:
                file.close()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def passages_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of the passages in a file.

    It is taken over the decoded passages: compression, key order, spacing, blank lines and
    ignored keys do not change it; the order of the passages does.

    Raises:
        DatasetNotFound, InvalidRecord: as read_passages.
    """
    digest = hashlib.sha256()
    for passage in read_passages(path):
        digest.update(passage_line(passage))
    return digest.hexdigest()


def passage_line(passage: Passage) -> bytes:
    """Return the line of a passage file that holds a passage."""
    row = {name: value for name, value in asdict(passage).items() if value}
    return json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n"
