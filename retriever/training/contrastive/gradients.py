"""The gradients of one batch, whatever of it fits into memory at once and on one device.

MaxSim's loss needs all embeddings of a batch together; what made them does not. So (GradCache, Gao
et al. 2021):

    embeddings            chunk by chunk, without a graph
    loss, d loss / d rows over all embeddings, of all processes
    d rows / d weights    chunk by chunk again, with a graph

A process goes through its own queries and passages alone. The weights' gradients of all processes
add up to those of one process that has the whole batch.

Shapes: B queries · N passages · Q query tokens · P passage tokens · D embedding dim; c of a chunk,
b of this process.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retriever.training.contrastive.draw import Drawn, competition
from retriever.training.contrastive.losses import contrastive_loss

if TYPE_CHECKING:
    from accelerate import Accelerator


class Embedded(NamedTuple):
    """Queries [c, Q, D] with their passages [n, P, D] and which rows of those count [n, P].

    A query's rows that do not count are all zero.
    """

    q_cQD: Tensor
    p_nPD: Tensor
    mask_nP: Tensor


Encode = Callable[[Sequence[Drawn]], Embedded]


def backward(
    batch: Sequence[Drawn],
    encode: Encode,
    shared: "Accelerator",
    *,
    chunk: int = 0,
    weight: float = 1.0,
    seed: str = "",
) -> Tensor:
    """Return the loss of a batch, and add this process's part of its gradients to the weights'.

    Args:
        batch: all of it, the same in every process; their number divides its size.
        encode: embeds some of it, with gradients where they are asked for.
        shared: the processes.
        chunk: queries encoded at once; 0 for all that are this process's.
        weight: a factor on the gradients, and on the loss that is returned.
        seed: of dropout, with the place of a chunk in the batch.
    """
    own = len(batch) // shared.num_processes
    first = own * shared.process_index
    starts = range(first, first + own, chunk or own)
    parts = [batch[start : min(start + (chunk or own), first + own)] for start in starts]
    seeds = [random.Random(f"{seed}/{start}").getrandbits(63) for start in starts]
    with torch.set_grad_enabled(len(parts) == 1):
        chunks = [_seeded(encode, *pair) for pair in zip(parts, seeds, strict=True)]
    leaf = _joined(chunks)
    loss = weight * _loss(leaf, batch, shared)
    if loss.isfinite():
        loss.backward()  # type: ignore[no-untyped-call]
        rows = 0
        for i, (part, dropout) in enumerate(zip(parts, seeds, strict=True)):
            made = chunks[i] if len(parts) == 1 else _seeded(encode, part, dropout)
            _push(made, leaf, i * (chunk or own), rows)
            rows += len(made.p_nPD)
    return loss.detach()


def add_up(parameters: Iterable[nn.Parameter], shared: "Accelerator") -> None:
    """Leave in every process the sum of all processes' gradients."""
    if shared.num_processes == 1:
        return
    for parameter in parameters:
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = shared.reduce(gradient, "sum")


def _seeded(encode: Encode, part: Sequence[Drawn], seed: int) -> Embedded:
    torch.manual_seed(seed)
    return encode(part)


def _joined(chunks: Sequence[Embedded]) -> Embedded:
    """Return all chunks as one, cut from the graph, with gradients of its own."""
    longest = max(chunk.mask_nP.shape[1] for chunk in chunks)
    most = max(chunk.q_cQD.shape[1] for chunk in chunks)  # without any picture they have fewer
    queries = torch.cat([_widened(chunk.q_cQD, most) for chunk in chunks])
    passages = torch.cat([_widened(chunk.p_nPD, longest) for chunk in chunks])
    masks = torch.cat([_widened(chunk.mask_nP[..., None], longest)[..., 0] for chunk in chunks])
    return Embedded(queries.detach().requires_grad_(), passages.detach().requires_grad_(), masks)


def _widened(rows_nPx: Tensor, width: int) -> Tensor:
    return F.pad(rows_nPx, (0, 0, 0, width - rows_nPx.shape[1]))


def _loss(own: Embedded, batch: Sequence[Drawn], shared: "Accelerator") -> Tensor:
    """Return the loss of the whole batch, in which this process's own rows have gradients."""
    if shared.num_processes > 1:
        widths = torch.tensor([[own.q_cQD.shape[1], own.mask_nP.shape[1]]], device=shared.device)
        most, longest = shared.gather(widths).amax(0).tolist()
        own = Embedded(
            _everyones(_widened(own.q_cQD, most), shared),
            _everyones(_widened(own.p_nPD, longest), shared),
            _everyones(_widened(own.mask_nP[..., None], longest)[..., 0], shared),
        )
    gold_B, competes_BN = (t.to(own.q_cQD.device) for t in competition(batch))
    return contrastive_loss(own.q_cQD.float(), own.p_nPD.float(), own.mask_nP, gold_B, competes_BN)


def _everyones(own: Tensor, shared: "Accelerator") -> Tensor:
    """Return the rows of all processes in their order; the own ones keep their gradients."""
    parts = list(shared.gather(own.detach()).chunk(shared.num_processes))
    parts[shared.process_index] = own
    return torch.cat(parts)


def _push(made: Embedded, leaf: Embedded, query: int, passage: int) -> None:
    """Send the gradients of a chunk's rows on to the weights that made them."""
    q_grad, p_grad = leaf.q_cQD.grad, leaf.p_nPD.grad
    assert q_grad is not None and p_grad is not None
    pairs = [
        (made.q_cQD, q_grad[query : query + len(made.q_cQD), : made.q_cQD.shape[1]]),
        (made.p_nPD, p_grad[passage : passage + len(made.p_nPD), : made.p_nPD.shape[1]]),
    ]
    trained = [(rows, gradient) for rows, gradient in pairs if rows.requires_grad]
    torch.autograd.backward([rows for rows, _ in trained], [grad for _, grad in trained])
