"""What is asked, and what counts as right: each benchmark with its official scores.

Imports corpus and the generator's way of comparing answers. Begin with `benchmark`; `catalog`
knows them by name.
"""
