"""Strided depthwise convolutions at 32 bits, whatever the rest of a net is trained in."""

import torch
from torch import Tensor, nn


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution that autocast leaves at 32 bits on CPUs.

    Its gradient in bfloat16 misses oneDNN's fast path: two such layers of MobileNetV2's upper half take as long as the
    other fifty (docs/performance.md). The tensors are those of `nn.Conv2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, channels, h / stride, w / stride); float32 on CPUs."""
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


def keep_at_32_bits(net: nn.Module) -> None:
    """Makes each strided depthwise convolution of a net a `StridedDepthwise`, in place; tensors keep their names."""
    for module in net.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1 and max(module.stride) > 1:
            module.__class__ = StridedDepthwise
