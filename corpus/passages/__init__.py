"""Pages into passages: how they are cut, what is left out, and what a corpus is made of.

Imports `formats` and `files`. Begin with `corpora.py`.
"""
