"""Data: passages, pictures, questions and benchmarks, read from the files that people have.

Imports no torch and no network. Begin with `types.py`. passages -> formats -> files; benchmarks and
demo use all of them.
"""
