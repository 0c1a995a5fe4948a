"""Work done in windows, and ahead of its use, in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

WINDOW = 1_024  # passages that are read, and sorted by length, at once

Item = TypeVar("Item")
Value = TypeVar("Value")


def windows(items: Iterable[Item], size: int = WINDOW) -> Iterator[list[Item]]:
    """Yield items in lists of a size."""
    source = iter(items)
    while window := list(islice(source, size)):
        yield window


def ahead(source: Iterator[Item]) -> Iterator[Item]:
    """Yield the items of `source`, always making the next one while one is in use.

    Tokenisation and reading release the interpreter, so that they cost a busy device
    nothing. One item at most is made in vain when the caller stops.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        following = pool.submit(_take, source)
        while found := following.result():
            following = pool.submit(_take, source)
            yield found[0]


def map_ahead(
    pool: Executor, function: Callable[[Item], Value], items: Iterable[Item], depth: int
) -> Iterator[Value]:
    """Yield the function's values in the order of the items, with `depth` calls under way."""
    pending: deque[Future[Value]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _take(source: Iterator[Item]) -> tuple[Item] | None:
    for item in source:
        return (item,)
    return None
