"""BERT, as far as FLMR uses it: embeddings, post-norm layers, no head.

The state-dict names are the published ones (`encoder.layer.0.attention.self.query.weight`), which
released checkpoints hold. Written out because importing a library's costs every `kbvqa ask` a
second and a half; the tests compare the two.

Shapes: B samples, N positions that read, L positions that are read, H hidden width, h heads,
d width of a head, W width of a block.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from retriever.model.tower import ACTIVATIONS, TowerConfig


@dataclass(frozen=True, slots=True)
class BertConfig(TowerConfig):
    """The fields of BERT's config.json that decide what is computed; defaults are BERT-base's."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0


class Embeddings(nn.Module):
    """Word, position and segment, summed and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """Return [B, L, H]; every token is of the first segment."""
        words_BLH = self.word_embeddings(ids_BL) + self.token_type_embeddings.weight[0]
        x_BLH = words_BLH + self.position_embeddings.weight[: ids_BL.shape[1]]
        return cast(Tensor, self.dropout(self.LayerNorm(x_BLH)))


class Projections(nn.Module):
    """BERT's `self` block: query, key and value, and attention between them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x_BNH: Tensor, source_BLH: Tensor, mask_BL: Tensor | None) -> Tensor:
        """Return what N positions read from L positions, [B, N, H]."""
        q_BhNd, k_BhLd, v_BhLd = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in (self.query(x_BNH), self.key(source_BLH), self.value(source_BLH))
        )
        mask = None if mask_BL is None else mask_BL[:, None, None, :].bool()
        dropout = self.dropout if self.training else 0.0
        read_BhNd = F.scaled_dot_product_attention(q_BhNd, k_BhLd, v_BhLd, mask, dropout)
        return read_BhNd.transpose(1, 2).flatten(2)


class ResidualOutput(nn.Module):
    """BERT's `output` block: dense, dropout, add, post-layer-norm."""

    def __init__(self, config: BertConfig, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x_BNW: Tensor, residual_BNH: Tensor) -> Tensor:
        """Return LayerNorm(dropout(dense(x)) + residual), [B, N, H]."""
        return cast(Tensor, self.LayerNorm(self.dropout(self.dense(x_BNW)) + residual_BNH))


class Attention(nn.Module):
    """Attention with its output block."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = Projections(config)
        self.output = ResidualOutput(config, config.hidden_size)

    def forward(self, x_BNH: Tensor, source_BLH: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Return x after reading the source, [B, N, H]."""
        return cast(Tensor, self.output(self.self(x_BNH, source_BLH, mask_BL), x_BNH))


class Intermediate(nn.Module):
    """BERT's `intermediate` block: dense and the base's activation (GELU in BERT-base)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x_BNH: Tensor) -> Tensor:
        """Return [B, N, intermediate]."""
        return self.activation(self.dense(x_BNH))


class Layer(nn.Module):
    """Positions attend to each other, then pass the feed-forward net."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def forward(self, x_BLH: Tensor, mask_BL: Tensor | None) -> Tensor:
        """Return [B, L, H]."""
        x_BLH = self.attention(x_BLH, x_BLH, mask_BL)
        return cast(Tensor, self.output(self.intermediate(x_BLH), x_BLH))


class BertModel(nn.Module):
    """The encoder. Its pooler is in every checkpoint, and FLMR never reads it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))}
        )
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size)})

    def forward(self, ids_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Return the last hidden states [B, L, H].

        Args:
            ids_BL: tokens.
            mask_BL: 0 for those that are not read, such as padding; None where all are.
        """
        x_BLH = self.embeddings(ids_BL)
        for layer in cast(nn.ModuleList, self.encoder["layer"]):
            x_BLH = layer(x_BLH, mask_BL)
        return cast(Tensor, x_BLH)
