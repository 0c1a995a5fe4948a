"""Errors of the generator: a server that cannot be used, or text that is no answer.

KbvqaError
  GeneratorError
    GeneratorUnavailable   not reachable, refused the key or the model, or broken
    GeneratorTimeout       not reached or not finished in the time it is given
    InvalidCalibration     the file that says how far to trust it cannot be read
    TrainingMismatch       a directory holds another training than the one to go on with
    TrainingStopped        it cannot go on: a loss that is no number, a damaged file
    BadCompletion          it replied, but not with a completion that can be used
      EmptyCompletion      it replied, and wrote no answer
"""

from corpus.errors import KbvqaError


class GeneratorError(KbvqaError):
    """The generator gave no answer."""


class GeneratorUnavailable(GeneratorError):
    """The generator cannot be used as it is configured or in its present state."""


class GeneratorTimeout(GeneratorError):
    """The generator did not finish in the time it is given."""


class StrategyUnavailable(GeneratorError):
    """What answers does not have the strategy that is asked for."""


class BadCompletion(GeneratorError):
    """The generator replied, but with nothing that can be read as an answer."""


class EmptyCompletion(BadCompletion):
    """The generator was asked and wrote nothing: an answer that official scores count as wrong."""


class InvalidCalibration(GeneratorError):
    """The file of fitted confidences is missing or not one."""


class TrainingMismatch(GeneratorError):
    """The directory holds a training with other settings, another model or other questions."""


class TrainingStopped(GeneratorError):
    """A training cannot go on. What it had done up to here is kept."""
