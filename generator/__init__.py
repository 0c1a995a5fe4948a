"""From a question and its passages to an answer that cites them, and how far it can be trusted.

Imports corpus alone, never the retriever. Begin with `answers/strategies.py`; `interface.py` is
what a generator has to do. answers -> extractive | embedded | server -> prompts -> quoting.
"""
