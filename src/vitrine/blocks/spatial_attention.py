"""The salient-sensitive module (Chen et al., Structure-Aware Deep Learning for Product Image Classification, 3.2)."""

import torch
from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Weighs each cell of a feature map: F' = F * A,  A = sigmoid(conv_1x1(F)) * T.

    T is one learned h x w template for all channels. It starts at 2, so that A is about 1 and the rest of the net sees
    what it would see without the module. The paper draws the 1x1 weights from a standard Gaussian; over hundreds of
    channels that saturates the sigmoid before training starts, so the deviation here is 1 / sqrt(channels).

    Args:
        channels: Channels of the feature map.
        height: Cells of the template, down.
        width: Cells of the template, across.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, kernel_size=1)
        self.template = nn.Parameter(torch.full((height, width), 2.0))
        nn.init.normal_(self.score.weight, std=channels**-0.5)
        nn.init.zeros_(self.score.get_parameter("bias"))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The weighed map (n, channels, h, w) and the heat map A (n, h, w)."""
        heat = self.score(features).sigmoid() * self.template  # (n, 1, h, w)
        return features * heat, heat[:, 0]
