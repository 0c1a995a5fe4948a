"""The one training loop of the retriever: steps, schedule, checkpoints, log, early stopping.

It knows no model and no data. Begin with `loop.py`. Imports `errors` alone.
"""
