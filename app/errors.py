"""Errors of the application's edges: settings, questions, the web server."""

from corpus.errors import KbvqaError


class InvalidSettings(KbvqaError):
    """An environment variable is unknown or has an unusable value."""


class InvalidQuestion(KbvqaError):
    """What a user asked cannot be used: no question, too long a one, no picture."""


class PortInUse(KbvqaError):
    """Another program listens where the page should be served."""


class HubUnavailable(KbvqaError):
    """The Hugging Face hub cannot be reached, or does not have what is asked for."""


class NotEnoughSpace(KbvqaError):
    """A download does not fit on the disk."""


class DamagedDownload(KbvqaError):
    """A file's hash is not the one its source states."""


class InvalidTrainingData(KbvqaError):
    """What a model should be trained on holds nothing of use."""


class UnknownBenchmark(KbvqaError):
    """There is no benchmark of that name."""


class TooManyFailures(KbvqaError):
    """So many questions in a row failed that a run was ended."""


class BemUnavailable(KbvqaError):
    """The optional answer-equivalence model cannot be loaded."""
