"""What a program hands over, looked at before anything is computed."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image

from retriever.errors import InvalidQuery

_T = TypeVar("_T")


def list_of(kind: type[_T], given: Iterable[_T]) -> list[_T]:
    """Return what is given as a list, also of a generator.

    Raises:
        TypeError: it is something else than any number of that kind.
    """
    name = kind.__name__
    if isinstance(given, (kind, str)) or not isinstance(given, Iterable):
        raise TypeError(f"a list of {name} is expected, not {given!r:.80}")
    items = list(given)
    for item in items:
        if not isinstance(item, kind):
            made = "PIL.Image.open(...)" if kind is Image else f"kbvqa.{name}(...)"
            such = "" if kind is str else f", such as {made} returns"
            raise TypeError(f"each must be a {name}{such}, not {item!r:.80}")
    return items


def require_place(given: object, name: str) -> None:
    """Raise TypeError unless an argument is a path, or a text such as an address."""
    if not isinstance(given, str | Path):
        raise TypeError(f"{name}: a path or a text is expected, not {given!r:.80}")


def require_unicode(*texts: str) -> None:
    """Raise InvalidQuery unless texts can be tokenised."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidQuery(
                f"{text!r:.80} holds half of a surrogate pair, {text[exc.start]!r}, which is no "
                "character: read it with the encoding that it was written in"
            ) from exc


def require(
    given: object, kind: type, name: str, *, optional: bool = False, home: str = "kbvqa"
) -> None:
    """Raise TypeError unless an argument is of a kind, which `home` has."""
    if not isinstance(given, kind) and not (optional and given is None):
        what = kind.__name__ if kind.__module__ == "builtins" else f"{home}.{kind.__name__}"
        raise TypeError(f"{name}: a {what} is expected, not {given!r:.80}")
