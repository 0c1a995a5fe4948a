"""Pictures of entities beside the passages: a second way to find what a picture shows.

Imports `encoding` and below. Begin with `collection.py`; `parts.py` encodes what it holds,
`metric.py` says how it is compared, `neighbours.py` finds what is near, and `fusing.py` joins what
is found with the passages that were found.
"""
