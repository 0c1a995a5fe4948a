"""An index of passages: opened, searched, filtered, written to.

Imports `engines` and `encoding`. Begin with `passage_index.py`; `search.py` is one search,
`writing.py` how a corpus is written.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Return `PassageIndex`, which was here before the rooms; kept for one release."""
    if name == "PassageIndex":
        return import_module("retriever.index.passage_index").PassageIndex
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
