"""The page. Gradio is used in `page.py` and the rooms `keeping` and `serving` alone.

Imports the pipeline, settings and report, and in `serving` the API, which it is mounted behind.
Begin with `page.py`; `views.py` takes one question from the picture to what is shown.
"""
