"""The demo's data: what is in data/demo, how it was made, and the questions asked about it.

Imports `files` and what is beside the rooms. Begin with `data.py`.
"""
