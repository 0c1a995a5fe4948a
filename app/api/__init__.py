"""The HTTP API that is served beside the page: /v1, the probes and the metrics.

Imports the pipeline, settings and report, and nothing of the page, which is mounted behind it by
app.web.serving.serve. FastAPI is used here, Prometheus's client in `metrics` alone. Begin with
`application.py`.
"""
