"""Training of retrievers on one's own questions; kbvqa-mini was made with it.

Begin with `train.py` and `recipes.py`; `loop/` takes the steps, `contrastive/` has what a step is,
`demo/` made kbvqa-mini. Imports `index` and below.
"""
