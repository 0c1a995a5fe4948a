"""The mapping networks: from what the tower sees to late-interaction tokens.

The state-dict names are BERT's (`layer.0.attention.self.query.weight`), because
released checkpoints hold a BertEncoder. The arithmetic is not quite BERT's decoder:
the self-attention over patches has no mask and is *not causal*, although the
reference builds it with is_decoder.

Shapes: B images, N patches, L text tokens, H hidden width, P prefix tokens, D embedding dim.
"""

from typing import cast

import torch
from torch import Tensor, nn

from retriever.model.bert import Attention, BertConfig, Intermediate, ResidualOutput


class PrefixMLP(nn.Module):
    """One pooled vector to P prefix tokens: Linear, Tanh, Linear."""

    def __init__(self, vision_size: int, prefix_length: int, dim: int) -> None:
        super().__init__()
        self.prefix_length, self.dim = prefix_length, dim
        width = dim * prefix_length
        self.model = nn.Sequential(
            nn.Linear(vision_size, width // 2), nn.Tanh(), nn.Linear(width // 2, width)
        )

    def forward(self, pooled_BV: Tensor) -> Tensor:
        """Return prefix tokens [B, P, D]."""
        return cast(Tensor, self.model(pooled_BV)).view(-1, self.prefix_length, self.dim)


class MappingLayer(nn.Module):
    """Patches attend to each other, then to the question, then pass the feed-forward net."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.crossattention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def forward(self, x_BNH: Tensor, text_BLH: Tensor, text_mask_BL: Tensor) -> Tensor:
        """Return [B, N, H]."""
        x_BNH = self.attention(x_BNH, x_BNH)
        x_BNH = self.crossattention(x_BNH, text_BLH, text_mask_BL)
        return cast(Tensor, self.output(self.intermediate(x_BNH), x_BNH))


class MappingTransformer(nn.Module):
    """The mapping transformer: a BertEncoder with cross-attention, by names and numbers."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(MappingLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x_BNH: Tensor, text_BLH: Tensor, text_mask_BL: Tensor) -> Tensor:
        """Return the patches after every layer, [B, N, H]."""
        for layer in self.layer:
            x_BNH = layer(x_BNH, text_BLH, text_mask_BL)
        return x_BNH


def init_weights(module: nn.Module, std: float) -> None:
    """Initialise linear layers as BERT does: normal weights, zero biases."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.normal_(child.weight, std=std)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)


def all_ones_mask(ids_BL: Tensor, skip: tuple[int, ...]) -> Tensor:
    """Return the cross-attention mask [B, L]: every position, but for ids in `skip`.

    Instruction, padding and [MASK] positions are read too: the released weights were
    trained that way.
    """
    if not skip:
        return torch.ones_like(ids_BL, dtype=torch.bool)
    return ~torch.isin(ids_BL, torch.tensor(skip, device=ids_BL.device))
