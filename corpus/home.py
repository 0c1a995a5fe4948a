"""Where kbvqa keeps what it builds and downloads."""

import os
from pathlib import Path

from corpus.errors import CorpusError


def home_directory() -> Path:
    """Return KBVQA_HOME, or "kbvqa" in the user's cache directory; it need not exist.

    Raises:
        CorpusError: it begins with the home of a user who has none.
    """
    if own := os.environ.get("KBVQA_HOME"):
        return _expanded("KBVQA_HOME", own)
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache:
        return _expanded("XDG_CACHE_HOME", cache) / "kbvqa"
    return _expanded("HOME", "~/.cache") / "kbvqa"


def _expanded(variable: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as exc:
        raise CorpusError(
            f"{variable} is {value!r}, and there is no such user's home: set {variable} to a "
            "whole path, or KBVQA_HOME to where built models and indexes are to be kept"
        ) from exc
