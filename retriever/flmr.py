"""Moved to retriever/checkpoint/pretrained.py; this name is kept for one release."""

from retriever.checkpoint.pretrained import FLMRModel

__all__ = ["FLMRModel"]
