"""How much more one of two models knows of the right passage, as V-information.

Xu et al. 2020 (arXiv 2002.10689) define, for a family V of predictors f,

    H_V(Y | X) = inf over f in V of  E[ -log f[x](y) ]          conditional V-entropy
    I_V(X -> Y) = H_V(Y | no X) - H_V(Y | X)                    V-information

Here x is a query and y its gold passage among those that compete in a batch: -log f[x](y) is the
contrastive loss that is trained. The gain by an intermediate stage is measured as

    gain = H(Y | X; f without the stage) - H(Y | X; f with it)

with H the mean loss over validation questions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from retriever.metrics import mean_and_stderr


class Gain(NamedTuple):
    """How many nats of the right passage a model tells more than another.

    Attributes:
        nats: the mean over questions; less than 0 where it tells less.
        stderr: of it, over the questions' differences.
        n: questions.
    """

    nats: float
    stderr: float
    n: int

    @property
    def bits(self) -> float:
        """Return the mean in bits."""
        return self.nats / math.log(2)


def intermediate_gain(without: Sequence[float], with_stage: Sequence[float]) -> Gain:
    """Return an approximation to the conditional V-information gained by an intermediate stage.

    The mean over questions of (loss without the stage - loss with it), in nats. After what is known
    of PreFLMR's evaluation, the mean in-batch contrastive loss on validation questions taken as a
    conditional V-entropy; the paper's own figures and notation were not at hand. It approximates,
    in three ways: a trained model stands for the best of its family, so that a stage also "gains"
    where it merely helps the optimizer; the expectation is over the validation questions; and y is
    one of a batch's passages, not one of the corpus. The best of a family would lose at most the
    log of how many compete; a model that is sure of wrong passages loses more, and then most of a
    gain may be that it is less sure.

    Args:
        without: -log softmax at the gold passage, in nats, by question.
        with_stage: the same of the same questions in the same batches, by a model with the stage.

    Raises:
        ValueError: there are none, or not the same number of both.

    >>> gain = intermediate_gain([2.0, 1.0, 3.0], [1.0, 1.0, 1.0])
    >>> gain.nats, gain.n
    (1.0, 3)
    """
    if len(without) != len(with_stage):
        raise ValueError(f"{len(without)} losses without the stage, and {len(with_stage)} with it")
    differences = [a - b for a, b in zip(without, with_stage, strict=True)]
    return Gain(*mean_and_stderr(differences), len(differences))
