"""MaxSim for training: a cheap backward pass, and scores by part of the query.

The dense similarities [B Q, N P] are never kept. Only the winning passage row of each
(query row, passage) pair gets a gradient, so the forward pass keeps its index alone and
the backward pass costs a P-th of the forward.

Shapes: B queries, Q query tokens, N passages, P passage tokens, D embedding dim.
"""

from typing import Any, cast

import torch
from torch import Tensor

TILE_ELEMENTS = 48_000_000  # similarities held at once: 192 MB in float32


class _TokenMaxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
        flat_q = q_BQD.flatten(0, 1)
        passages, tokens = mask_NP.shape
        tile = max(1, TILE_ELEMENTS // (len(flat_q) * tokens))
        maxima, winners = [], []
        for start in range(0, passages, tile):
            p_TPD, mask_TP = p_NPD[start : start + tile], mask_NP[start : start + tile]
            similarity = (flat_q @ p_TPD.flatten(0, 1).T).view(len(flat_q), *mask_TP.shape)
            similarity += torch.where(mask_TP, 0.0, -torch.inf)
            best, winner = similarity.max(-1)
            maxima.append(best)
            rows = torch.arange(start, start + len(p_TPD)) * tokens
            winners.append(winner + rows)
        ctx.save_for_backward(q_BQD, p_NPD, torch.cat(winners, 1))
        return torch.cat(maxima, 1).view(*q_BQD.shape[:2], passages)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        q_BQD, p_NPD, winners = ctx.saved_tensors
        flat_q, flat_p = q_BQD.flatten(0, 1), p_NPD.flatten(0, 1)
        gradient = gradients[0].reshape(len(flat_q), -1)
        grad_p = torch.empty_like(flat_p)
        grad_q = torch.nn.functional.embedding_bag(
            winners, flat_p, per_sample_weights=gradient.contiguous(), mode="sum"
        )
        tile = max(1, TILE_ELEMENTS // (len(flat_q) * p_NPD.shape[1]))
        for start in range(0, winners.shape[1], tile):
            chosen = winners[:, start : start + tile] - start * p_NPD.shape[1]
            rows = slice(start * p_NPD.shape[1], (start + tile) * p_NPD.shape[1])
            weights = torch.zeros(len(flat_q), len(flat_p[rows]))
            weights.scatter_(1, chosen, gradient[:, start : start + tile])
            grad_p[rows] = weights.T @ flat_q
        return grad_q.view_as(q_BQD), grad_p.view_as(p_NPD), None


def token_maxima(q_BQD: Tensor, p_NPD: Tensor, mask_NP: Tensor) -> Tensor:
    """Return the best similarity of each query row in each passage, [B, Q, N].

    Its sum over Q is `maxsim`; sums over a part of Q score that part. Every passage
    needs at least one row that counts.
    """
    maxima = _TokenMaxima.apply(q_BQD, p_NPD, mask_NP)  # type: ignore[no-untyped-call]
    return cast(Tensor, maxima)
