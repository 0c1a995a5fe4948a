"""Where a directory should be."""

from pathlib import Path


def file_in_the_way(directory: Path) -> Path | None:
    """Return the file, if there is one, where a directory should be: it, or one above it."""
    return next((path for path in (directory, *directory.parents) if path.is_file()), None)
