"""CLIP's vision tower, as far as FLMR uses it: patches, pre-norm layers, no projection.

The state-dict names are the published ones (`encoder.layers.0.self_attn.q_proj.weight`), which
released checkpoints hold. Written out because importing a library's costs every command that loads
such a checkpoint three seconds; the tests compare the two.

Shapes: B images, H W pixels, L positions (the class, then patches row by row), D hidden width,
h heads, d width of a head.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retriever.model.tower import ACTIVATIONS, TowerConfig


@dataclass(frozen=True, slots=True)
class CLIPVisionConfig(TowerConfig):
    """The fields of a config.json that decide what is computed; defaults are CLIP ViT-B/32's."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0


class Embeddings(nn.Module):
    """The class and every patch, each with its position."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.side = config.image_size
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = nn.Conv2d(config.num_channels, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding((self.side // patch) ** 2 + 1, width)
        nn.init.normal_(self.class_embedding, std=width**-0.5)
        nn.init.normal_(self.patch_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        """Return [B, L, D]. Raises ValueError for pictures of another size."""
        if pixels_B3HW.shape[-2:] != (self.side, self.side):
            height, width = pixels_B3HW.shape[-2:]
            raise ValueError(
                f"pictures of {height} x {width} pixels, not {self.side} x {self.side}"
            )
        weights = self.patch_embedding.weight
        patches_BLD = self.patch_embedding(pixels_B3HW.to(weights.dtype)).flatten(2).mT
        class_B1D = self.class_embedding.expand(len(patches_BLD), 1, -1)
        return torch.cat([class_B1D, patches_BLD], dim=1) + self.position_embedding.weight


class Attention(nn.Module):
    """Every position reads every other."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.attention_dropout
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Return what the positions read, [B, L, D]."""
        q_BhLd, k_BhLd, v_BhLd = (
            project(x_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        read_BhLd = F.scaled_dot_product_attention(q_BhLd, k_BhLd, v_BhLd, dropout_p=dropout)
        return cast(Tensor, self.out_proj(read_BhLd.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """Two linear layers and the activation between them."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Return [B, L, D]."""
        return cast(Tensor, self.fc2(self.activation(self.fc1(x_BLD))))


class Layer(nn.Module):
    """Positions attend to each other, then pass the feed-forward net; each is normed before."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = FeedForward(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Return [B, L, D]."""
        x_BLD = x_BLD + self.self_attn(self.layer_norm1(x_BLD))
        return cast(Tensor, x_BLD + self.mlp(self.layer_norm2(x_BLD)))


class CLIPTower(nn.Module):
    """The tower. Its post_layernorm is in every checkpoint, and FLMR never reads it."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(width, eps=eps)  # as published
        self.encoder = nn.ModuleDict(
            {"layers": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))}
        )
        self.post_layernorm = nn.LayerNorm(width, eps=eps)

    def forward(self, pixels_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return what goes into the last layer and what comes out of it, each [B, L, D]."""
        before_BLD = after_BLD = self.pre_layrnorm(self.embeddings(pixels_B3HW))
        for layer in cast(nn.ModuleList, self.encoder["layers"]):
            before_BLD, after_BLD = after_BLD, layer(after_BLD)
        return before_BLD, after_BLD
