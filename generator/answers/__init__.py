"""Choosing an answer among passages, reading what was written, and judging it.

Imports `extractive` and what all generators share; never a server or a model. Begin with
`answer.py`, which says what is called what, then `strategies.py`.
"""
