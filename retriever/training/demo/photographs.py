"""What stands for photographs in training, which has drawings alone.

A photograph of what only its name tells has names of like classes beside the right one, and looks
like nothing that was learnt.

Shapes: B queries, G grid cells, W patch width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def alike_classes(classifier: nn.Linear, nearest: int = 6) -> list[list[int]]:
    """Return for each class of the classifier the nearest others, by the cosine of its weights."""
    weights = F.normalize(classifier.weight.detach(), dim=1)
    similarity = (weights @ weights.T).fill_diagonal_(-1)
    alike: list[list[int]] = similarity.topk(nearest).indices.tolist()
    return alike


def mix_named(grids_BGW: Tensor, named_B: Tensor) -> Tensor:
    """Return the grids, half of those that show another thing mixed cell by cell.

    A photograph of what only its name tells is no drawing that was learnt: a mixture is as busy,
    and shows nothing.
    """
    rows = named_B.nonzero().flatten()
    rows = rows[torch.rand(len(rows)) < 0.5]
    if len(rows) < 2:
        return grids_BGW
    cells = torch.arange(grids_BGW.shape[1])
    taken = rows[torch.randint(len(rows), (len(rows), len(cells)))]
    mixed = grids_BGW.clone()
    mixed[rows] = grids_BGW[taken, cells]
    return mixed
