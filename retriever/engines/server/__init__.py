"""A Qdrant server or cluster: its client, its faults and limits, and who may write.

Imports the rest of `engines`. Begin with `engine.py`; `faults.py` says which of a server's faults
pass.
"""
