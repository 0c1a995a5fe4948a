"""How kbvqa-mini is made of the demo's pictures and passages. Begin with `mini.py`.

Imports `training.loop`, and `encoding` and below.
"""
