"""A question that somebody types, and the result as people and programs get it.

Imports the pipeline and what is below it; the command line, the page and the API import this.
Begin in ask.py.
"""
