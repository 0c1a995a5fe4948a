"""FLMR's aligned scores, which its reference gives and nothing here needs but to be compared.

Shapes: B queries · N passages · Q query tokens · P passage tokens · D embedding dim
"""

import torch
from torch import Tensor

from retriever.scoring import maxsim


def aligned_scores(q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
    """Return the scores [B, n] of each query with its own n = N / B passages.

    Args:
        q_BQD: query embeddings.
        p_NPD: for the first query its gold passage and then its negatives, for the second ...
        mask_NP: True where a passage token is real.

    Raises:
        ValueError: if N is not a multiple of B.
    """
    B, N = len(q_BQD), len(p_NPD)
    if N == 0 or N % B:
        raise ValueError(f"{N} passages for {B} queries: give each query as many")
    n = N // B
    own = (
        maxsim(q_BQD[i : i + 1], p_NPD[i * n : (i + 1) * n], mask_NP[i * n : (i + 1) * n])
        for i in range(B)
    )
    return torch.cat(list(own))
