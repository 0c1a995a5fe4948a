"""Errors of the application's edges: settings, questions, the web server."""

from corpus.errors import KbvqaError


class InvalidSettings(KbvqaError):
    """An environment variable is unknown or has an unusable value."""


class CannotStart(KbvqaError):
    """The page cannot be served until somebody changes something: starting it again is in vain.

    Attributes:
        code: with which the command exits.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class InvalidQuestion(KbvqaError):
    """What a user asked cannot be used: no question, too long a one, no picture."""


class Stopping(KbvqaError):
    """The server was told to stop, and takes no more questions."""


class OutOfTime(KbvqaError):
    """A question was not answered in the time that it had."""


class CalledOff(KbvqaError):
    """Nobody waits for the answer any more."""


class InvalidFeedback(KbvqaError):
    """What a user says of an answer cannot be kept as it is."""


class FeedbackUnusable(KbvqaError):
    """The file in which it is kept is damaged, full, in use or of another version."""


class PortInUse(KbvqaError):
    """Another program listens where the page should be served."""


class ServerUnavailable(KbvqaError):
    """The `kbvqa web` that should be asked is not reached, or is something else."""


class ServerRefused(KbvqaError):
    """The `kbvqa web` that was asked did not take the question; the message has its words."""


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


class MissingExtra(KbvqaError):
    """A command needs packages that are installed on demand only: an extra of pyproject.toml."""


class BemUnavailable(KbvqaError):
    """The optional answer-equivalence model cannot be loaded."""
