"""The loss that PreFLMR trains with, on this code's MaxSim.

Shapes: B queries · N passages · Q query tokens · P passage tokens · D embedding dim
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from retriever.scoring import maxsim


def contrastive_loss(
    q_BQD: Tensor,
    p_NPD: Tensor,
    mask_NP: Tensor,
    gold_B: Tensor,
    competes_BN: Tensor | None = None,
) -> Tensor:
    """Return the mean over B of -log softmax over N of MaxSim(b, n), at b's gold passage.

    No temperature, as in the reference. There the passages of all queries of a batch compete,
    also one that is another query's gold passage and this one's too; `competes_BN` leaves it out.

    Args:
        q_BQD: query embeddings.
        p_NPD: passage embeddings of all queries.
        mask_NP: True where a passage token is real.
        gold_B: which of the N is each query's gold passage.
        competes_BN: True where a passage is the gold one or a wrong one; None where all are.
    """
    scores_BN = maxsim(q_BQD, p_NPD, mask_NP)
    if competes_BN is not None:
        scores_BN = scores_BN.masked_fill(~competes_BN, -torch.inf)
    return F.cross_entropy(scores_BN, gold_B)
