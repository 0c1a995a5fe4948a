"""The page on a port: behind the API, with our policy and previews, and with its uploads.

Imports `app.api`, and nothing of what the page shows. Begin with `serve.py`.
"""
