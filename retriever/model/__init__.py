"""The network: text and vision towers and the mapping between them.

It knows no tokenizer and no file but config.json. Imports torch and the errors of the retriever.
Begin with `flmr.py`, whose `forward` is the equation.
"""
