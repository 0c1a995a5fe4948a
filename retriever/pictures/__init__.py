"""Pictures of entities beside the passages: a second way to find what a picture shows.

Imports `encoding` and below. Begin with `collection.py`; `parts.py` encodes what it holds, and
`fusing.py` joins what it finds with the passages that were found.
"""
