"""Pictures of entities beside the passages: a second way to find what a picture shows.

Imports `encoding` and below. Begin with `collection.py`; `fusing.py` joins what it finds with the
passages that were found.
"""
