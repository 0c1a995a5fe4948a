"""The formats of knowledge: Wikipedia dumps, Encyclopedic-VQA, Google search, tables, plain pages.

Imports `files`. Begin with `recognise.py`, which tells one from another; `lines.py` has the
smallest.
"""
