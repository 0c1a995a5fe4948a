"""Training of what answers: RA-VQA's losses with LoRA for models that write, spans for the reader.

Imports `extractive` and what all generators share. Begin with `recipe.py` or `spans.py`.
"""
