"""Comparing the strategies on the demo's questions: answers, confidence, attacks.

Imports `benchmarks`, `resumable` and `tables` beside it. Begin with `comparison`.
"""
