"""What stays of an answer: a file of it, what its user says of it, the questions of this tab.

Imports views of `web` and `app.feedback`. Begin with `area.py`; `saved.py` knows no Gradio.
"""
