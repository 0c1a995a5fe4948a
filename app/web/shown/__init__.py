"""What the page shows, as HTML: answer, passages, scores, why. Pure functions, without Gradio.

Imports nothing of the page but its texts. Begin with `markup.py`, for the passages `cards.py`;
`marked.py` escapes what comes from outside.
"""
