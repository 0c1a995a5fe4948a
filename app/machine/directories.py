"""Where a directory should be, and which file the system could not write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def file_in_the_way(directory: Path) -> Path | None:
    """Return the file, if there is one, where a directory should be: it, or one above it."""
    return next((path for path in (directory, *directory.parents) if path.is_file()), None)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name this file in an error of the system that names none.

    Opening a file says which; writing to it, which is when a disk is full, does not.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno is not None and exc.filename is None:
            exc.filename = str(path)
        raise
