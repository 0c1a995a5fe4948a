"""Where vectors lie and are searched: a directory of this machine, or a Qdrant server.

Imports nothing of the retriever but its errors. Begin with `interface.py`; each engine is one
implementation of it. `record.py` is what an index says of itself.
"""
