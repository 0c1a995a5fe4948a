"""Vision encoders, which have one thing in common.

A vision encoder turns pixel values into `VisionFeatures`: one pooled vector, which
the mapping MLP turns into prefix tokens, and a grid of patch vectors, which the
mapping transformer turns into patch tokens. CLIP serves the released checkpoints,
EfficientNet-Lite0 the small model that trains on a CPU.

Shapes: B images, N patches, L = 1 + N, V pooled width, W patch width, S likeness width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retriever.model.clip import CLIPTower, CLIPVisionConfig
from retriever.model.efficientnet import FEATURE_CHANNELS, HEAD_CHANNELS, EfficientNetLite0

_EARLY_CHANNELS = FEATURE_CHANNELS - HEAD_CHANNELS  # of a patch, first: colours, edges and parts


class VisionFeatures(NamedTuple):
    """What a vision encoder sees: pooled [B, V] and patches [B, N, W]."""

    pooled_BV: Tensor
    patches_BNW: Tensor


class CLIPVisionEncoder(nn.Module):
    """CLIP's tower as FLMR reads it.

    Pooled is the CLS row of the last layer *before* post_layernorm; patches are the
    input of the last layer without the CLS row (ARCHITECTURE: query, steps 2 and 3).
    """

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        # Released checkpoints say vision_model.vision_model: the wrapper's name, then a level
        # that transformers' class had before 5 and no longer has.
        self.vision_model = nn.ModuleDict({"vision_model": CLIPTower(config)})
        self.pooled_size = self.patch_size = self.likeness_size = config.hidden_size

    def forward(self, pixels_B3HW: Tensor) -> VisionFeatures:
        """Return pooled [B, hidden] and patches [B, (size / patch)^2, hidden]."""
        before_BLW, after_BLW = self.vision_model["vision_model"](pixels_B3HW)
        return VisionFeatures(after_BLW[:, 0], before_BLW[:, 1:])

    def likeness(self, features: VisionFeatures) -> Tensor:
        """Return the unit vectors [B, V] by which pictures are compared."""
        return F.normalize(features.pooled_BV.float(), dim=-1)


class EfficientNetVisionEncoder(nn.Module):
    """EfficientNet-Lite0 with a small trained neck.

    Three feature maps (colours and edges, parts, objects) are pooled to one grid and
    standardised per channel. Pooled is the grid's mean beside a narrow copy of the
    whole grid, which keeps the layout: without it a flag's stripes have no order.
    """

    def __init__(self, grid: int = 4, layout_channels: int = 64) -> None:
        super().__init__()
        self.vision_model = EfficientNetLite0()
        self.grid = grid
        self.feature_mean = nn.Parameter(torch.zeros(FEATURE_CHANNELS), requires_grad=False)
        self.feature_std = nn.Parameter(torch.ones(FEATURE_CHANNELS), requires_grad=False)
        self.layout_linear = nn.Linear(FEATURE_CHANNELS, layout_channels, bias=False)
        self.patch_size = FEATURE_CHANNELS
        self.pooled_size = FEATURE_CHANNELS + grid * grid * layout_channels
        self.likeness_size = self.pooled_size + grid * grid * _EARLY_CHANNELS

    def forward(self, pixels_B3HW: Tensor) -> VisionFeatures:
        """Return pooled [B, pooled_size] and patches [B, grid^2, patch_size]."""
        return self.neck(self.grid_features(self.vision_model(pixels_B3HW)))

    def grid_features(self, maps: list[Tensor]) -> Tensor:
        """Return the tower's maps pooled to one grid: [B, grid^2, W], before standardising."""
        pooled = [F.adaptive_avg_pool2d(m_BCHW, self.grid) for m_BCHW in maps]
        return torch.cat(pooled, dim=1).flatten(2).transpose(1, 2)

    def neck(self, grid_BNW: Tensor) -> VisionFeatures:
        """Return the features of a grid; training calls it on cached grids."""
        patches_BNW = (grid_BNW - self.feature_mean) / self.feature_std
        layout_BNC = self.layout_linear(patches_BNW)
        pooled_BV = torch.cat([patches_BNW.mean(1), layout_BNC.flatten(1)], dim=1)
        return VisionFeatures(pooled_BV, patches_BNW)

    def likeness(self, features: VisionFeatures) -> Tensor:
        """Return the unit vectors [B, S] by which pictures are compared.

        The mean, the layout and the early channels of each patch, as long as one another. Of each
        number the root is taken, with its sign: without it a few large ones decide (Perronnin et
        al. 2010). What was compared with this: docs/measured/pictures.md.
        """
        mean_BW, layout_BN = features.pooled_BV.tensor_split([FEATURE_CHANNELS], dim=-1)
        early_BN = features.patches_BNW[..., :_EARLY_CHANNELS].flatten(1)
        rooted = [x.float().sign() * x.float().abs().sqrt() for x in (mean_BW, layout_BN, early_BN)]
        each = [F.normalize(x, dim=-1) for x in rooted]
        return F.normalize(torch.cat(each, dim=-1), dim=-1)
