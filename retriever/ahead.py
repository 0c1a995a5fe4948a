"""Work done ahead of its use, in a thread."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


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


def _take(source: Iterator[Item]) -> tuple[Item] | None:
    for item in source:
        return (item,)
    return None
