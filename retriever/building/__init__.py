"""A corpus into an index: read, encoded, written; going on where it stopped; kept in order.

Imports `index` and below. Begin with `build.py`.
"""
