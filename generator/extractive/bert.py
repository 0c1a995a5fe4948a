"""BERT as the reader has it: embeddings with segments, post-norm layers, no pooler.

The state-dict names are the published ones, as MiniLM's. Written out because importing a library's
costs every `kbvqa ask` a second and a half; the tests compare the two. The retriever, which knows
nothing of this package, has its own.

The layers compute no padding: between embeddings and result the tokens of all pairs stand behind
each other, and each pair attends to itself. A third of a batch of passages is padding; what is
computed of it rounds the tokens of all up to 32.

Shapes: B pairs, L tokens of the longest, T tokens of all, H hidden width, h heads, d width of a
head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1e-12
# Tokens of all pairs are made a multiple of this: oneDNN makes code for each number of rows that it
# meets, and keeps it (app/machine/memory.py).
_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class BertConfig:
    """What config.json says of the size; everything else is as in BERT-base, GELU included."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int = 30522
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    dropout: float = 0.1


class Embeddings(nn.Module):
    """Word, position and segment, summed and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BL: Tensor, segments_BL: Tensor) -> Tensor:
        """Return [B, L, H]."""
        x_BLH = self.word_embeddings(ids_BL) + self.token_type_embeddings(segments_BL)
        x_BLH = x_BLH + self.position_embeddings.weight[: ids_BL.shape[1]]
        return cast(Tensor, self.dropout(self.LayerNorm(x_BLH)))


class Attention(nn.Module):
    """BERT's attention with its output block."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.self = nn.ModuleDict({n: nn.Linear(width, width) for n in ("query", "key", "value")})
        self.output = Output(config, width)

    def forward(self, x_TH: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return [T, H].

        Args:
            x_TH: the tokens of all pairs.
            lengths: of the pairs, T together.
        """
        queries, keys, values = (
            self.self[name](x_TH).unflatten(-1, (self.heads, -1)).transpose(0, 1).split(lengths, 1)
            for name in ("query", "key", "value")
        )
        dropout = self.dropout if self.training else 0.0
        read = [
            F.scaled_dot_product_attention(q_hLd[None], k_hLd[None], v_hLd[None], None, dropout)[0]
            for q_hLd, k_hLd, v_hLd in zip(queries, keys, values, strict=True)
        ]
        read_hTd = torch.cat(read, dim=1)
        return cast(Tensor, self.output(read_hTd.transpose(0, 1).flatten(1), x_TH))


class Output(nn.Module):
    """BERT's `output` block: dense, dropout, add, post-layer-norm."""

    def __init__(self, config: BertConfig, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_TW: Tensor, residual_TH: Tensor) -> Tensor:
        """Return [T, H]."""
        return cast(Tensor, self.LayerNorm(self.dropout(self.dense(x_TW)) + residual_TH))


class Layer(nn.Module):
    """Attention, then the feed-forward net."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        wider = nn.Linear(config.hidden_size, config.intermediate_size)
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": wider})
        self.output = Output(config, config.intermediate_size)

    def forward(self, x_TH: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return [T, H]; arguments as for Attention."""
        x_TH = self.attention(x_TH, lengths)
        return cast(Tensor, self.output(F.gelu(self.intermediate["dense"](x_TH)), x_TH))


class Bert(nn.Module):
    """The encoder."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))}
        )

    def forward(self, ids_BL: Tensor, mask_BL: Tensor, segments_BL: Tensor) -> Tensor:
        """Return the last hidden states [B, L, H], 0 where nothing is read.

        Args:
            ids_BL: tokens.
            mask_BL: 0 for those that are not read.
            segments_BL: 0 for the question, 1 for the passage.
        """
        read_BL = mask_BL.bool()
        lengths = read_BL.sum(1).tolist()
        x_TH = self.embeddings(ids_BL, segments_BL)[read_BL]
        tokens = len(x_TH)
        if rest := -tokens % _TOGETHER:  # as a pair of its own, which no other reads
            x_TH, lengths = F.pad(x_TH, (0, 0, 0, rest)), [*lengths, rest]
        for layer in cast(nn.ModuleList, self.encoder["layer"]):
            x_TH = layer(x_TH, lengths)
        x_BLH = x_TH.new_zeros(*ids_BL.shape, x_TH.shape[-1])
        x_BLH[read_BL] = x_TH[:tokens]
        return cast(Tensor, x_BLH)
