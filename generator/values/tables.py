"""Which cell of a table a question means, where a reader points into that table. Pure functions.

    | Department | Head    | Floor    |     Who is head of the music room?     Ann Roe
    |------------|---------|----------|     On which floor are the toys?       first
    | Music      | Ann Roe | basement |
    | Toys       | Bob Lee | first    |

Or, as pages of Markdown and HTML are read, "Department: Music; Head: Ann Roe; Floor: basement" in
each line. A reader sees words in a row, and no columns: it takes a label, or what stands near. The
row and the column are meant that share more words with the question than any other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from generator.values.choice import choice
from generator.values.items import Range
from generator.values.wording import alike, telling, without

_LINE = re.compile(r"[^\n]+")
_CELL = re.compile(r"(?<=\|)[^|\n]*(?=\|)")
_RULE = re.compile(r"[\s|:-]*")
_WHICH = re.compile(r"\b(?:which|what)\s+(\w+)(?:\s+(\w+))?", re.IGNORECASE)
_LABELLED = re.compile(
    r"(?:(?<=; )|(?<=\n)|\A)(?P<label>[^:;\n]{1,40}): (?P<cell>[^\n]*?)(?=; [^:;\n]{1,40}: |\n|\Z)"
)
# How labels call what a question asks for in other words.
_CALLED = tuple(
    (re.compile(rf"\b(?:{asked})\b", re.IGNORECASE), labels.split())
    for asked, labels in (
        (r"costs?|prices?|pay|how\s+much\s+(?:is|are)|fees?", "price cost fee"),
        (r"when|what\s+time|which\s+day", "day date time hours"),
        (r"how\s+old|what\s+age", "age"),
        (r"last", "life duration"),
        (r"telephone|call", "phone telephone"),
    )
)


@dataclass(frozen=True, slots=True)
class _Table:
    """Cells of a text, the names of things in the first column.

    Attributes:
        labels: the words of each column's heading that tell something.
        rows: the cells of each row, by the column; None where a cell is not there.
    """

    labels: list[list[str]]
    rows: list[list[Range | None]]


def cells(question: str, text: str, span: Range) -> tuple[Range, ...]:
    """Return the cells of a table that a question means, in the place of a range in that table.

    Args:
        question: that a passage may answer.
        text: the passage, with a table perhaps.
        span: the characters that a reader took; returned as they are where they are in no table,
            or where no cell is plainly meant.

    >>> text = "| Item | Price | Weight |\\n|---|---|---|\\n| Pan | 9 | 1 kg |\\n| Pot | 7 | 2 kg |"
    >>> def said(question: str, words: str) -> list[str]:
    ...     start = text.index(words)
    ...     return [text[slice(*c)] for c in cells(question, text, (start, start + len(words)))]
    >>> said("What does the pot cost?", "9"), said("How heavy is the pot?", "Pot")
    (['7'], ['2 kg'])
    >>> said("What is cheap?", "Pan")
    ['Pan']
    """
    table = _table(text, span[0])
    if table is None:
        return (span,)
    asked = telling(question)
    here = [
        (n, m)
        for n, row in enumerate(table.rows)
        for m, cell in enumerate(row)
        if cell and cell[0] <= span[0] < cell[1]
    ]
    if _asks_for_name(question, table):
        row = _row(question, text, table, without(asked, list(chain(*table.labels))))
        name = table.rows[row][0] if row is not None else None
        return (name or span,)
    wanted = _columns(question, table, asked)
    named = [word for m in wanted for word in table.labels[m]]
    row = _row(question, text, table, without(asked, named))
    if row is None and here and wanted:
        row = here[0][0]
    if row is None:
        return (span,)
    if not wanted:
        taken = here[0][1] if here else 0
        wanted = [taken] if taken else [1] if len(table.labels) == 2 else []
    found = tuple(cell for m in wanted if (cell := table.rows[row][m]))
    if found and choice(question) is None and _are_named(question, text, found):
        # What the question says is no answer to it.
        near = table.rows[row][here[0][1]] if here and here[0][0] == row else None
        return (near if near and near not in found else table.rows[row][0] or span,)
    inside = any(a <= span[0] and span[1] <= b for a, b in found)
    return (span,) if not found or inside else found


def _are_named(question: str, text: str, found: Sequence[Range]) -> bool:
    """Return whether a question says all that some cells do."""
    said, asked = [telling(text[a:b]) for a, b in found], telling(question)
    return all(said) and not any(without(words, asked) for words in said)


def _asks_for_name(question: str, table: _Table) -> bool:
    """Return whether a question asks which of the things in the first column is meant."""
    which = _WHICH.search(question)
    if which is None or (which[2] and _shared([which[2].casefold()], [*chain(*table.labels[1:])])):
        return False
    return _shared([which[1].casefold()], table.labels[0]) > 0


def _row(question: str, text: str, table: _Table, asked: list[str]) -> int | None:
    """Return the row that a question names: by its first cell, else by any."""
    names = [telling(text[slice(*row[0])]) if row[0] else [] for row in table.rows]
    whole = [telling(" ".join(text[slice(*c)] for c in row if c)) for row in table.rows]
    for words in (names, whole):
        if (row := _best([_shared(asked, each) for each in words])) is not None:
            return row
    return _best([_called(question, each) for each in names])


def _columns(question: str, table: _Table, asked: list[str]) -> list[int]:
    """Return the columns that a question wants, never the first: that has names."""
    named = _best([0, *(_shared(asked, label) for label in table.labels[1:])])
    if named is not None:
        return [named]
    return [n for n, label in enumerate(table.labels) if n and _called(question, label)]


def _table(text: str, at: int) -> _Table | None:
    """Return the table that a place of a text is in; None where it is in none."""
    block = _block(text, at)
    if len(block) < 2:
        return None
    if "|" in text[slice(*block[0])]:
        lines = [
            [_stripped(text, *cell.span()) for cell in _CELL.finditer(text, *line)]
            for line in block
            if not _RULE.fullmatch(text, *line)
        ]
        labels = [telling(text[a:b]) for a, b in lines[0]] if lines else []
        rows: list[list[Range | None]] = [[*line] for line in lines[1:] if len(line) == len(labels)]
        return _Table(labels, rows) if rows and len(labels) > 1 else None
    found = [list(_LABELLED.finditer(text, *line)) for line in block]
    heads = list(dict.fromkeys(cell["label"] for line in found for cell in line))
    by_label = [{cell["label"]: cell.span("cell") for cell in line} for line in found]
    if len(heads) < 2:
        return None
    return _Table([telling(head) for head in heads], [[*map(row.get, heads)] for row in by_label])


def _block(text: str, at: int) -> list[Range]:
    """Return the lines of a table around a place: with bars, or with the same label in front."""
    lines = [line.span() for line in _LINE.finditer(text)]
    here = next((n for n, (a, b) in enumerate(lines) if a <= at < b), None)
    if here is None or not (kind := _kind(text, lines[here])):
        return []
    first, last = here, here
    while first > 0 and _kind(text, lines[first - 1]) == kind:
        first -= 1
    while last + 1 < len(lines) and _kind(text, lines[last + 1]) == kind:
        last += 1
    return lines[first : last + 1]


def _kind(text: str, line: Range) -> str:
    """Return what lines of one table share; "" for a line of none."""
    if re.fullmatch(r"\s*\|.*\|\s*", text[slice(*line)]):
        return "|"
    found = list(_LABELLED.finditer(text, *line))
    return found[0]["label"] if len(found) > 1 and found[0].start() == line[0] else ""


def _stripped(text: str, start: int, end: int) -> Range:
    words = text[start:end]
    start += len(words) - len(words.lstrip())
    return start, start + len(words.strip())


def _best(counts: Sequence[int]) -> int | None:
    """Return where the greatest count is; None where it is 0, or stands twice."""
    most = max(counts, default=0)
    return counts.index(most) if most and counts.count(most) == 1 else None


def _shared(asked: list[str], words: list[str]) -> int:
    return sum(any(alike(word, other) for other in words) for word in dict.fromkeys(asked))


def _called(question: str, label: list[str]) -> int:
    return sum(
        any(alike(word, name) for word in label for name in names)
        for how, names in _CALLED
        if how.search(question)
    )
