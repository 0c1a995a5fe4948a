"""Where kbvqa keeps what it builds and downloads."""

import os
from pathlib import Path


def home_directory() -> Path:
    """Return KBVQA_HOME, or "kbvqa" in the user's cache directory; it need not exist."""
    if own := os.environ.get("KBVQA_HOME"):
        return Path(own).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "kbvqa"
