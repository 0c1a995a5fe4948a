"""One step of contrastive training: what is drawn, what towers make of it, loss and gradients.

Begin with `gradients.py`. Imports `encoding` and below, `training.examples` and `training.recipes`.
"""
