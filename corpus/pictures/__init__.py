"""Pictures: opened safely, turned upright, found by name.

Imports `files`. Begin with `images.py`.
"""
