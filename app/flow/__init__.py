"""The steps that `app.pipeline.Pipeline` joins, and the events that tell of them.

Imports the retriever and the generator, nothing of app but its errors. Begin in events.py.
"""
