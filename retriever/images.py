"""Moved to retriever/inputs/images.py; this name is kept for one release."""

from retriever.inputs.images import *  # noqa: F403
