"""Why a passage was found: which words and which parts of the picture matched what of it.

Imports `encoding` and below. Begin with `alignment.py`.
"""
