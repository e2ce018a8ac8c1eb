"""The salient-sensitive module (Chen et al., Structure-Aware Deep Learning for Product Image Classification, 3.2)."""

from itertools import groupby

import torch
from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Weighs each cell of a feature map: F' = F * A,  A = sigmoid(conv_1x1(F)) * T.

    T is one learned h x w template for all channels. It starts at 2 and the 1x1 weights at 0, so that A is 1 and the
    rest of the net sees what it would see without the module, until the module has something to say. The paper draws
    the 1x1 weights from a standard Gaussian; over hundreds of channels that saturates the sigmoid before training
    starts, and any draw hides cells at random before there is a reason to.

    Args:
        channels: Channels of the feature map.
        height: Cells of the template, down.
        width: Cells of the template, across.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, kernel_size=1)
        self.template = nn.Parameter(torch.full((height, width), 2.0))
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.get_parameter("bias"))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The weighed map (n, channels, h, w) and the heat map A (n, h, w)."""
        heat = self.score(features).sigmoid() * self.template  # (n, 1, h, w)
        return features * heat, heat[:, 0]


def stages(trunk: nn.Module, image_size: int) -> list[tuple[int, tuple[int, int, int]]]:
    """Where in a trunk of layers one after the other the module may sit: behind the last layer of each map size.

    Args:
        trunk: See `build_backbone`.
        image_size: Edge of the photos, pixels.

    Returns:
        Place among the trunk's layers, and (channels, height, width) there; the deepest, which has the smallest map,
        first. Nothing for a trunk that is not `nn.Sequential`.
    """
    if not isinstance(trunk, nn.Sequential):
        return []
    was_training = trunk.training
    trunk.eval()
    shapes, maps = [], torch.zeros(1, 3, image_size, image_size, device=next(trunk.parameters()).device)
    with torch.inference_mode():
        for layer in trunk:
            maps = layer(maps)
            shapes.append(tuple(maps.shape[1:]))
    trunk.train(was_training)
    sizes = groupby(enumerate(shapes), key=lambda numbered: numbered[1][1:])
    return [list(layers)[-1] for _, layers in sizes][::-1]
