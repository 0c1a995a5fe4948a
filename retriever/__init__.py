"""The PreFLMR late-interaction retriever: embeddings of queries and passages, and their index.

Imports corpus alone. Begin with `encoding/encoder.py` and `index/passage_index.py`; `scoring.py` is
the score itself. model <- inputs, checkpoint <- encoding; engines <- index <- building, training.
"""
