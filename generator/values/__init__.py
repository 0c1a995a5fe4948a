"""The values of fields as text has them: quantities, lists, notes; and which part a question wants.

Pure functions on text; imports nothing of the generator. Begin with `shortening.py`.
"""
