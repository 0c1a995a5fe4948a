"""A server that speaks the OpenAI protocol: vLLM and others, with their differences and faults.

Imports what all generators share. Begin with `client.py`; `endpoint.py` alone speaks HTTP.
"""
