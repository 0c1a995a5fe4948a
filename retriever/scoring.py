"""Late interaction, as pure functions of embeddings: every MaxSim of this code is here.

    score(query, passage) = sum over query tokens of max over passage tokens of  q . p

    maxsim          what an encoder returned, or padded tensors; has gradients
    token_maxima    the maxima before their sum: scores by part of the query; has cheap gradients
    alignment       which passage token each query row found: why a score is what it is
    maxsim_ragged   passages of any lengths end to end
    maxsim_equal    passages of one length, as an exact search keeps a corpus: the others took 1.4
                    times as long, and this one torch can compile

(2,000 passages of 120 rows, 4 queries of 56; medians of 7 on a busy machine; one thread of an AMD
EPYC.)

Shapes: B queries · N passages · Q query tokens · P passage tokens · T passage tokens of all
passages end to end · D embedding dim
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import embedding_bag

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
        TypeError: if the numbers are integers, or something is no list of matrices.
    """
    for name, given in (("queries", queries), ("passages", passages)):
        if not hasattr(given, "__len__"):
            raise TypeError(
                f"{name}: a list of matrices is expected, such as encoder.encode_{name}([...]) "
                f"returns, not one {type(given).__name__}: put it in a list"
            )
    if mask_NP is not None:
        return _maxsim_padded(torch.as_tensor(queries), torch.as_tensor(passages), mask_NP)
    if not len(passages) or not len(queries):
        return torch.zeros(len(queries), len(passages))
    asked, rows = [_matrix(query) for query in queries], [_matrix(passage) for passage in passages]
    for matrix in (*asked, *rows):
        if matrix.ndim != 2 or matrix.shape[1] != rows[0].shape[-1]:
            shapes = " and ".join(str(tuple(m.shape)) for m in (rows[0], matrix))
            raise ValueError(f"matrices of rows of one width are expected, got shapes {shapes}")
        if not matrix.is_floating_point():
            raise TypeError(f"rows of floating-point numbers are expected, got {matrix.dtype}")
    lengths_N = torch.tensor([len(row) for row in rows])
    rows_TD = torch.cat(rows)
    return torch.cat([maxsim_ragged(query[None], rows_TD, lengths_N) for query in asked])


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
    b = max(1, _TILE // max(1, Q * N))
    tiles = (token_maxima(q_bQD, p_NPD, mask_NP) for q_bQD in torch.split(q_BQD, b))
    return torch.cat([_sum_tokens(best_bQN.transpose(1, 2)) for best_bQN in tiles])


def alignment(
    query_QD: ArrayLike | Tensor, passage_PD: ArrayLike | Tensor
) -> tuple[Tensor, Tensor]:
    """Return how the rows of a query matched those of one passage.

    That is the similarities [Q, P], and for each query row the passage row [Q] that is nearest to
    it, the first of equals. The similarities there are what `maxsim` adds up.

    >>> similarity_QP, nearest_Q = alignment([[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [1.0, 0.0]])
    >>> similarity_QP
    tensor([[0.6000, 1.0000],
            [0.8000, 0.0000]])
    >>> nearest_Q
    tensor([1, 0])

    Raises:
        ValueError: the passage has no row.
    """
    q_QD, p_PD = _matrix(query_QD).float(), _matrix(passage_PD).float()
    if not len(p_PD):
        raise ValueError("a passage without rows matches nothing")
    similarity_QP = q_QD @ p_PD.T
    return similarity_QP, similarity_QP.argmax(dim=1)


def token_maxima(q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
    """Return the best similarity of each query row in each passage, [B, Q, N].

    Its sum over Q is `maxsim`; a sum over a part of Q scores that part. For the gradients no
    similarity is kept, only which row won: a P-th of the memory, and half the time, of what
    autograd makes of the dense product.

    Args:
        q_BQD: query embeddings.
        p_NPD: passage embeddings.
        mask_NP: True where a passage token is real. Where none is, the best is -9999.
    """
    maxima = _TokenMaxima.apply(q_BQD, p_NPD, mask_NP.bool())  # type: ignore[no-untyped-call]
    return cast(Tensor, maxima)


class _TokenMaxima(torch.autograd.Function):
    """`token_maxima`, which remembers where each maximum was found.

    With C = B Q query rows and S(c, n) = max over t of q_c . p_nt, reached at the row w(c, n) of
    all passages end to end, and G = dL/dS:

        dL/dq_c = sum over n of G(c, n) p_w(c, n)               a weighted sum of the rows found
        dL/dp_r = sum over the (c, n) with w(c, n) = r of G(c, n) q_c

    A row that won nowhere gets none. The second sum is a matrix product: G scattered to the rows
    that won, [C, rows], transposed, times the query rows; tile by tile, as it is as large as the
    similarities.
    """

    @staticmethod
    def forward(ctx: Any, q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
        B, Q, _ = q_BQD.shape
        N, P = mask_NP.shape
        q_CD = q_BQD.flatten(0, 1)
        tile = _passages_a_tile(B * Q, P)
        maxima, winners = [], []
        for n in range(0, max(N, 1), tile):
            p_nPD, mask_nP = p_NPD[n : n + tile], mask_NP[n : n + tile]
            similarity_CnP = (q_CD @ p_nPD.flatten(0, 1).T).view(B * Q, len(p_nPD), P)
            best = similarity_CnP.masked_fill_(~mask_nP, MASKED).max(-1)
            maxima.append(best.values)
            first_row_n = torch.arange(n, n + len(p_nPD), device=q_CD.device) * P
            winners.append(best.indices + first_row_n)
        ctx.save_for_backward(q_BQD, p_NPD, mask_NP, torch.cat(winners, 1))
        return torch.cat(maxima, 1).view(B, Q, N)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        q_BQD, p_NPD, mask_NP, winners_CN = ctx.saved_tensors
        q_CD, p_RD = q_BQD.flatten(0, 1), p_NPD.flatten(0, 1)  # R: rows of all passages, N P
        # Where every row is masked the maximum is a constant.
        gradient_CN = gradients[0].reshape(winners_CN.shape) * mask_NP.any(1)
        q_gradient_CD = embedding_bag(
            winners_CN, p_RD, per_sample_weights=gradient_CN.to(p_RD.dtype), mode="sum"
        )
        p_gradient_RD = torch.empty_like(p_RD)
        P = p_NPD.shape[1]
        tile = _passages_a_tile(len(q_CD), P)
        for n in range(0, len(p_NPD), tile):
            rows = slice(n * P, (n + tile) * P)
            won_Cn = winners_CN[:, n : n + tile] - n * P  # rows of the tile
            weights_Cr = q_CD.new_zeros(len(q_CD), len(p_RD[rows]))
            weights_Cr.scatter_(1, won_Cn, gradient_CN[:, n : n + tile].to(q_CD.dtype))
            p_gradient_RD[rows] = weights_Cr.T @ q_CD
        return q_gradient_CD.view_as(q_BQD), p_gradient_RD.view_as(p_NPD), None


def _passages_a_tile(query_rows: int, passage_rows: int) -> int:
    return max(1, _TILE // max(1, query_rows * passage_rows))


def maxsim_ragged(q_BQD: Tensor, rows_TD: Tensor, lengths_N: Tensor) -> Tensor:
    """Return `maxsim` scores [B, N] of passages stored end to end, without padding.

    `rows_TD` may be float16, to save memory: it is scored in the dtype of the queries, tile by
    tile.

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


def maxsim_equal(p_NPD: Tensor, q_CD: Tensor, Q: int) -> Tensor:
    """Return `maxsim` scores, transposed to [N, B], of passages of one length.

    >>> query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> passages = torch.tensor([[[0.6, 0.8], [1.0, 0.0]], [[-1.0, 0.0], [0.0, 1.0]]])
    >>> maxsim_equal(passages, query, 2)
    tensor([[1.8000],
            [1.0000]])

    All similarities are held at once: give it a tile of passages at a time.

    Args:
        p_NPD: passages, without padding.
        q_CD: the rows of all queries end to end, Q of each, in the dtype of the passages.
        Q: rows of a query.
    """
    best_NC = (p_NPD @ q_CD.T).amax(dim=1)
    return _sum_tokens(best_NC.view(len(p_NPD), -1, Q))


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
