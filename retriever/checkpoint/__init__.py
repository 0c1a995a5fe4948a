"""Checkpoints: where their files are, loading, saving, and what one is known by.

Imports `model` and `inputs`. Begin with `loading.py`, and `pretrained.py` for the model in it;
`mini.py` is the demo's own checkpoint.
"""
