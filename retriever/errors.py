"""Errors of the retriever: checkpoints and the passage index.

RetrieverError
  InvalidCheckpoint    not a checkpoint, or not one of this architecture
  CheckpointMismatch   its weights have other names or shapes than the model
  InvalidQuery         a query that cannot be encoded: a box outside the picture, a long instruction
  IndexNotReady        there is no finished index for this checkpoint and corpus: build one
  IndexUnavailable     there is one, and it cannot be used now: locked, disk full, damaged
    ForeignPoint       it holds something that is no passage
  CorpusTooLarge       it does not fit into the memory of the device
  TrainingError
    InvalidTrainingData  examples or passages that cannot be trained on
    TrainingMismatch     a directory holds another training than the one to go on with
    TrainingStopped      it cannot go on: a loss that is no number, a full disk, a damaged file
"""

from collections.abc import Iterable

from corpus.errors import KbvqaError

MAX_LISTED = 10


class RetrieverError(KbvqaError):
    """Something the retriever needs is missing or not what it should be."""


class InvalidCheckpoint(RetrieverError):
    """The directory is not a checkpoint, is of another architecture, or holds unusable weights."""


class CheckpointMismatch(RetrieverError):
    """The weights do not fit the model that the checkpoint's config describes.

    Attributes:
        missing: names the model needs and the file does not have.
        unexpected: names the file has and the model does not.
    """

    def __init__(self, missing: Iterable[str], unexpected: Iterable[str]) -> None:
        self.missing, self.unexpected = tuple(missing), tuple(unexpected)
        super().__init__(
            "the weights do not fit the model: "
            f"{_listed('missing', self.missing)}; {_listed('unexpected', self.unexpected)}. "
            "Is config.json the one saved with these weights?"
        )


class InvalidQuery(RetrieverError, ValueError):
    """The checkpoint cannot encode this query. The message says what to change."""


class IndexNotReady(RetrieverError):
    """No finished index for this checkpoint and corpus. The message has the command to run."""


class IndexUnavailable(RetrieverError):
    """The index cannot be used now: in use by another process, disk full, or damaged."""


class ForeignPoint(IndexUnavailable):
    """A point of the index is no passage: something else wrote it."""


class CorpusTooLarge(RetrieverError):
    """The embeddings of the corpus do not fit into the memory of the device."""


class TrainingError(RetrieverError):
    """A retriever cannot be trained so."""


class InvalidTrainingData(TrainingError):
    """What a retriever should be trained on holds nothing of use. The message says what to do."""


class TrainingMismatch(TrainingError):
    """The directory holds a training with other settings, another checkpoint or other data."""


class TrainingStopped(TrainingError):
    """A training cannot go on. What it had done up to here is kept."""


def _listed(label: str, names: tuple[str, ...]) -> str:
    """Return "2 missing (a, b)", cut to the first ten names."""
    if not names:
        return f"0 {label}"
    more = f", and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{len(names)} {label} ({', '.join(names[:MAX_LISTED])}{more})"
