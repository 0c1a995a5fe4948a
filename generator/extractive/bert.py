"""BERT as the reader has it: embeddings with segments, post-norm layers, no pooler.

The state-dict names are the published ones, as MiniLM's. Written out because importing a library's
costs every `kbvqa ask` a second and a half; the tests compare the two. The retriever, which knows
nothing of this package, has its own.

Shapes: B pairs, L tokens, H hidden width, h heads, d width of a head.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1e-12


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

    def forward(self, x_BLH: Tensor, mask_B11L: Tensor) -> Tensor:
        """Return [B, L, H]."""
        q_BhLd, k_BhLd, v_BhLd = (
            self.self[name](x_BLH).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        dropout = self.dropout if self.training else 0.0
        read_BhLd = F.scaled_dot_product_attention(q_BhLd, k_BhLd, v_BhLd, mask_B11L, dropout)
        return cast(Tensor, self.output(read_BhLd.transpose(1, 2).flatten(2), x_BLH))


class Output(nn.Module):
    """BERT's `output` block: dense, dropout, add, post-layer-norm."""

    def __init__(self, config: BertConfig, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BLW: Tensor, residual_BLH: Tensor) -> Tensor:
        """Return [B, L, H]."""
        return cast(Tensor, self.LayerNorm(self.dropout(self.dense(x_BLW)) + residual_BLH))


class Layer(nn.Module):
    """Attention, then the feed-forward net."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        wider = nn.Linear(config.hidden_size, config.intermediate_size)
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": wider})
        self.output = Output(config, config.intermediate_size)

    def forward(self, x_BLH: Tensor, mask_B11L: Tensor) -> Tensor:
        """Return [B, L, H]."""
        x_BLH = self.attention(x_BLH, mask_B11L)
        return cast(Tensor, self.output(F.gelu(self.intermediate["dense"](x_BLH)), x_BLH))


class Bert(nn.Module):
    """The encoder."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))}
        )

    def forward(self, ids_BL: Tensor, mask_BL: Tensor, segments_BL: Tensor) -> Tensor:
        """Return the last hidden states [B, L, H].

        Args:
            ids_BL: tokens.
            mask_BL: 0 for those that are not read.
            segments_BL: 0 for the question, 1 for the passage.
        """
        x_BLH = self.embeddings(ids_BL, segments_BL)
        mask_B11L = mask_BL[:, None, None].bool()
        for layer in cast(nn.ModuleList, self.encoder["layer"]):
            x_BLH = layer(x_BLH, mask_B11L)
        return cast(Tensor, x_BLH)
