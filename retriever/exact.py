"""Moved to retriever/index/exact.py; this name is kept for one release."""

from retriever.index.exact import *  # noqa: F403
