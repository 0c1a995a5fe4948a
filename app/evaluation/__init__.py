"""Measuring retrieval and answers on benchmarks: what was found, said and scored, and how.

Imports the pipeline. Begin with `record`, which says what a run leaves behind, then `run`.
"""
