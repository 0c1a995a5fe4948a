"""Pieces of a report's HTML: tables, keys of colours, framed charts.

What is not called raw is escaped here.
"""

from collections.abc import Iterable, Sequence
from html import escape

COLOURS = 8


def key(i: int) -> str:
    """Return a patch of a colour, by its number from 0."""
    return f'<i class="key c{i % COLOURS}"></i>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, raw: bool = False) -> str:
    """Return a table. What is not raw is escaped."""
    shown = (lambda text: text) if raw else escape
    top = "".join(f"<th>{shown(cell)}</th>" for cell in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{shown(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody>'
        "</table></div>"
    )


def framed(title: str, svg: str, legend: Iterable[tuple[int, str]]) -> str:
    """Return a chart with a title and a legend of (colour, name)."""
    keys = "".join(f"<span>{key(i)}{escape(name)}</span>" for i, name in legend)
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{svg}"
        f'<div class="legend">{keys}</div></figure>'
    )
