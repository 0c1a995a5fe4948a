"""The stages of a run: retrieve, answer, score, each from the rows of the one before.

Imports `record`, `resumable`, `provenance` and `benchmarks` beside it. Begin with `retrieve`.
"""
