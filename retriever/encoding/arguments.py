"""What a program hands over, looked at before anything is computed."""

from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")


def list_of(kind: type[_T], given: Iterable[_T]) -> list[_T]:
    """Return what is given as a list, also of a generator.

    Raises:
        TypeError: it is something else than any number of that kind.
    """
    name = kind.__name__
    if isinstance(given, kind | str) or not isinstance(given, Iterable):
        raise TypeError(f"a list of {name} is expected, not {given!r:.80}")
    items = list(given)
    for item in items:
        if not isinstance(item, kind):
            raise TypeError(
                f"each must be a {name}, such as kbvqa.{name}(...) returns, not {item!r:.80}"
            )
    return items
