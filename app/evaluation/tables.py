"""Figures as Markdown tables: percent, with standard errors."""

from collections.abc import Mapping, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, and an empty one behind it.

    >>> table(("a", "n"), [("50.0", "2")])
    ['| a | n |', '|---|---|', '| 50.0 | 2 |', '']
    """
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def percent(figures: Mapping[str, Any], name: str) -> str:
    """Return a share in percent with its standard error; "-" where it was not measured."""
    if name not in figures:
        return "-"
    return f"{100 * figures[name]:.1f} ± {100 * figures[f'{name}_stderr']:.1f}"
