"""MaxSim of a whole corpus on a GPU in one kernel: similarities never leave the chip.

    for each passage n and query b, side by side
        score = 0
        for a block of query rows            kept in registers
            best = -inf
            for a block of passage rows      read once from memory, then from cache
                best = max(best, rows of the query . rows of the passage)
            score += sum of best

What torch compiles of `maxsim_equal` writes all similarities and reads them again: that moves
Q / D times as much as the corpus itself. Here products are taken in float16, in which int8 rows
are exact, and added up in float32, as tensor cores do.

Triton comes with torch's builds for CUDA. Passages may have any lengths.

Shapes: B queries · Q query rows · N passages · T rows of all passages · D embedding dim
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# The fastest of eight on an H100: docs/measured/gpu.md.
BLOCK_P = 64
MOST_QUERY_ROWS = 64
WARPS, STAGES = 4, 2


@triton.jit
def _maxsim_kernel(
    q_ptr,
    rows_ptr,
    scales_ptr,
    starts_ptr,
    lengths_ptr,
    scores_ptr,
    B,
    Q,
    D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SCALED: tl.constexpr,
):
    # Neighbouring programs read the same passage, which is in the cache then.
    n = tl.program_id(0) // B
    b = tl.program_id(0) % B
    start = tl.load(starts_ptr + n)
    length = tl.load(lengths_ptr + n)
    d = tl.arange(0, BLOCK_D)
    score = 0.0
    for q0 in range(0, Q, BLOCK_Q):
        i = q0 + tl.arange(0, BLOCK_Q)
        real_q = i < Q
        q = tl.load(
            q_ptr + (b * Q + i)[:, None] * D + d[None, :],
            mask=real_q[:, None] & (d < D)[None, :],
            other=0.0,
        )
        best = tl.full([BLOCK_Q], float("-inf"), tl.float32)
        for p0 in range(0, length, BLOCK_P):
            j = p0 + tl.arange(0, BLOCK_P)
            real_p = j < length
            p = tl.load(
                rows_ptr + (start + j)[None, :] * D + d[:, None],
                mask=real_p[None, :] & (d < D)[:, None],
                other=0.0,
            )
            similarity = tl.dot(q, p.to(q.dtype))
            if SCALED:
                scale = tl.load(scales_ptr + start + j, mask=real_p, other=0.0)
                similarity = similarity * scale[None, :]
            similarity = tl.where(real_p[None, :], similarity, float("-inf"))
            best = tl.maximum(best, tl.max(similarity, 1))
        score += tl.sum(tl.where(real_q, best, 0.0))
    tl.store(scores_ptr + tl.program_id(0), score)


def maxsim_fused(
    q_BQD: Tensor,
    rows_TD: Tensor,
    starts_N: Tensor,
    lengths_N: Tensor,
    scales_T: Tensor | None = None,
) -> Tensor:
    """Return `maxsim` scores [N, B], in float32.

    Args:
        q_BQD: queries, contiguous, in float16.
        rows_TD: the rows of all passages, contiguous, in float16 or int8.
        starts_N: the first row of each passage, int64.
        lengths_N: how many rows it has, at least 1, int32.
        scales_T: what each int8 row is multiplied by.

    Raises:
        RuntimeError: it cannot be compiled here.
    """
    B, Q, D = q_BQD.shape
    N = len(starts_N)
    scores_NB = torch.empty(N, B, device=rows_TD.device)
    block_q = min(MOST_QUERY_ROWS, max(16, triton.next_power_of_2(Q)))
    if not N:
        return scores_NB
    try:
        with torch.cuda.device_of(rows_TD):  # type: ignore[no-untyped-call]
            _maxsim_kernel[(N * B,)](
                q_BQD,
                rows_TD,
                scales_T if scales_T is not None else rows_TD,
                starts_N,
                lengths_N,
                scores_NB,
                B,
                Q,
                D=D,
                BLOCK_Q=block_q,
                BLOCK_P=BLOCK_P,
                BLOCK_D=max(16, triton.next_power_of_2(D)),
                SCALED=scales_T is not None,
                num_warps=WARPS,
                num_stages=STAGES,
            )
    except triton.TritonError as exc:  # too little memory on the chip, or another release
        raise RuntimeError(f"Triton: {exc}") from exc
    return scores_NB
