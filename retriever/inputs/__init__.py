"""What goes into the network: token ids, pixels, and names of things as text.

Imports nothing of the retriever but its errors. Begin with `tokenization.py`.
"""
