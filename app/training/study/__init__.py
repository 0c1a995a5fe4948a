"""A study of training recipes: a grid of towers, mapping networks and stages; its tables and plot.

Imports `training` beside it and `evaluation` for tables. Begin with `grid.py` and `run.py`.
"""
