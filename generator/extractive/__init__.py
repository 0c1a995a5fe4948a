"""The extractive reader: it points at the words of a passage that answer a question.

`reader` is where to begin: question and passages in, readings out. `model` is the network and
its weights, `windows` what goes into it, `spans` what comes out, as pure functions.
Imports nothing of the prompts and servers beside it.
"""
