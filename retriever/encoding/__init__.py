"""From queries and passages to embeddings, in batches, as fast as this processor can.

Imports `checkpoint` and below. Begin with `encoder.py`.
"""
