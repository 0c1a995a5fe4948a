"""Moved to retriever/inputs/tokenization.py; this name is kept for one release."""

from retriever.inputs.tokenization import *  # noqa: F403
