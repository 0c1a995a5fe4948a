"""Reading bytes: packed files, folders, lines, tables, passages; where a broken one is broken.

Imports the errors and types of corpus alone. Begin with `sources.py`.
"""
