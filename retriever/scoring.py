"""Late interaction, as pure functions of embeddings.

    score(query, passage) = sum over query tokens of max over passage tokens of  q . p

Shapes: B queries · N passages · Q query tokens · P passage tokens · T passage tokens of all
passages end to end · D embedding dim
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

# The similarity given to a masked passage token, as in the reference. Rows are unit norm, so no
# real token is ever below it. It is finite on purpose: a passage without any token left scores
# -9999 a query token, which a softmax can still take a gradient through; -inf could turn to NaN.
MASKED = -9999.0

# Similarities held at once: 64 MiB of float32. Scores do not depend on it.
_TILE = 2**24


def maxsim(
    queries: Tensor | Sequence[ArrayLike],
    passages: Tensor | Sequence[ArrayLike],
    mask_NP: Tensor | None = None,
) -> Tensor:
    """Return late-interaction scores [B, N]: the sum over Q of the max over P.

    An all-zero query row adds 0 to every score (except that of a passage with no token left).
    The sum over Q is taken in float32 or better, whatever the dtype of the embeddings.

    >>> query = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> passages = torch.tensor([[[0.6, 0.8], [1.0, 0.0]], [[-1.0, 0.0], [0.0, 1.0]]])
    >>> maxsim(query, passages, torch.tensor([[True, True], [True, False]]))
    tensor([[ 1.8000, -1.0000]])

    The first passage gives 1.0 + 0.8. Of the second only [-1, 0] counts, which gives -1.0 + 0.0:
    the mask is applied before the max, so that a masked token cannot beat a negative real one.

    Args:
        queries: what an encoder returned, or any matrices [Q, D]; with a mask one tensor [B, Q, D].
        passages: matrices [P, D] of any numbers of rows; with a mask one tensor [N, P, D].
        mask_NP: True where a passage token is real; None where all are.

    Raises:
        ValueError: if the shapes do not agree.
    """
    if mask_NP is not None:
        return _maxsim_padded(torch.as_tensor(queries), torch.as_tensor(passages), mask_NP)
    if not len(passages) or not len(queries):
        return torch.zeros(len(queries), len(passages))
    rows = [_matrix(passage) for passage in passages]
    lengths_N = torch.tensor([len(row) for row in rows])
    rows_TD = torch.cat(rows)
    return torch.cat([maxsim_ragged(_matrix(q)[None], rows_TD, lengths_N) for q in queries])


def _matrix(rows: ArrayLike | Tensor) -> Tensor:
    return rows if isinstance(rows, Tensor) else torch.from_numpy(np.asarray(rows))


def _maxsim_padded(q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
    """Return `maxsim` of embeddings that are padded to the same length."""
    Q, D = q_BQD.shape[1:]
    N, P = p_NPD.shape[:2]
    if p_NPD.shape[2] != D or mask_NP.shape != (N, P):
        raise ValueError(
            f"queries {tuple(q_BQD.shape)}, passages {tuple(p_NPD.shape)} and "
            f"mask {tuple(mask_NP.shape)} do not agree"
        )
    n = max(1, _TILE // max(1, Q * P))
    b = max(1, _TILE // max(1, Q * P * min(n, N)))
    passages = list(zip(torch.split(p_NPD, n), torch.split(mask_NP.bool(), n), strict=True))
    return torch.cat(
        [
            torch.cat([_score_tile(q_bQD, p_nPD, mask_nP) for p_nPD, mask_nP in passages], dim=1)
            for q_bQD in torch.split(q_BQD, b)
        ]
    )


def maxsim_ragged(q_BQD: Tensor, rows_TD: Tensor, lengths_N: Tensor) -> Tensor:
    """Return `maxsim` scores [B, N] of passages stored end to end, without padding.

    `rows_TD` may be float16, to save memory: it is scored in the dtype of the queries, tile by
    tile. This is the exact scan that evaluation ranks a whole corpus with.

    >>> query = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> rows = torch.tensor([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]])
    >>> maxsim_ragged(query, rows, torch.tensor([2, 1]))
    tensor([[ 1.8000, -1.0000]])

    Args:
        q_BQD: query embeddings.
        rows_TD: the rows of the first passage, then those of the second, and so on.
        lengths_N: the number of rows of each passage, at least 1.

    Raises:
        ValueError: if a passage has no row, or the lengths do not add up to T.
    """
    B, Q, D = q_BQD.shape
    if (lengths_N < 1).any() or int(lengths_N.sum()) != len(rows_TD):
        raise ValueError(f"lengths must be >= 1 and add up to the {len(rows_TD)} rows")
    scores, start = [], 0
    for lengths_n in _runs(lengths_N.tolist(), limit=_TILE // max(1, B * Q)):
        stop = start + sum(lengths_n)
        similarity_tq = rows_TD[start:stop].to(q_BQD.dtype) @ q_BQD.reshape(B * Q, D).T
        best_nq = torch.segment_reduce(
            similarity_tq, "max", lengths=torch.tensor(lengths_n, device=rows_TD.device), axis=0
        )
        scores.append(_sum_tokens(best_nq.view(-1, B, Q)).T)
        start = stop
    return torch.cat(scores, dim=1)


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
    own = (maxsim(q_BQD[i : i + 1], *_part(p_NPD, mask_NP, i * n, n)) for i in range(B))
    return torch.cat(list(own))


def contrastive_loss(
    q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor, *, in_batch: bool = True
) -> Tensor:
    """Return the loss that FLMR trains with, a scalar: cross entropy of MaxSim scores.

    No temperature. In the batch, the passages of all queries compete, other queries' gold
    passages and negatives alike (a passage that stands twice is not masked, as in the
    reference); otherwise only a query's own.

    Args:
        q_BQD: query embeddings.
        p_NPD: for the first query its gold passage and then its negatives, for the second ...
        mask_NP: True where a passage token is real.
        in_batch: whether passages of other queries are negatives too.

    Raises:
        ValueError: if N is not a multiple of B.
    """
    B, N = len(q_BQD), len(p_NPD)
    if not in_batch:
        scores_Bn = aligned_scores(q_BQD, p_NPD, mask_NP)
        return F.cross_entropy(scores_Bn, scores_Bn.new_zeros(B, dtype=torch.long))
    if N == 0 or N % B:
        raise ValueError(f"{N} passages for {B} queries: give each query as many")
    gold_B = torch.arange(0, N, N // B, device=q_BQD.device)
    return F.cross_entropy(maxsim(q_BQD, p_NPD, mask_NP), gold_B)


def _part(p_NPD: Tensor, mask_NP: Tensor, start: int, n: int) -> tuple[Tensor, Tensor]:
    return p_NPD[start : start + n], mask_NP[start : start + n]


def _score_tile(q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
    """Return the scores [B, N] of one tile."""
    similarity_BQNP = torch.einsum("bqd,npd->bqnp", q_BQD, p_NPD)
    best_BQN = similarity_BQNP.masked_fill(~mask_NP, MASKED).max(dim=-1).values
    return _sum_tokens(best_BQN.transpose(1, 2))


def _sum_tokens(best_xxQ: Tensor) -> Tensor:
    """Return the sum over the last dim, in float32 or better: 320 half terms lose two digits."""
    return best_xxQ.sum(dim=-1, dtype=torch.promote_types(best_xxQ.dtype, torch.float32))


def _runs(lengths: list[int], limit: int) -> Iterator[list[int]]:
    """Yield consecutive runs of lengths, each adding up to at most `limit` or of one length."""
    run: list[int] = []
    total = 0
    for length in lengths:
        if run and total + length > limit:
            yield run
            run, total = [], 0
        run.append(length)
        total += length
    if run:
        yield run
