"""Errors of the application's edges: settings, questions, the web server."""

from corpus.errors import KbvqaError


class InvalidSettings(KbvqaError):
    """An environment variable is unknown or has an unusable value."""


class InvalidQuestion(KbvqaError):
    """The question is empty or too long."""


class PortInUse(KbvqaError):
    """Another program listens where the page should be served."""
